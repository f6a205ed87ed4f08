//! A daemon in a process of its own, an honest member that calls it all the while, and the key of a
//! member that means harm.

use std::{
    fmt::Debug,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use chartmesh_core::{
    flows::{Actor, Search},
    membership::{Founding, Organization, Rules, Template},
    records::{Demographics, Name},
    types::{
        Kind, MemberId, NetworkId, Purpose, Role, Sex, UserId,
        limits::{LOCATE_DEADLINE, TICKET_LIFE},
    },
};
use chartmesh_node::{
    api::serve_peers,
    boot::{self, Making},
    daemon::{Daemon, Reach},
};
use libp2p::identity::{self, Keypair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::{self, Runtime},
    time::timeout,
};

use crate::{frame, raw};

/// Generous: a machine under load must not fail a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What an honest call may take, flood or not.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(2);
/// How soon a node is itself again once a flood is over.
pub(crate) const RECOVERED: Duration = Duration::from_secs(10);
/// What the daemon may hold in memory.
const MEMORY_MAX_KIB: u64 = 512 << 10;
/// Where honest nodes call from, and where floods come from: two hosts, as far as addresses tell.
pub(crate) const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const HOSTILE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// One of 250 more hosts that floods come from.
pub(crate) fn other_host(number: usize) -> IpAddr {
    let last = u8::try_from(number % 250).unwrap_or(0);
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, last + 1))
}

/// How long a flood lasts: seconds, or as many as `CHARTMESH_LONG` says.
pub(crate) fn lasts() -> Duration {
    let long = std::env::var("CHARTMESH_LONG").ok();
    let seconds = long.and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// Few in every test run, and many where `CHARTMESH_LONG` is set.
pub(crate) fn count(few: usize, many: usize) -> usize {
    if std::env::var_os("CHARTMESH_LONG").is_some() {
        many
    } else {
        few
    }
}

/// Questions for patients that the town's charter allows a member in a day.
const LOCATE_PER_DAY: u32 = 100;
/// Before it is known where the daemon listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Where the daemon's log goes.
const LOG: &str = "founder.log";

pub(crate) struct Town {
    process: Child,
    pub(crate) tcp: SocketAddr,
    pub(crate) quic: SocketAddr,
    pub(crate) network: NetworkId,
    pub(crate) honest: Arc<Daemon>,
    pub(crate) rogue: Keypair,
    founder: MemberId,
    folder: tempfile::TempDir,
}

impl Drop for Town {
    fn drop(&mut self) {
        // It may have ended by itself, which its test has seen.
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            let said = self.said();
            let last: Vec<&str> = said.lines().rev().take(20).collect();
            println!("the daemon said last, newest first: {last:#?}");
        }
    }
}

/// What was seen of honest calls.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) worst: Duration,
    pub(crate) peak_kib: u64,
}

impl Town {
    /// Founds a network of three, whose founder then runs in a process of its own, begun by a shell
    /// with this in front.
    pub(crate) async fn found(before: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let founder = daemon(folder.path(), "founder").await;
        let founding = Founding {
            name: "Front Range".to_owned(),
            template: Template::OptIn,
            rules: Rules {
                locate_per_day: LOCATE_PER_DAY,
                ..Rules::of(Template::OptIn)
            },
            authorities: Vec::new(),
            threshold: 1,
            test: true,
        };
        let founded = founder.node.found(&admin(), founding).await;
        assert!(founded.is_ok());
        founder.start_network().await.expect("ports");
        let honest = daemon(folder.path(), "honest").await;
        let rogue = daemon(folder.path(), "rogue").await;
        for applicant in [&honest, &rogue] {
            admitted(&founder, applicant).await;
        }
        let mut seed = *rogue.node.identity().node.seed();
        let seed = identity::ed25519::SecretKey::try_from_bytes(&mut seed).expect("a key");
        let member = founder.node.member();
        let network = founder.node.current_network().expect("a network").id;
        rogue.stop().await;
        founder.stop().await;
        drop(founder);
        let mut town = Self {
            process: spawn(before, folder.path()),
            tcp: NOWHERE,
            quic: NOWHERE,
            network,
            honest,
            rogue: identity::ed25519::Keypair::from(seed).into(),
            founder: member,
            folder,
        };
        let start = Instant::now();
        while timeout(PATIENCE, town.call()).await != Ok(true) {
            assert!(start.elapsed() < PATIENCE, "the founder does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        [town.tcp, town.quic] = town.listens();
        town
    }

    /// Where the process listens, as it says: a port of the founding may have been taken meanwhile, not
    /// least by the founding's own QUIC, which lingers for seconds.
    fn listens(&self) -> [SocketAddr; 2] {
        let path = self.folder.path().join("founder").join("listening");
        let told = std::fs::read_to_string(path).expect("where it listens");
        let mut lines = told.lines().filter_map(|line| line.split_once(' '));
        let mut next = || socket(lines.next().expect("an address").1);
        [next(), next()]
    }

    /// What the process has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(LOG)).expect("a log")
    }

    /// One honest call: who are the members?
    pub(crate) async fn call(&self) -> bool {
        self.honest.node.sync_members(self.founder).await.is_ok()
    }

    /// Lets a flood run, and calls all the while. No call may fail or take longer than [`CALL_MAX`].
    pub(crate) async fn during<T>(&self, flood: impl Future<Output = T>) -> (T, Figures) {
        let mut figures = Figures {
            calls: 0,
            worst: Duration::ZERO,
            peak_kib: 0,
        };
        tokio::pin!(flood);
        let ended = loop {
            let calling = async {
                let start = Instant::now();
                let answered = timeout(CALL_MAX, self.call()).await;
                (answered, start.elapsed())
            };
            tokio::pin!(calling);
            let (ended, (answered, took)) = tokio::select! {
                ended = &mut flood => (Some(ended), calling.await),
                called = &mut calling => (None, called),
            };
            assert_eq!(answered, Ok(true), "after {took:?}, {figures:?}");
            figures.calls += 1;
            figures.worst = figures.worst.max(took);
            if let Some(ended) = ended {
                break ended;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        figures.peak_kib = self.memory("VmHWM:");
        assert!(figures.peak_kib < MEMORY_MAX_KIB, "{figures:?}");
        (ended, figures)
    }

    /// What the daemon's process holds in memory, in kibibytes.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the daemon runs");
        let line = status.lines().find_map(|text| text.strip_prefix(line));
        let words = line.and_then(|rest| rest.split_whitespace().next());
        words
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// How long it takes until somebody new is connected over TCP, with a member's key, and let in: a
    /// connection that a limit refuses is ended only after its handshake.
    pub(crate) async fn connects(&self) -> Duration {
        let start = Instant::now();
        loop {
            let entered = async {
                let muxed = raw::muxed(HONEST, self.tcp, &self.rogue).await?;
                muxed.open(&self.protocol()).await
            };
            match timeout(PATIENCE, entered).await {
                Ok(Ok(_)) => return start.elapsed(),
                other => assert!(start.elapsed() < PATIENCE, "nobody is let in: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Lets a flood run as [`Self::during`], and then sees that the node is itself again: somebody new
    /// is let in, and its own people are served.
    pub(crate) async fn survives<T: Debug>(&self, name: &str, flood: impl Future<Output = T>) -> T {
        let (ended, figures) = self.during(flood).await;
        let start = Instant::now();
        let (newcomer, ()) = tokio::join!(self.connects(), self.serves_its_own());
        assert!(self.call().await);
        let recovered = start.elapsed();
        println!("{name}: {ended:?}, {figures:?}, newcomer {newcomer:?}, recovered {recovered:?}");
        assert!(recovered < RECOVERED, "{recovered:?}");
        ended
    }

    /// The admin socket speaks HTTP/2.
    async fn serves_its_own(&self) {
        let path = self.folder.path().join("founder").join("admin.sock");
        let greeted = async {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(frame::PREFACE).await?;
            let settings = frame::http(frame::SETTINGS, 0, 0, &[]);
            stream.write_all(&settings).await?;
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            std::io::Result::Ok(head[3])
        };
        let first = timeout(PATIENCE, greeted).await.expect("in time");
        assert_eq!(first.expect("an answer"), frame::SETTINGS);
    }

    /// Runs the member that means harm as any other is run, until the founder answers it.
    pub(crate) async fn rogue_runs(&self) -> Flooder {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let (founder, folder) = (self.founder, self.folder.path().join("rogue"));
        let starting = runtime.spawn(async move {
            let booted = boot::open(&folder, None).await.expect("its directory");
            let network = Reach::Network(serve_peers);
            let rogue = Daemon::new(&folder, booted, network, Instant::now());
            rogue.start_network().await.expect("ports");
            while rogue.node.sync_members(founder).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            rogue
        });
        let started = timeout(PATIENCE, starting).await.expect("in time");
        Flooder {
            rogue: started.expect("it answers"),
            founder,
            runtime: Some(runtime),
        }
    }

    /// The protocol of its streams.
    pub(crate) fn protocol(&self) -> String {
        format!("/chartmesh/{}/grpc/1", self.network.short())
    }
}

/// A member on threads of its own, so that its own work delays no honest call in this process.
pub(crate) struct Flooder {
    rogue: Arc<Daemon>,
    founder: MemberId,
    runtime: Option<Runtime>,
}

impl Drop for Flooder {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Flooder {
    /// Runs on its threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let runtime = self.runtime.as_ref().expect("until it is dropped");
        runtime.spawn(work).await.expect("no panic")
    }

    /// What it asks the founder with.
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            rogue: self.rogue.clone(),
            founder: self.founder,
        }
    }
}

/// Asks the founder on behalf of a member.
#[derive(Clone)]
pub(crate) struct Asker {
    rogue: Arc<Daemon>,
    founder: MemberId,
}

impl Asker {
    /// What the founder says to a member that asks who holds a patient.
    pub(crate) async fn locate(&self) -> &'static str {
        let search = Search {
            demographics: Demographics {
                names: vec![Name {
                    family: "Vega".to_owned(),
                    given: vec!["Rosa".to_owned()],
                }],
                birth_date: Some("1950-03-04".to_owned()),
                sex: Some(Sex::Female),
                ..Demographics::default()
            },
            patient: None,
            purpose: Purpose::Treat,
            deadline: LOCATE_DEADLINE,
            only: vec![self.founder],
        };
        let clinician = Actor {
            role: Role::Clinician,
            ..admin()
        };
        let ledger = self.rogue.node.locate(&clinician, &search).await;
        let ledger = ledger.expect("what it asks is recorded");
        let mut lines = ledger.lines.iter();
        let line = lines.find(|line| line.member == self.founder);
        line.expect("a line for every member").answer.term()
    }

    /// Says Hello to the founder.
    pub(crate) async fn greet(&self) -> bool {
        let views = self.rogue.node.member_views().into_iter();
        let mut founders = views.filter(|view| view.credential.member == self.founder);
        let founder = founders.next().expect("a member").credential.node_key;
        self.rogue.node.greet(founder).await.is_ok()
    }

    /// Who are the members?
    pub(crate) async fn call(&self) -> bool {
        self.rogue.node.sync_members(self.founder).await.is_ok()
    }

    pub(crate) async fn stop(&self) {
        self.rogue.stop().await;
    }
}

fn spawn(before: &str, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join(LOG)).expect("a log");
    let program = env!("CARGO_BIN_EXE_chartmeshd");
    Command::new("sh")
        .arg("-c")
        .arg(format!("{before} exec \"$0\" --node \"$1\""))
        .arg(program)
        .arg(folder.join("founder"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("a process")
}

fn socket(address: &str) -> SocketAddr {
    let parts: Vec<&str> = address.split('/').collect();
    let text = format!("{}:{}", parts[2], parts[4]);
    text.parse().expect("an address")
}

pub(crate) fn admin() -> Actor {
    Actor {
        user: UserId([1; 16]),
        name: "root".to_owned(),
        role: Role::Admin,
    }
}

async fn daemon(folder: &Path, name: &str) -> Arc<Daemon> {
    let folder: PathBuf = folder.join(name);
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
        listen: vec![
            "/ip4/127.0.0.1/tcp/0".to_owned(),
            "/ip4/127.0.0.1/udp/0/quic-v1".to_owned(),
        ],
        passphrase: None,
        key_file: None,
        member: None,
    };
    boot::make(&folder, making).await.expect("a node");
    let booted = boot::open(&folder, None).await.expect("its directory");
    Daemon::new(&folder, booted, Reach::Network(serve_peers), Instant::now())
}

async fn admitted(founder: &Daemon, applicant: &Arc<Daemon>) {
    let ticket = founder.node.invite(&admin(), TICKET_LIFE).await;
    let ticket = ticket.expect("a ticket");
    applicant.node.join(&admin(), &ticket).await.expect("asked");
    applicant.start_network().await.expect("ports");
    until(|| !founder.node.join_requests().is_empty()).await;
    let words = applicant.node.own_words(&ticket);
    let approved = founder.node.approve(&admin(), &words).await;
    approved.expect("approved");
    founder.membership_changed();
    until(|| applicant.node.current_network().is_some()).await;
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("in time");
}
