//! Sealing keys: a week at most, renewed while the node runs, and destroyed when their time is over.

use chartmesh_core::{
    crypto::{OpeningKey, SecretKey},
    membership::StoredIdentity,
    ports::{Clock, Rpc},
    types::{Code, Incarnation, PeerCode, Span, limits::KEY_SET_LIFE},
};
use chartmesh_tests::{Frame, Kind as FrameKind, SimNode};

use crate::scenario::*;

fn stored(node: &SimNode) -> StoredIdentity {
    StoredIdentity {
        member: node.member(),
        node_seed: SecretKey::default(),
        next_node_seed: None,
        incarnation: Incarnation::default(),
        audit_seed: SecretKey::default(),
        authority_seed: SecretKey::default(),
        organization: node.identity().organization.clone(),
        opening: Vec::new(),
    }
}

/// What the daemon does each minute.
fn round(node: &SimNode, identity: &mut StoredIdentity, drawn: &mut u8) {
    let now = node.world().now();
    let expired = identity.expire(now);
    if identity.rotation_due(now) {
        *drawn += 1;
        identity.rotate(SecretKey::new([*drawn; 32]), now);
    } else if !expired {
        return;
    }
    let keys = identity.opening.iter();
    let keys = keys.map(|key| OpeningKey::from_bytes(&key.private));
    node.install_opening_keys(keys.collect());
}

/// A month of minutes is too long; of hours it is not. Questions are answered all the way, and what
/// was sealed to a key is worth nothing a day after the last key set that names it.
#[tokio::test(start_paused = true)]
async fn a_message_sealed_to_a_destroyed_key_no_longer_opens() {
    let Scene { world, .. } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let (mut identity, mut drawn) = (stored(clinic), 0);
    round(clinic, &mut identity, &mut drawn);
    let first = identity.opening[0].created;
    let urgent = &urgent.restarted();
    world.net.rewind();
    urgent.greet(clinic.node_key()).await.unwrap();
    urgent.sync_members(clinic.member()).await.unwrap();
    let captured = captured(&world.net.tape(), clinic);
    let replay = async || {
        let bytes = captured.bytes.clone();
        clinic.serve(captured.from, Rpc::Members, bytes).await
    };

    // The successor is drawn at half a key set's life; a set naming the first lives a whole one more.
    let end = first
        .plus(Span(KEY_SET_LIFE.0 / 2))
        .plus(KEY_SET_LIFE)
        .plus(Span::hours(24));
    let mut opened = 0;
    while clinic.world().now() < end.minus(Span::hours(1)) {
        pass(Span::hours(1).0).await;
        round(clinic, &mut identity, &mut drawn);
        clinic.beat().await.unwrap();
        // It opens, and is refused inside: its challenge is of another slot.
        opened += usize::from(replay().await.is_ok());
        urgent.greet(clinic.node_key()).await.unwrap();
        let members = urgent.sync_members(clinic.member()).await;
        assert!(members.is_ok(), "an honest question is answered throughout");
    }
    assert!(opened > 10 * 24, "{opened}");
    let kept = |identity: &StoredIdentity| identity.opening.iter().any(|key| key.private[0] == 1);
    assert!(kept(&identity));
    pass(Span::hours(2).0).await;
    round(clinic, &mut identity, &mut drawn);

    assert!(!kept(&identity));
    assert_eq!(replay().await.err(), Some(PeerCode::Stale));
    assert_eq!(refusals(clinic).await.last(), Some(&Code::Stale));
    urgent.greet(clinic.node_key()).await.unwrap();
    assert!(urgent.sync_members(clinic.member()).await.is_ok());
    assert!(identity.opening.len() <= 4);
}

/// The first question of a session, which carries what opens it.
fn captured(tape: &[Frame], to: &SimNode) -> Frame {
    let mut questions = tape.iter().filter(|frame| {
        frame.to == to.node_key() && frame.rpc == Rpc::Members && frame.kind == FrameKind::Question
    });
    questions.next().cloned().unwrap()
}
