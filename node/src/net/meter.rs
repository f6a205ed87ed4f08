//! How fast a node that is no member may make this one read and write: a budget of bytes over time, on
//! everything its connections carry.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use chartmesh_core::types::limits;
use libp2p::PeerId;
use tokio::time::{Instant, Sleep};

use super::directory::{Directory, knows};

/// Below this many entries dead ones are not worth looking for.
const SWEEP_MIN: usize = 32;

/// What has been used of a budget, as the moment by which all of it will have been earned.
#[derive(Clone, Copy)]
struct Budget(Instant);

impl Budget {
    fn new(now: Instant) -> Self {
        Self(now)
    }

    /// How long to wait until there is something to use.
    fn wait(&self, now: Instant) -> Duration {
        let ahead = Duration::from_millis(
            1_000 * limits::STRANGER_BURST_BYTES / limits::STRANGER_BYTES_PER_SECOND_MAX,
        );
        self.0.saturating_duration_since(now).saturating_sub(ahead)
    }

    fn spend(&mut self, len_bytes: usize, now: Instant) {
        let per_byte = 1_000_000_000 / limits::STRANGER_BYTES_PER_SECOND_MAX;
        let earned_in = Duration::from_nanos(per_byte.saturating_mul(len_bytes as u64));
        self.0 = self.0.max(now) + earned_in;
    }
}

/// The budgets of one peer over all its connections.
struct Budgets {
    read: Budget,
    write: Budget,
}

/// The budgets of every peer that is no member and has a connection.
#[derive(Clone)]
pub(super) struct Meters {
    directory: Arc<dyn Directory>,
    table: Arc<Mutex<BTreeMap<PeerId, Weak<Mutex<Budgets>>>>>,
}

impl Meters {
    pub(super) fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            table: Arc::default(),
        }
    }

    /// Measures what one connection or stream of a peer carries.
    pub(super) fn of(&self, peer: PeerId) -> Meter {
        if knows(&*self.directory, peer) {
            return Meter(None);
        }
        let mut table = lock(&self.table);
        let known = table.get(&peer).and_then(Weak::upgrade);
        let budgets = known.unwrap_or_else(|| {
            if table.len() >= SWEEP_MIN {
                table.retain(|_, budgets| budgets.strong_count() > 0);
            }
            let now = Instant::now();
            let budgets = Arc::new(Mutex::new(Budgets {
                read: Budget::new(now),
                write: Budget::new(now),
            }));
            table.insert(peer, Arc::downgrade(&budgets));
            budgets
        });
        Meter(Some(Metered {
            peer,
            directory: self.directory.clone(),
            budgets,
            reading: None,
            writing: None,
        }))
    }
}

/// The budget that one connection draws on; none once its peer is a member.
pub(super) struct Meter(Option<Metered>);

struct Metered {
    peer: PeerId,
    directory: Arc<dyn Directory>,
    budgets: Arc<Mutex<Budgets>>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

/// Which way bytes go.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// From the peer.
    Read,
    /// To the peer.
    Write,
}

impl Meter {
    /// Waits until there is something left to use.
    pub(super) fn poll_ready(&mut self, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(metered) = &mut self.0 else {
                return Poll::Ready(());
            };
            let timer = match way {
                Way::Read => &mut metered.reading,
                Way::Write => &mut metered.writing,
            };
            if let Some(sleep) = timer {
                std::task::ready!(sleep.as_mut().poll(cx));
                *timer = None;
            }
            let now = Instant::now();
            let wait = {
                let budgets = lock(&metered.budgets);
                match way {
                    Way::Read => budgets.read.wait(now),
                    Way::Write => budgets.write.wait(now),
                }
            };
            if wait.is_zero() {
                return Poll::Ready(());
            }
            // Asked only when the budget is used up, so that it costs members nothing.
            if knows(&*metered.directory, metered.peer) {
                self.0 = None;
                return Poll::Ready(());
            }
            *timer = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    pub(super) fn spend(&mut self, way: Way, len_bytes: usize) {
        if let Some(metered) = &mut self.0 {
            let mut budgets = lock(&metered.budgets);
            let now = Instant::now();
            match way {
                Way::Read => budgets.read.spend(len_bytes, now),
                Way::Write => budgets.write.spend(len_bytes, now),
            }
        }
    }
}

/// Every value is consistent after each step, so a panic elsewhere cannot spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicBool, Ordering},
    };

    use chartmesh_core::types::NodeKey;
    use libp2p::identity;

    use super::{super::directory::Found, *};

    #[derive(Default)]
    struct Opening(AtomicBool);

    impl Directory for Opening {
        fn is_known(&self, _: NodeKey) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn own_record(&self) -> Option<Vec<u8>> {
            None
        }

        fn read_record(&self, _: NodeKey, _: &[u8]) -> Option<Found> {
            None
        }
    }

    fn peer() -> PeerId {
        identity::Keypair::generate_ed25519().public().to_peer_id()
    }

    /// Spends so many bytes where there is something left.
    async fn carries(meter: &mut Meter, way: Way, len_bytes: u64) -> bool {
        let ready = poll_fn(|cx| Poll::Ready(meter.poll_ready(way, cx))).await;
        if ready.is_ready() {
            meter.spend(way, usize::try_from(len_bytes).expect("a small number"));
        }
        ready.is_ready()
    }

    #[test]
    fn beyond_stranger_burst_bytes_a_budget_grows_by_stranger_bytes_per_second_max() {
        let (burst, rate) = (
            limits::STRANGER_BURST_BYTES as usize,
            limits::STRANGER_BYTES_PER_SECOND_MAX as usize,
        );
        let start = Instant::now();
        let mut budget = Budget::new(start);
        budget.spend(burst, start);
        assert_eq!(budget.wait(start), Duration::ZERO);

        budget.spend(rate, start);

        let wait = budget.wait(start);
        assert!(
            wait > Duration::from_millis(990) && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        assert_eq!(budget.wait(start + wait), Duration::ZERO);
        // An hour of silence earns one burst and no more.
        let later = start + Duration::from_secs(3600);
        budget.spend(burst + 2 * rate, later);
        assert!(budget.wait(later) > Duration::from_millis(1_990));
    }

    #[tokio::test]
    async fn a_stranger_waits_each_way_once_its_budget_is_spent() {
        let meters = Meters::new(Arc::new(Opening::default()));
        for way in [Way::Read, Way::Write] {
            let mut meter = meters.of(peer());
            assert!(carries(&mut meter, way, limits::STRANGER_BURST_BYTES).await);
            assert!(carries(&mut meter, way, limits::STRANGER_BYTES_PER_SECOND_MAX).await);

            assert!(!carries(&mut meter, way, 1).await);
        }
    }

    #[tokio::test]
    async fn a_second_connection_does_not_double_the_budget() {
        let meters = Meters::new(Arc::new(Opening::default()));
        let stranger = peer();
        let (mut one, mut other) = (meters.of(stranger), meters.of(stranger));
        let spent = limits::STRANGER_BURST_BYTES * 2;
        assert!(carries(&mut one, Way::Read, spent).await);

        assert!(!carries(&mut other, Way::Read, 1).await);

        let mut foreign = meters.of(peer());
        assert!(carries(&mut foreign, Way::Read, spent).await);
    }

    #[tokio::test]
    async fn a_member_is_not_metered_and_neither_is_one_that_becomes_a_member() {
        let directory = Arc::new(Opening::default());
        let meters = Meters::new(directory.clone());
        let mut strange = meters.of(peer());
        let much = limits::STRANGER_BURST_BYTES + limits::STRANGER_BYTES_PER_SECOND_MAX / 10;
        assert!(carries(&mut strange, Way::Write, much).await);
        assert!(!carries(&mut strange, Way::Write, much).await);

        directory.0.store(true, Ordering::Relaxed);

        poll_fn(|cx| strange.poll_ready(Way::Write, cx)).await;
        let mut member = meters.of(peer());
        for meter in [&mut strange, &mut member] {
            for _ in 0..100 {
                assert!(carries(meter, Way::Write, much).await);
            }
        }
    }
}
