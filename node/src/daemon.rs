//! The running daemon: keeps the node on its network and its statements fresh.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use chartmesh_core::{
    flows::Node,
    membership::{JoinState, StoredIdentity},
    types::{NodeKey, Span, Timestamp},
};
use futures::future::BoxFuture;
use tokio::sync::{Notify, broadcast::error::RecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    boot::{self, Booted},
    config::Config,
    net::{Incoming, Net, NetConfig, NetError, NetEvent, address_bytes},
    store::StoreOpened,
    world::RealWorld,
};

/// The ports that were taken, tried first after a restart (`decisions.md` 7).
const LISTENING: &str = "listening";
/// How often members, counts and keys are looked after.
const ROUND: Duration = Duration::from_secs(60);
/// How often an applicant asks how its request stands.
const POLL: Duration = Duration::from_secs(1);
/// How often the key set and the node record are signed anew.
const RESIGN: Duration = Duration::from_secs(12 * 3600);

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
    net: OnceLock<Net>,
    starting: tokio::sync::Mutex<()>,
    changed: Notify,
    reach: Reach,
    shutdown: CancellationToken,
    tasks: TaskTracker,
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
            started: (crate::world::system_time(), since.elapsed()),
            identity: Mutex::new(booted.identity),
            net: OnceLock::new(),
            starting: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
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
    pub fn net(&self) -> Option<&Net> {
        self.net.get()
    }

    /// Ends when the daemon is to stop.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Starts the network where the node has one, or waits to join one.
    ///
    /// # Errors
    /// [`NetError`] where a port is taken or an address cannot be used.
    pub async fn start_network(self: &Arc<Self>) -> Result<(), NetError> {
        let Reach::Network(serve) = self.reach else {
            return Ok(());
        };
        if self.clock_behind.is_some() {
            return Ok(());
        }
        let _one_at_a_time = self.starting.lock().await;
        if self.net.get().is_some() {
            return Ok(());
        }
        let network = self
            .node
            .current_network()
            .map(|network| network.id)
            .or_else(|| self.node.pending_ticket().map(|ticket| ticket.network));
        let Some(network) = network else {
            return Ok(());
        };
        let (net, incoming) = self.listen(network).await?;
        self.node.world().connect(net.calls());
        self.node.set_addresses(net.listen_addresses_binary());
        self.tasks
            .spawn(serve(self.node.clone(), incoming, self.shutdown.clone()));
        let _only_start = self.net.set(net);
        self.keep();
        let daemon = self.clone();
        self.tasks
            .spawn(async move { daemon.watch_connections().await });
        let daemon = self.clone();
        self.tasks.spawn(async move { daemon.look_after().await });
        Ok(())
    }

    async fn listen(
        &self,
        network: chartmesh_core::types::NetworkId,
    ) -> Result<(Net, Incoming), NetError> {
        let config = |listen| NetConfig {
            seed: self.node.identity().node.seed(),
            network,
            listen,
        };
        let wanted = self.config.listen.0.clone();
        let path = self.folder.join(LISTENING);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let sticky = sticky(&wanted, &before);
        let started = match Net::start(config(sticky.clone())).await {
            // A port that was only remembered may be somebody else's by now.
            Err(NetError::PortTaken { .. }) if sticky != wanted => {
                Net::start(config(wanted.clone())).await
            }
            other => other,
        }?;
        let lines: Vec<String> = wanted
            .iter()
            .zip(started.0.bound())
            .map(|(asked, got)| format!("{asked} {got}"))
            .collect();
        if let Err(error) = std::fs::write(&path, lines.join("\n") + "\n") {
            tracing::warn!(error = %error.kind(), "the ports taken cannot be remembered");
        }
        Ok(started)
    }

    /// Tells the network whom to stay connected to.
    fn keep(&self) {
        let Some(net) = self.net.get() else { return };
        let own = self.node.node_key();
        let members = self
            .node
            .member_views()
            .into_iter()
            .filter(|member| member.active && member.credential.node_key != own)
            .map(|member| (member.credential.node_key, member.addresses))
            .chain(self.node.pending_ticket().map(|ticket| {
                let addresses = ticket.addresses.iter().map(|a| a.to_vec()).collect();
                (ticket.inviter, addresses)
            }))
            .collect();
        net.keep(members);
    }

    /// Says that members or the pending ticket changed.
    pub fn membership_changed(&self) {
        self.keep();
        self.changed.notify_waiters();
    }

    /// Greets whoever connects and takes over what it knows.
    async fn watch_connections(self: Arc<Self>) {
        let Some(net) = self.net.get() else { return };
        let mut events = net.events();
        for connection in net.connections() {
            self.spawn_greeting(connection.node);
        }
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                event = events.recv() => match event {
                    Ok(NetEvent::Connected(node)) => self.spawn_greeting(node),
                    Ok(NetEvent::Disconnected(_)) => {}
                    Err(RecvError::Lagged(_)) => {
                        for connection in net.connections() {
                            self.spawn_greeting(connection.node);
                        }
                    }
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    fn spawn_greeting(self: &Arc<Self>, node: NodeKey) {
        let daemon = self.clone();
        self.tasks.spawn(async move { daemon.greet(node).await });
    }

    async fn greet(&self, node: NodeKey) {
        if self.node.current_network().is_none() {
            return;
        }
        let member = match self.node.greet(node).await {
            Ok(member) => member,
            Err(error) => {
                tracing::debug!(%node, %error, "no Hello");
                return;
            }
        };
        match self.node.sync_members(member).await {
            Ok(news) => {
                tracing::debug!(%node, %member, news, "greeted");
                self.keep();
            }
            Err(code) => tracing::debug!(%node, %code, "no member list"),
        }
    }

    /// Rounds: joining, members, counts, keys.
    async fn look_after(self: Arc<Self>) {
        let mut round = tokio::time::interval(ROUND);
        let mut poll = tokio::time::interval(POLL);
        let mut signed = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                () = self.changed.notified() => self.poll_join().await,
                _ = poll.tick() => self.poll_join().await,
                _ = round.tick() => {
                    self.round().await;
                    if signed.elapsed() >= RESIGN {
                        self.node.refresh_statements();
                        signed = Instant::now();
                    }
                }
            }
        }
    }

    async fn poll_join(&self) {
        if self.node.pending_ticket().is_none() || self.node.current_network().is_some() {
            return;
        }
        match self.node.poll_join().await {
            Ok(JoinState::Approved) => {
                tracing::info!("joined the network");
                self.keep();
                if let Some(net) = self.net.get() {
                    for connection in net.connections() {
                        self.greet(connection.node).await;
                    }
                }
            }
            Ok(JoinState::Pending) => {}
            Ok(JoinState::Refused) => tracing::warn!("the request to join was refused"),
            Err(error) => tracing::debug!(code = %error.code(), "the inviter did not answer"),
        }
    }

    async fn round(&self) {
        if let Err(error) = self.node.write_counted().await {
            tracing::warn!(code = %error.code(), "refusals cannot be counted in the log");
        }
        if let Some(net) = self.net.get() {
            for connection in net.connections() {
                self.greet(connection.node).await;
            }
        }
        let mut identity = self
            .identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match boot::rotate_if_due(self.node.world().store(), &mut identity).await {
            Ok(false) => {}
            Ok(true) => {
                self.node
                    .install_opening_keys(boot::opening_keys(&identity));
                *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
                tracing::info!("a new sealing key is in use");
            }
            Err(error) => {
                tracing::warn!(code = %error.code(), "a new sealing key cannot be stored")
            }
        }
    }

    /// Stops: no new calls, accepted work is finished, everything is durable.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        if let Some(net) = self.net.get() {
            net.stop().await;
        }
        self.tasks.wait().await;
        if let Err(error) = self.node.write_counted().await {
            tracing::warn!(code = %error.code(), "refusals cannot be counted in the log");
        }
        if let Err(error) = self.node.world().store().close().await {
            tracing::warn!(%error, "the index is behind the journal until the next start");
        }
    }
}

/// The addresses to listen on, with the port each got before where it asked for any.
fn sticky(wanted: &[String], before: &str) -> Vec<String> {
    wanted
        .iter()
        .map(|asked| {
            before
                .lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(then, got)| then == asked && address_bytes(got).is_ok())
                .map_or_else(|| asked.clone(), |(_, got)| got.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_taken_is_asked_for_again_and_nothing_else_is() {
        let any = "/ip4/127.0.0.1/tcp/0".to_owned();
        let before = "/ip4/127.0.0.1/tcp/0 /ip4/127.0.0.1/tcp/41000\n";

        assert_eq!(
            sticky(std::slice::from_ref(&any), before),
            ["/ip4/127.0.0.1/tcp/41000"]
        );
        assert_eq!(sticky(std::slice::from_ref(&any), ""), [any.as_str()]);
        let garbage = "/ip4/127.0.0.1/tcp/0 nonsense\n";
        assert_eq!(sticky(std::slice::from_ref(&any), garbage), [any.as_str()]);
    }
}
