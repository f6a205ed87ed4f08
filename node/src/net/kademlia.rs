//! Kademlia among members: it finds where a member is whom nobody here can reach, and holds nothing but
//! node records their own members signed.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use chartmesh_core::types::{NetworkId, NodeKey, limits};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    kad::{
        self, BucketInserts, Caching, GetRecordOk, InboundRequest, QueryId, QueryResult, Quorum,
        Record, RecordKey, StoreInserts,
        store::{MemoryStore, MemoryStoreConfig, RecordStore},
    },
};
use tokio::sync::oneshot;

use super::{
    NetError,
    address::{node_key, peer_id},
    directory::{Directory, Found},
    members_only::MembersOnly,
};

/// Members asked at a time for one record.
const PARALLEL: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");
/// Bytes of one message: an answer names up to 20 members with their addresses.
const MESSAGE_MAX_BYTES: usize = 64 << 10;
/// How often this node's own record is put where others find it; who holds it forgets it on a restart.
pub(super) const PUBLISH_EVERY: Duration = Duration::from_secs(3600);
/// How soon that is tried again where fewer than most took it; twice as long after each try.
pub(super) const PUBLISH_AGAIN: Duration = Duration::from_secs(5);

/// The behaviour.
pub(super) type Kad = kad::Behaviour<MemoryStore>;

/// Builds the behaviour of a node in a network.
///
/// # Errors
///
/// [`NetError::Key`] where the network has no name for a protocol.
pub(super) fn behaviour(
    own: PeerId,
    network: NetworkId,
    directory: Arc<dyn Directory>,
) -> Result<MembersOnly<Kad>, NetError> {
    let protocol = format!("/chartmesh/{}/kad/1", network.short());
    let protocol = StreamProtocol::try_from_owned(protocol).map_err(|_| NetError::Key)?;
    let store = MemoryStoreConfig {
        max_records: limits::MEMBERS_MAX,
        max_value_bytes: limits::NODE_RECORD_MAX_BYTES,
        max_provided_keys: 0,
        max_providers_per_key: 0,
    };
    let mut config = kad::Config::new(protocol);
    config
        // Only members enter the table, and only those this node knows.
        .set_kbucket_inserts(BucketInserts::Manual)
        // Nothing is stored before it was verified.
        .set_record_filtering(StoreInserts::FilterBoth)
        .set_caching(Caching::Disabled)
        .set_periodic_bootstrap_interval(None)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_record_ttl(Some(Duration::from_millis(limits::NODE_RECORD_LIFE.0)))
        .set_query_timeout(Duration::from_millis(limits::FIND_MAX.0))
        .set_substreams_timeout(Duration::from_millis(limits::FIND_MAX.0))
        .set_max_packet_size(MESSAGE_MAX_BYTES)
        .set_parallelism(PARALLEL);
    let mut kad = Kad::with_config(own, MemoryStore::with_config(own, store), config);
    kad.set_mode(Some(kad::Mode::Server));
    Ok(MembersOnly::new(kad, directory))
}

/// Where a member is, as far as the others know.
pub(super) type Answer = oneshot::Sender<Option<Found>>;

struct LookUp {
    query: QueryId,
    node: NodeKey,
    best: Option<Found>,
    asked_by: Vec<Answer>,
}

/// Looks for members and judges the records of others.
pub(super) struct Finder {
    directory: Arc<dyn Directory>,
    look_ups: Vec<LookUp>,
    /// When this node's own record is put again, where too few took it, and how long after that.
    owed: Option<Instant>,
    pause: Duration,
}

impl Finder {
    pub(super) fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            look_ups: Vec::new(),
            owed: None,
            pause: PUBLISH_AGAIN,
        }
    }

    /// Whether it is time to offer this node's own record again, since too few took it.
    pub(super) fn is_owed(&self) -> bool {
        self.owed.is_some_and(|due| due <= Instant::now())
    }

    /// Looks for a member; where too many are being looked for, the answer is none.
    pub(super) fn find(&mut self, kad: &mut Kad, node: NodeKey, answer: Answer) {
        if let Some(under_way) = self.look_ups.iter_mut().find(|known| known.node == node) {
            under_way.asked_by.retain(|answer| !answer.is_closed());
            under_way.asked_by.push(answer);
            return;
        }
        if self.look_ups.len() >= limits::LOOK_UPS_MAX {
            // Dropping the answer says so.
            return;
        }
        self.look_ups.push(LookUp {
            query: kad.get_record(RecordKey::new(&node.0)),
            node,
            best: None,
            asked_by: vec![answer],
        });
    }

    /// Puts this node's own record where others find it: with most of the members nearest to it, since
    /// the one that is reached first may lie, or be gone the next minute.
    pub(super) fn publish(&mut self, kad: &mut Kad, own: NodeKey) {
        self.owed = None;
        let Some(value) = self.directory.own_record() else {
            return;
        };
        let record = Record::new(RecordKey::new(&own.0), value);
        let nearest = kad
            .kbuckets()
            .map(|bucket| bucket.num_entries())
            .sum::<usize>()
            .min(kad::K_VALUE.get());
        let most = NonZeroUsize::MIN.saturating_add(nearest / 2);
        if let Err(error) = kad.put_record(record, Quorum::N(most)) {
            tracing::warn!(%error, "this node's record cannot be published");
        }
    }

    /// Makes the table hold these members and no others, and nothing of those who left.
    pub(super) fn replace(&self, kad: &mut Kad, members: &[(PeerId, Vec<Multiaddr>)]) {
        let wanted = |peer: &PeerId| members.iter().find(|(member, _)| member == peer);
        let known: Vec<PeerId> = kad
            .kbuckets()
            .flat_map(|bucket| {
                let peers = bucket.iter().map(|entry| *entry.node.key.preimage());
                peers.collect::<Vec<_>>()
            })
            .collect();
        for peer in known.iter().filter(|peer| wanted(peer).is_none()) {
            kad.remove_peer(peer);
        }
        for (peer, addresses) in members {
            for address in addresses {
                kad.add_address(peer, address.clone());
            }
        }
        let directory = &self.directory;
        kad.store_mut()
            .retain(|key, _| node_of(key).is_some_and(|node| directory.is_known(node)));
    }

    /// Takes part in what the behaviour tells.
    pub(super) fn on_event(&mut self, kad: &mut Kad, event: kad::Event) {
        match event {
            kad::Event::InboundRequest {
                request:
                    InboundRequest::PutRecord {
                        source,
                        record: Some(record),
                        ..
                    },
            } => {
                let code = if self.take(kad, record) {
                    "taken"
                } else {
                    "refused"
                };
                tracing::debug!(peer = %source, code, "a node record was offered");
            }
            kad::Event::OutboundQueryProgressed {
                id, result, step, ..
            } => self.progressed(id, result, step.last),
            _ => {}
        }
    }

    /// Stores a record that holds and is newer than the one held.
    fn take(&self, kad: &mut Kad, record: Record) -> bool {
        let Some(node) = node_of(&record.key) else {
            return false;
        };
        let Some(offered) = self.read(node, &record.value) else {
            return false;
        };
        let held = kad
            .store_mut()
            .get(&record.key)
            .and_then(|held| self.read(node, &held.value));
        if held.is_some_and(|held| held.sequence >= offered.sequence) {
            return false;
        }
        let life = Duration::from_millis(limits::NODE_RECORD_LIFE.0);
        let record = Record {
            // What else came with it is the sender's word only.
            expires: Instant::now().checked_add(life),
            publisher: None,
            ..record
        };
        kad.store_mut().put(record).is_ok()
    }

    fn read(&self, node: NodeKey, record: &[u8]) -> Option<Found> {
        if record.len() > limits::NODE_RECORD_MAX_BYTES {
            return None;
        }
        self.directory.read_record(node, record)
    }

    fn progressed(&mut self, query: QueryId, result: QueryResult, last: bool) {
        let found = match result {
            QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) => Some(found.record),
            QueryResult::PutRecord(Err(error)) => {
                tracing::debug!(%error, "this node's record was stored by too few");
                self.owed = Instant::now().checked_add(self.pause);
                self.pause = self.pause.saturating_mul(2).min(PUBLISH_EVERY);
                return;
            }
            QueryResult::PutRecord(Ok(_)) => {
                self.pause = PUBLISH_AGAIN;
                return;
            }
            _ => None,
        };
        let Some(place) = self.look_ups.iter().position(|known| known.query == query) else {
            return;
        };
        let node = self.look_ups[place].node;
        let found = found
            .filter(|record| node_of(&record.key) == Some(node))
            .and_then(|record| self.read(node, &record.value));
        let look_up = &mut self.look_ups[place];
        if let Some(found) = found
            && look_up
                .best
                .as_ref()
                .is_none_or(|best| best.sequence < found.sequence)
        {
            look_up.best = Some(found);
        }
        if last {
            let done = self.look_ups.swap_remove(place);
            for answer in done.asked_by {
                // Who asked may have gone away.
                let _ = answer.send(done.best.clone());
            }
        }
    }
}

/// Whom a key is about; none where it is no node key.
fn node_of(key: &RecordKey) -> Option<NodeKey> {
    let node = NodeKey(key.as_ref().try_into().ok()?);
    peer_id(node).and_then(node_key)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Mutex};

    use chartmesh_core::crypto::SecretKey;
    use futures::StreamExt;
    use libp2p::{
        Swarm, Transport,
        core::transport::MemoryTransport,
        core::upgrade,
        identify, identity, noise,
        swarm::{DialError, NetworkBehaviour, SwarmEvent},
        yamux,
    };
    use tokio_util::sync::CancellationToken;

    use super::{
        super::{
            reach::ReachConfig,
            swarm::{Identity, Runner, tests::in_memory},
        },
        *,
    };

    const NETWORK: NetworkId = NetworkId([7; 32]);
    const PATIENCE: Duration = Duration::from_secs(120);

    /// Knows its members; a record holds where it begins with the key of the member it is about.
    struct Roster {
        members: BTreeSet<NodeKey>,
        own: Mutex<Option<Vec<u8>>>,
    }

    impl Roster {
        fn new(members: impl IntoIterator<Item = NodeKey>) -> Arc<Self> {
            Arc::new(Self {
                members: members.into_iter().collect(),
                own: Mutex::default(),
            })
        }
    }

    impl Directory for Roster {
        fn is_known(&self, node: NodeKey) -> bool {
            self.members.contains(&node)
        }

        fn own_record(&self) -> Option<Vec<u8>> {
            self.own.lock().expect("a record").clone()
        }

        fn read_record(&self, node: NodeKey, record: &[u8]) -> Option<Found> {
            let rest = record.strip_prefix(&node.0)?;
            let (sequence, address) = rest.split_first_chunk()?;
            self.is_known(node).then(|| Found {
                sequence: (0, u64::from_be_bytes(*sequence)),
                addresses: vec![address.to_vec()],
            })
        }
    }

    fn record(node: NodeKey, sequence: u64, address: &[u8]) -> Vec<u8> {
        [&node.0[..], &sequence.to_be_bytes(), address].concat()
    }

    fn key(seed: u8) -> (identity::Keypair, NodeKey) {
        let reach = super::super::ReachConfig::default();
        let seed = SecretKey::new([seed; 32]);
        let identity = Identity::new(&seed, NETWORK, Roster::new([]), reach);
        let key = identity.expect("an identity").key;
        let node = node_key(key.public().to_peer_id()).expect("a node");
        (key, node)
    }

    /// A behaviour of ours that no swarm runs, and what judges its records.
    fn alone(members: &[NodeKey]) -> (Finder, Kad) {
        let own = key(1).0.public().to_peer_id();
        let roster = Roster::new(members.iter().copied());
        let mut behaviour = behaviour(own, NETWORK, roster.clone()).expect("a behaviour");
        let config = MemoryStoreConfig {
            max_value_bytes: 1 << 20,
            ..MemoryStoreConfig::default()
        };
        let kad = std::mem::replace(
            behaviour.inner(),
            Kad::with_config(
                own,
                MemoryStore::with_config(own, config),
                kad::Config::new(StreamProtocol::new("/test")),
            ),
        );
        (Finder::new(roster), kad)
    }

    fn held(kad: &mut Kad, node: NodeKey) -> Option<Vec<u8>> {
        let held = kad.store_mut().get(&RecordKey::new(&node.0));
        held.map(|record| record.value.clone())
    }

    fn offers(finder: &Finder, kad: &mut Kad, about: NodeKey, value: Vec<u8>) -> bool {
        finder.take(kad, Record::new(RecordKey::new(&about.0), value))
    }

    #[tokio::test]
    async fn a_record_is_stored_only_if_it_holds_and_is_newer() {
        let (member, other, stranger) = (key(2).1, key(3).1, key(4).1);
        let (finder, mut kad) = alone(&[member, other]);
        assert!(offers(
            &finder,
            &mut kad,
            member,
            record(member, 5, b"here")
        ));

        for (about, value) in [
            (member, record(member, 5, b"elsewhere")),
            (member, record(member, 4, b"elsewhere")),
            (member, record(other, 6, b"elsewhere")),
            (member, b"nothing".to_vec()),
            (stranger, record(stranger, 6, b"elsewhere")),
        ] {
            assert!(!offers(&finder, &mut kad, about, value));
        }
        assert_eq!(held(&mut kad, member), Some(record(member, 5, b"here")));
        assert_eq!(held(&mut kad, stranger), None);

        assert!(offers(
            &finder,
            &mut kad,
            member,
            record(member, 6, b"there")
        ));
        assert_eq!(held(&mut kad, member), Some(record(member, 6, b"there")));
    }

    #[tokio::test]
    async fn a_key_that_is_no_node_key_holds_nothing() {
        let member = key(2).1;
        let (finder, mut kad) = alone(&[member]);
        let value = record(member, 1, b"here");
        assert!(offers(&finder, &mut kad, member, value.clone()));

        for name in [&b"rosa diaz 1931-02-03"[..], &[9; 31], &[9; 33]] {
            let record = Record::new(RecordKey::new(&name), value.clone());
            assert!(!finder.take(&mut kad, record));
        }
    }

    #[tokio::test]
    async fn a_record_beyond_node_record_max_bytes_is_not_even_read() {
        let member = key(2).1;
        let (finder, mut kad) = alone(&[member]);
        let room = limits::NODE_RECORD_MAX_BYTES - 41;
        assert!(offers(
            &finder,
            &mut kad,
            member,
            record(member, 1, &vec![1; room])
        ));

        let beyond = record(member, 2, &vec![1; room + 2]);

        assert!(!offers(&finder, &mut kad, member, beyond));
    }

    #[tokio::test]
    async fn look_ups_max_are_under_way_and_one_more_is_answered_with_nothing() {
        let members: Vec<NodeKey> = (2..)
            .map(|seed| key(seed).1)
            .take(limits::LOOK_UPS_MAX + 1)
            .collect();
        let (mut finder, mut kad) = alone(&members);
        let mut waiting = Vec::new();
        for member in &members[1..] {
            let (answer, waits) = oneshot::channel();
            finder.find(&mut kad, *member, answer);
            waiting.push(waits);
        }
        assert!(
            waiting
                .iter_mut()
                .all(|waits| waits.try_recv() == Err(oneshot::error::TryRecvError::Empty))
        );

        let (answer, mut beyond) = oneshot::channel();
        finder.find(&mut kad, members[0], answer);
        let (answer, mut shared) = oneshot::channel();
        finder.find(&mut kad, members[1], answer);

        assert_eq!(beyond.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(shared.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }

    /// Speaks our Kademlia with everybody, believes everything and says what it likes.
    #[derive(NetworkBehaviour)]
    struct Liar {
        kad: Kad,
        identify: identify::Behaviour,
    }

    fn liar(key: &identity::Keypair) -> Swarm<Liar> {
        let own = key.public().to_peer_id();
        let protocol = format!("/chartmesh/{}/kad/1", NETWORK.short());
        let protocol = StreamProtocol::try_from_owned(protocol).expect("a name");
        let mut kad = Kad::with_config(own, MemoryStore::new(own), kad::Config::new(protocol));
        kad.set_mode(Some(kad::Mode::Server));
        let identify = identify::Config::new("/chartmesh/1".to_owned(), key.public());
        let transport = MemoryTransport::default()
            .upgrade(upgrade::Version::V1)
            .authenticate(noise::Config::new(key).expect("noise"))
            .multiplex(yamux::Config::default())
            .boxed();
        let behaviour = Liar {
            kad,
            identify: identify::Behaviour::new(identify),
        };
        let config =
            libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(PATIENCE);
        let mut swarm = Swarm::new(transport, behaviour, own, config);
        swarm
            .listen_on("/memory/0".parse().expect("an address"))
            .expect("a listener");
        swarm
    }

    /// Runs a liar that dials its victims and puts its lie wherever it is let.
    async fn lies(mut swarm: Swarm<Liar>, victims: Vec<Multiaddr>, lie: Record) {
        for victim in victims {
            swarm.dial(victim).expect("a dial");
        }
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    let kad = &mut swarm.behaviour_mut().kad;
                    kad.put_record_to(lie.clone(), [peer_id].into_iter(), Quorum::One);
                }
                // Too many greeted the victim at once: again.
                SwarmEvent::OutgoingConnectionError {
                    error: DialError::Transport(refused),
                    ..
                } => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    for (address, _) in refused {
                        swarm.dial(address).expect("a dial");
                    }
                }
                _ => {}
            }
        }
    }

    async fn address_of(swarm: &mut Swarm<Liar>) -> Multiaddr {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                return address;
            }
        }
    }

    fn table(runner: &mut Runner) -> BTreeSet<PeerId> {
        let (_, kad) = runner.kad();
        let buckets = kad.kbuckets();
        let peers = buckets.flat_map(|bucket| {
            bucket
                .iter()
                .map(|entry| *entry.node.key.preimage())
                .collect::<Vec<_>>()
        });
        peers.collect()
    }

    /// Four members and two hundred nodes that are none surround a fifth member; one of the four lies
    /// for them. The fifth finds the member it was not told of, and nobody else comes near its table.
    ///
    /// The hard case is the lying member: what it says of Sybils comes over an honest connection.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[expect(clippy::too_many_lines, reason = "one town, built and asked in order")]
    async fn two_hundred_sybils_are_not_kept_and_look_ups_stay_right() {
        let keys: Vec<(identity::Keypair, NodeKey)> = (1..=5).map(key).collect();
        let members: Vec<NodeKey> = keys.iter().map(|(_, node)| *node).collect();
        let peers: Vec<PeerId> = keys
            .iter()
            .map(|(key, _)| key.public().to_peer_id())
            .collect();
        let mut runners = Vec::new();
        for (key, _) in &keys[..4] {
            let identity = Identity {
                key: key.clone(),
                network: NETWORK,
                directory: Roster::new(members.clone()),
                reach: ReachConfig::default(),
            };
            runners.push(in_memory(&identity).await);
        }
        let mut false_member = liar(&keys[4].0);
        let lying_at = address_of(&mut false_member).await;
        let mut places: Vec<Multiaddr> =
            runners.iter().map(|(_, address)| address.clone()).collect();
        places.push(lying_at);
        // The first knows everybody but the fourth, who alone publishes where it is.
        let sought = record(members[3], 7, &places[3].to_vec());
        let lie = Record::new(
            RecordKey::new(&members[3].0),
            record(members[3], 99, b"").split_off(1),
        );
        let book = |without: usize| -> Vec<(PeerId, Vec<Multiaddr>)> {
            let known = (0..5).filter(|place| *place != without);
            known
                .map(|place| (peers[place], vec![places[place].clone()]))
                .collect()
        };
        let mut sybils = BTreeSet::new();
        for _ in 0..200 {
            let mut swarm = liar(&identity::Keypair::generate_ed25519());
            let own = *swarm.local_peer_id();
            let address = address_of(&mut swarm).await;
            false_member.behaviour_mut().kad.add_address(&own, address);
            sybils.insert(own);
            tokio::spawn(lies(swarm, places[..3].to_vec(), lie.clone()));
        }
        tokio::spawn(lies(false_member, places[..4].to_vec(), lie));
        let (mut first, _) = runners.remove(0);
        let stop = CancellationToken::new();
        for (place, (mut runner, _)) in (1..).zip(runners) {
            if place == 3 {
                let identity = Roster::new(members.clone());
                *identity.own.lock().expect("a record") = Some(sought.clone());
                runner.finder = Finder::new(identity);
            }
            runner.book.keep(book(if place == 3 { 9 } else { 3 }));
            tokio::spawn(runner.run(stop.clone()));
        }
        first.book.keep(book(3));
        first.take_over_members();
        // An idle connection of a stranger ends, so they are counted as they come.
        let mut seen = BTreeSet::new();
        until(&mut first, |runner| {
            let connected = runner.swarm.connected_peers();
            seen.extend(connected.filter(|peer| sybils.contains(*peer)).copied());
            seen.len() == sybils.len()
        })
        .await;

        let begun = Instant::now();
        let found = loop {
            assert!(begun.elapsed() < PATIENCE, "still not found");
            let (answer, mut found) = oneshot::channel();
            let (finder, kad) = first.kad();
            finder.find(kad, members[3], answer);
            let mut answered = None;
            until(&mut first, |_| {
                answered = found.try_recv().ok();
                answered.is_some()
            })
            .await;
            // The fourth publishes as soon as it is connected, which may be later than the question.
            if let Some(Some(found)) = answered {
                break found;
            }
        };

        assert_eq!(found.sequence, (0, 7));
        assert_eq!(found.addresses, [places[3].to_vec()]);
        let kept = table(&mut first);
        assert!(
            kept.iter().all(|peer| peers.contains(peer)),
            "{}",
            kept.len()
        );
        assert_eq!(kept.intersection(&sybils).count(), 0);
        let (_, kad) = first.kad();
        let stored = kad.store_mut().records().count();
        assert!(stored <= 1, "{stored} records");
        stop.cancel();
    }

    /// A record that the first of three members took, and nobody else, is not where others look for it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_record_that_fewer_than_most_members_took_is_put_again() {
        let keys: Vec<(identity::Keypair, NodeKey)> = (1..=4).map(key).collect();
        let members: Vec<NodeKey> = keys.iter().map(|(_, node)| *node).collect();
        let identity = Identity {
            key: keys[0].0.clone(),
            network: NETWORK,
            directory: Roster::new(members.clone()),
            reach: ReachConfig::default(),
        };
        let (mut runner, _) = in_memory(&identity).await;
        let roster = Roster::new(members.clone());
        *roster.own.lock().expect("a record") = Some(record(members[0], 1, b"here"));
        runner.finder = Finder::new(roster);
        let mut swarms: Vec<_> = keys[1..].iter().map(|(key, _)| liar(key)).collect();
        let mut book = Vec::new();
        for swarm in &mut swarms {
            let address = address_of(swarm).await;
            book.push((*swarm.local_peer_id(), vec![address]));
        }
        // Two are gone: nothing listens where they were.
        swarms.truncate(1);
        let there = swarms.remove(0);
        let lie = Record::new(RecordKey::new(&members[3].0), Vec::new());
        tokio::spawn(lies(there, Vec::new(), lie));

        runner.book.keep(book);
        runner.take_over_members();

        until(&mut runner, |runner| runner.finder.owed.is_some()).await;
        assert!(!runner.finder.is_owed(), "not at once");
        assert_eq!(runner.finder.pause, 2 * PUBLISH_AGAIN);
    }

    async fn until(runner: &mut Runner, mut holds: impl FnMut(&mut Runner) -> bool) {
        let waiting = async {
            while !holds(runner) {
                let event = runner.swarm.select_next_some();
                if let Ok(event) = tokio::time::timeout(Duration::from_millis(20), event).await {
                    runner.settle(event);
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("in time");
    }
}
