//! A member that lies: the node's own keys, in the hands of the one in the middle.

use std::sync::{Arc, Mutex};

use chartmesh_core::{
    crypto::{Body, OpeningKey, SealContext, SessionKeys, accept_session},
    ports::Rpc,
    types::NetworkId,
    wire,
};
use chartmesh_tests::{Fate, Frame, Kind, SimNet, SimNode, world::opening_seed};

/// The keys of each session that was begun with it.
type Sessions = Vec<([u8; 16], SessionKeys)>;

/// Somebody who sits at a member with all its keys and changes what it answers.
pub(crate) struct Liar<'a> {
    net: Arc<SimNet>,
    node: &'a SimNode,
    seed: u8,
    network: NetworkId,
    sessions: Arc<Mutex<Sessions>>,
}

impl<'a> Liar<'a> {
    /// At a node that nobody has a session with yet.
    pub(crate) fn at(net: &Arc<SimNet>, node: &'a SimNode, seed: u8) -> Self {
        Self {
            net: net.clone(),
            node,
            seed,
            network: node.current_network().unwrap().id,
            sessions: Arc::default(),
        }
    }

    /// Changes each answer to one sort of call from here on.
    pub(crate) fn says<A: Body>(&self, rpc: Rpc, change: impl FnMut(&mut A) + Send + 'static) {
        self.says_in(None, rpc, change);
    }

    /// The same, and says that it answers in another session, whose number it writes on the seal.
    pub(crate) fn says_in<A: Body>(
        &self,
        other: Option<[u8; 16]>,
        rpc: Rpc,
        mut change: impl FnMut(&mut A) + Send + 'static,
    ) {
        let opening = OpeningKey::from_bytes(&opening_seed(self.seed));
        let (network, node, sessions) = (self.network, self.node.shared(), self.sessions.clone());
        self.net.between(Some(Box::new(move |frame: &mut Frame| {
            let mut sessions = sessions.lock().unwrap();
            let Ok(sealed) = wire::decode_sealed(&frame.bytes) else {
                return Fate::Deliver;
            };
            let session = sealed.header.session;
            if frame.kind == Kind::Question && frame.to == node.node_key() {
                let context = SealContext {
                    network,
                    recipient: node.member(),
                    key_id: sealed.header.key_id,
                };
                if let Ok(keys) = accept_session(&opening, &sealed.header.enc, &context) {
                    sessions.push((session, keys));
                }
            }
            let known = sessions.iter().find(|(id, _)| *id == session);
            let answers = frame.kind == Kind::Answer && frame.from == node.node_key();
            if let (true, true, Some((_, keys))) = (answers, frame.rpc == rpc, known) {
                let plain = keys.open_answer(&sealed.header, 0, &sealed.ciphertext);
                let envelope = wire::decode_envelope(&plain.unwrap()).unwrap();
                if let Ok(mut answer) = envelope.claims::<A>() {
                    change(&mut answer);
                    let envelope = node.identity().node.sign(&network, &answer);
                    let plain = wire::encode_envelope(&envelope);
                    let mut header = sealed.header;
                    header.session = other.unwrap_or(session);
                    let ciphertext = keys.seal_answer(&header, 0, &plain).unwrap();
                    frame.bytes = wire::encode_sealed(&wire::Sealed { header, ciphertext });
                }
            }
            Fate::Deliver
        })));
    }
}
