//! A daemon beside a member that takes every call and answers none, and beside a stranger.

use std::{path::Path, sync::Arc, time::Duration};

use chartmesh_core::{
    flows::Actor,
    membership::{Founding, JoinState, Organization, Rules, Template},
    types::{Kind, Role, UserId, limits::TICKET_LIFE},
};
use chartmesh_node::{
    api::serve_peers,
    boot::{self, Making},
    daemon::{Daemon, Reach},
    net::{Net, NetConfig, ReachConfig},
};
use tokio::time::{Instant, timeout};

/// Generous: a machine under load must not fail a test.
const PATIENCE: Duration = Duration::from_secs(60);
/// What stopping may take, and what a loaded machine adds.
const STOPPED: Duration = Duration::from_secs(20);

fn admin() -> Actor {
    Actor {
        user: UserId([1; 16]),
        name: "root".to_owned(),
        role: Role::Admin,
    }
}

async fn daemon(folder: &Path, name: &str) -> Arc<Daemon> {
    let folder = folder.join(name);
    let organization = Organization {
        name: name.to_owned(),
        kind: Kind::Clinic,
        npi: String::new(),
        oid: String::new(),
        address: "1 Elm St".to_owned(),
        contact: String::new(),
        phone: String::new(),
        hours: String::new(),
        state: "MA".to_owned(),
        part2: false,
        test: true,
    };
    let making = Making {
        organization,
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        passphrase: None,
        key_file: None,
        member: None,
    };
    boot::make(&folder, making).await.expect("a node");
    let booted = boot::open(&folder, None).await.expect("its directory");
    let since = std::time::Instant::now();
    Daemon::new(&folder, booted, Reach::Network(serve_peers), since)
}

async fn founded(folder: &Path) -> Arc<Daemon> {
    let founder = daemon(folder, "founder").await;
    let founding = Founding {
        name: "Front Range".to_owned(),
        template: Template::OptIn,
        rules: Rules::of(Template::OptIn),
        authorities: Vec::new(),
        threshold: 1,
        test: true,
    };
    founder
        .node
        .found(&admin(), founding)
        .await
        .expect("founded");
    founder.start_network().await.expect("a port");
    founder
}

async fn admitted(founder: &Daemon, applicant: &Arc<Daemon>) {
    let ticket = founder.node.invite(&admin(), TICKET_LIFE).await;
    let ticket = ticket.expect("a ticket");
    applicant.node.join(&admin(), &ticket).await.expect("asked");
    applicant.start_network().await.expect("a port");
    until(|| !founder.node.join_requests().is_empty()).await;
    let words = applicant.node.own_words(&ticket);
    founder
        .node
        .approve(&admin(), &words)
        .await
        .expect("approved");
    founder.membership_changed();
    until(|| applicant.node.current_network().is_some()).await;
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("in time");
}

/// The member answers neither Hello nor anything else: the daemon stops all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_stops_in_time_beside_a_member_that_never_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let founder = founded(folder.path()).await;
    let member = daemon(folder.path(), "member").await;
    admitted(&founder, &member).await;
    let listen = member.net().expect("a network").bound();
    let seed = member.node.identity().node.seed();
    member.stop().await;
    let network = founder.node.current_network().expect("a network").id;
    let own = founder.net().expect("a network");
    until(|| own.connections().is_empty()).await;
    // The same node key at the same port, and nobody behind it who serves.
    let config = NetConfig {
        seed,
        network,
        listen,
        directory: founder.node.clone(),
        reach: ReachConfig::default(),
    };
    let (silent, unserved) = Net::start(config).await.expect("its port is free");
    until(|| !own.connections().is_empty()).await;

    let before = Instant::now();
    founder.stop().await;

    assert!(before.elapsed() < STOPPED, "{:?}", before.elapsed());
    drop(unserved);
    silent.stop().await;
}

/// A second ticket, of another network, is asked with at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_ticket_takes_the_place_of_the_first_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    std::fs::create_dir(&one).expect("a folder");
    std::fs::create_dir(&other).expect("a folder");
    let (first, second) = (founded(&one).await, founded(&other).await);
    let applicant = daemon(folder.path(), "applicant").await;
    let ticket = first.node.invite(&admin(), TICKET_LIFE).await;
    let ticket = ticket.expect("a ticket");
    applicant.node.join(&admin(), &ticket).await.expect("asked");
    applicant.start_network().await.expect("a port");
    let state = applicant.node.poll_join().await.expect("an answer");
    assert_eq!(state, JoinState::Pending);

    admitted(&second, &applicant).await;

    let joined = applicant.node.current_network().expect("a network").id;
    assert_eq!(Some(joined), second.node.current_network().map(|n| n.id));
    for daemon in [first, second, applicant] {
        daemon.stop().await;
    }
}
