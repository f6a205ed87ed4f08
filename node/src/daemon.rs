//! The running daemon: keeps the node on its network and its statements fresh.

mod charter;
mod round;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chartmesh_core::{
    flows::Node,
    membership::{JoinState, Status, StoredIdentity, capability},
    types::{NetworkId, NodeKey, Span, Timestamp},
};
use futures::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, broadcast::error::RecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    boot::{self, Booted},
    config::Config,
    net::{Incoming, Net, NetConfig, NetError, NetEvent, ReachConfig, Reached, give_up, sticky},
    restore::RestoredNote,
    store::StoreOpened,
    world::RealWorld,
};

/// The ports that were taken, tried first after a restart (`decisions.md` 7).
const LISTENING: &str = "listening";
/// How often an applicant asks how its request stands.
const POLL: Duration = Duration::from_secs(1);

/// Members greeted at a time.
const GREETINGS_MAX: usize = 16;
/// How long everything under way may take once the daemon is told to stop; longer than the server
/// for peers takes to drain.
const STOP_MAX: Duration = Duration::from_secs(7);

/// A node with everything around it that runs.
pub struct Daemon {
    /// The node.
    pub node: Arc<Node<RealWorld>>,
    /// Its directory.
    pub folder: PathBuf,
    /// The configuration in force.
    pub config: Config,
    /// What opening the store found.
    pub opened: StoreOpened,
    /// Set where the clock is behind the last record and nobody accepted it.
    pub clock_behind: Option<Span>,
    /// Time of the last record at start.
    pub last: Timestamp,
    /// When it was started, and how long that took.
    pub started: (Timestamp, Duration),
    identity: Mutex<StoredIdentity>,
    /// Held by whoever changes the identity and stores it, so that no change overwrites another.
    changing: tokio::sync::Mutex<()>,
    /// Held while a backup is made.
    pub saving: tokio::sync::Mutex<()>,
    running: Mutex<Option<Running>>,
    starting: tokio::sync::Mutex<()>,
    changed: Notify,
    greetings: Mutex<BTreeMap<NodeKey, Greeting>>,
    greeting: Semaphore,
    reach: Reach,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// The network that runs.
#[derive(Clone)]
struct Running {
    net: Arc<Net>,
    network: NetworkId,
    node: NodeKey,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What is to be done about a member that is being greeted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// Nothing more.
    Once,
    /// It connected anew meanwhile: greet it again.
    Again,
}

/// Serves peers of a node until the token says stop.
pub type ServePeers =
    fn(Arc<Node<RealWorld>>, Incoming, CancellationToken) -> BoxFuture<'static, ()>;

/// Whether the daemon may use the network.
#[derive(Clone, Copy)]
pub enum Reach {
    /// It calls peers, and this serves them.
    Network(ServePeers),
    /// It serves one admin connection and no network (`--once`).
    Alone,
}

impl Daemon {
    /// Puts a booted node into a daemon.
    pub fn new(folder: &Path, booted: Booted, reach: Reach, since: Instant) -> Arc<Self> {
        Arc::new(Self {
            node: booted.node,
            folder: folder.to_owned(),
            config: booted.config,
            opened: booted.opened,
            clock_behind: booted.clock_behind,
            last: booted.last,
            started: (booted.started, since.elapsed()),
            identity: Mutex::new(booted.identity),
            changing: tokio::sync::Mutex::default(),
            saving: tokio::sync::Mutex::default(),
            running: Mutex::new(None),
            starting: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            greetings: Mutex::default(),
            greeting: Semaphore::new(GREETINGS_MAX),
            reach,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// The present, as the node has it.
    pub fn now(&self) -> Timestamp {
        use chartmesh_core::ports::Clock as _;
        self.node.world().now()
    }

    /// The network, where it runs.
    pub fn net(&self) -> Option<Arc<Net>> {
        self.running().as_ref().map(|running| running.net.clone())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tasks that are waited for before the daemon stops.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Ends when the daemon is to stop.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Starts the network where the node has one, or waits to join one. A network that is no longer
    /// the one to be joined, or was started by another node key, is stopped first.
    ///
    /// # Errors
    /// [`NetError`] where a port is taken or an address cannot be used.
    pub async fn start_network(self: &Arc<Self>) -> Result<(), NetError> {
        let Reach::Network(serve) = self.reach else {
            return Ok(());
        };
        if self.clock_behind.is_some() || RestoredNote::waits(&self.folder) {
            return Ok(());
        }
        let _one_at_a_time = self.starting.lock().await;
        let network = self
            .node
            .current_network()
            .map(|network| network.id)
            .or_else(|| self.node.pending_ticket().map(|ticket| ticket.network));
        let Some(network) = network else {
            return Ok(());
        };
        let node = self.node.node_key();
        let before = self.running().clone();
        match before {
            Some(running) if running.network == network && running.node == node => {
                self.keep();
                return Ok(());
            }
            Some(running) => self.stop_network(&running).await,
            None => {}
        }
        let (net, incoming) = self.listen(network).await?;
        let running = Running {
            net: Arc::new(net),
            network,
            node,
            stop: self.shutdown.child_token(),
            tasks: TaskTracker::new(),
        };
        self.node.world().connect(running.net.as_ref().clone());
        self.tell_where(&running.net);
        let serving = serve(self.node.clone(), incoming, running.stop.clone());
        *self.running() = Some(running.clone());
        self.keep();
        running.tasks.spawn(self.tasks.track_future(serving));
        self.spawn_in(
            &running,
            self.clone().watch_connections(running.net.clone()),
        );
        self.spawn_in(&running, self.clone().look_after());
        self.spawn_in(&running, self.clone().look_after_join());
        self.spawn_in(&running, self.clone().tell_news());
        self.spawn_in(&running, self.clone().ask_for_news());
        running.tasks.close();
        Ok(())
    }

    /// Runs something for as long as a network runs.
    fn spawn_in(&self, running: &Running, work: impl Future<Output = ()> + Send + 'static) {
        let stop = running.stop.clone();
        let work = async move {
            tokio::select! {
                biased;
                () = stop.cancelled_owned() => {}
                () = work => {}
            }
        };
        running.tasks.spawn(self.tasks.track_future(work));
    }

    /// Ends a network: what was accepted is finished, then the ports are free.
    async fn stop_network(&self, running: &Running) {
        running.stop.cancel();
        if tokio::time::timeout(STOP_MAX, running.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("a network that was left did not end in time");
        }
        running.net.stop().await;
        *self.running() = None;
    }

    async fn listen(&self, network: NetworkId) -> Result<(Net, Incoming), NetError> {
        let reach = ReachConfig::read(&self.config.reach)?;
        let config = |listen| NetConfig {
            seed: self.node.identity().node.seed(),
            network,
            listen,
            directory: self.node.clone(),
            reach: reach.clone(),
        };
        let wanted = self.config.listen.0.clone();
        let path = self.folder.join(LISTENING);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let mut asked = sticky(&wanted, &before);
        let started = loop {
            match Net::start(config(asked.clone())).await {
                // A port that was only remembered may be somebody else's by now. Each try gives one up,
                // so this ends.
                Err(NetError::PortTaken { port }) if give_up(&mut asked, &wanted, port) => {
                    tracing::warn!(
                        port,
                        "the port of the last start is taken; any other is asked for"
                    );
                }
                other => break other?,
            }
        };
        let lines: Vec<String> = wanted
            .iter()
            .zip(started.0.bound())
            .map(|(asked, got)| format!("{asked} {got}"))
            .collect();
        if let Err(error) = boot::write_file(&path, lines.join("\n") + "\n") {
            tracing::warn!(%error, "the ports taken cannot be remembered");
        }
        Ok(started)
    }

    /// Says in this node's own record where it is and whether it relays; who is not reached carries
    /// nobody.
    fn tell_where(&self, net: &Net) {
        let relays = self.config.reach.relay.0 && net.reached() != Reached::Nohow;
        let relay = relays.then_some(capability::RELAY);
        self.node.set_capabilities(relay.into_iter().collect());
        self.node.set_addresses(net.told_addresses());
        net.publish();
    }

    /// Tells the network whom to stay connected to.
    fn keep(&self) {
        let Some(net) = self.net() else { return };
        let own = self.node.node_key();
        let views = self.node.member_views();
        let relays: Vec<NodeKey> = views
            .iter()
            .filter(|member| member.status == Status::Active && member.relays)
            .map(|member| member.credential.node_key)
            .collect();
        net.set_relays(&relays);
        let members = views
            .into_iter()
            .filter(|member| member.status == Status::Active && member.credential.node_key != own)
            .map(|member| (member.credential.node_key, member.addresses))
            .chain(self.node.pending_ticket().map(|ticket| {
                let addresses = ticket.addresses.iter().map(|a| a.to_vec()).collect();
                (ticket.inviter, addresses)
            }))
            .collect();
        net.keep(members);
    }

    /// Ends every call, stream and connection with a node at once.
    pub fn disconnect(&self, node: NodeKey) {
        if let Some(net) = self.net() {
            net.disconnect(node);
        }
    }

    /// Says that members or the pending ticket changed.
    pub fn membership_changed(&self) {
        self.keep();
        self.changed.notify_waiters();
    }

    /// Greets members that connect and takes over what they know.
    async fn watch_connections(self: Arc<Self>, net: Arc<Net>) {
        let mut events = net.events();
        self.greet_connected(&net);
        loop {
            match events.recv().await {
                Ok(NetEvent::Connected(node)) => self.spawn_greeting(node),
                Ok(NetEvent::Disconnected(_)) => {}
                Ok(NetEvent::Moved) => {
                    self.tell_where(&net);
                    self.greet_kept(&net);
                }
                Err(RecvError::Lagged(_)) => self.greet_connected(&net),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn greet_connected(self: &Arc<Self>, net: &Net) {
        for connection in net.connections() {
            self.spawn_greeting(connection.node);
        }
    }

    /// Greets those this node stays connected to: a greeting keeps the others from falling idle.
    fn greet_kept(self: &Arc<Self>, net: &Net) {
        for connection in net.connections() {
            if net.keeps(connection.node) {
                self.spawn_greeting(connection.node);
            }
        }
    }

    fn greetings(&self) -> MutexGuard<'_, BTreeMap<NodeKey, Greeting>> {
        self.greetings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Greets a member in a task of its own, so that one that is silent holds up nobody else.
    /// Strangers are not greeted: a member we do not know yet says Hello first, and nobody else is
    /// to have our credential, addresses and keys.
    fn spawn_greeting(self: &Arc<Self>, node: NodeKey) {
        if !self.node.is_member(node) {
            return;
        }
        if let Some(under_way) = self.greetings().get_mut(&node) {
            *under_way = Greeting::Again;
            return;
        }
        self.greetings().insert(node, Greeting::Once);
        let daemon = self.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = daemon.shutdown.cancelled() => return,
                    () = daemon.greet(node) => {}
                }
                let mut greetings = daemon.greetings();
                match greetings.get_mut(&node) {
                    Some(again) if *again == Greeting::Again => *again = Greeting::Once,
                    Some(_) | None => {
                        greetings.remove(&node);
                        return;
                    }
                }
            }
        });
    }

    async fn greet(&self, node: NodeKey) {
        // Never closed, so the wait ends with a place.
        let _place = self.greeting.acquire().await;
        let member = match self.node.greet(node).await {
            Ok(member) => member,
            Err(error) => {
                tracing::debug!(%node, %error, "no Hello");
                self.learn_why(node).await;
                return;
            }
        };
        self.exchange_trust(node, member).await;
        // Who was revoked comes first: nobody is to be met who was thrown out.
        if let Err(code) = self.node.exchange_trust(member).await {
            tracing::debug!(%node, %code, "no revocation list");
        }
        match self.node.sync_members(member).await {
            Ok(news) => {
                tracing::debug!(%node, %member, news, "greeted");
                self.keep();
            }
            Err(code) => tracing::debug!(%node, %code, "no member list"),
        }
    }

    /// Asks how a request to join stands, and sees when the own credential names another node key.
    async fn look_after_join(self: Arc<Self>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_member = self.node.current_network().is_some();
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = poll.tick() => {}
            }
            self.poll_join().await;
            if self.node.is_superseded() {
                // Not in this task: it belongs to the network that is started anew.
                self.tasks.spawn(self.clone().follow_credential());
            }
            let is_member = self.node.current_network().is_some();
            if is_member && !was_member {
                self.greet_as_member();
            }
            was_member = is_member;
        }
    }

    /// Says Hello to whoever was connected before this node was a member. An administrator's command
    /// may have asked and been answered, and then nothing is left here to poll for.
    fn greet_as_member(self: &Arc<Self>) {
        tracing::info!("member of a network");
        self.keep();
        if let Some(net) = self.net() {
            self.greet_connected(&net);
        }
    }

    async fn poll_join(self: &Arc<Self>) {
        if self.node.pending_ticket().is_none() || self.node.current_network().is_some() {
            return;
        }
        match self.node.poll_join().await {
            Ok(JoinState::Approved | JoinState::Pending) => {}
            Ok(JoinState::Refused) => tracing::warn!("the request to join was refused"),
            Err(error) => tracing::debug!(code = %error.code(), "the inviter did not answer"),
        }
    }

    /// Stops a daemon that serves no admin socket; see [`Self::stop_after`].
    pub async fn stop(&self) {
        self.stop_after(std::future::ready(())).await;
    }

    /// Stops: no new calls, accepted work is finished, everything is durable. Work that does not end
    /// in `STOP_MAX` is cut short, whoever it waits for; the store is closed behind all of it.
    ///
    /// `serving` ends when the admin server has drained.
    pub async fn stop_after(&self, serving: impl Future<Output = ()>) {
        self.shutdown.cancel();
        let drained = async {
            serving.await;
            self.tasks.close();
            self.tasks.wait().await;
        };
        if tokio::time::timeout(STOP_MAX, drained).await.is_err() {
            tracing::warn!(
                tasks = self.tasks.len(),
                "not all work ended; it is cut short"
            );
        }
        if let Some(net) = self.net() {
            net.stop().await;
        }
        if let Err(error) = self.node.write_counted().await {
            tracing::warn!(code = %error.code(), "refusals cannot be counted in the log");
        }
        if let Err(error) = self.node.world().store().close().await {
            tracing::warn!(%error, "the index is behind the journal until the next start");
        }
    }
}
