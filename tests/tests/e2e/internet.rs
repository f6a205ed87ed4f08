//! An internet on one machine: network namespaces on a bridge, some of them behind a router that
//! translates addresses or lets little out.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What a router does with those behind it.
#[derive(Clone, Copy)]
pub(crate) enum Router {
    /// Translates addresses and keeps the port, as most home routers do; lets in only answers.
    Cone,
    /// Translates each connection to a port of its own.
    Symmetric,
    /// Translates addresses and lets out TCP to port 443 and nothing else.
    Only443,
    /// Lets out nothing at all: what runs on it may be spoken to.
    Sealed,
}

/// The namespaces of one test; they are gone when this is dropped, whatever happened.
pub(crate) struct Internet {
    prefix: String,
    hosts: Vec<String>,
}

/// A host by the name of its namespace.
#[derive(Clone)]
pub(crate) struct Host(String);

impl Host {
    /// The words before a command that is to run on this host.
    pub(crate) fn words(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.0].map(str::to_owned).to_vec()
    }
}

impl Internet {
    /// An internet with nobody on it; none where this user cannot make namespaces.
    pub(crate) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut internet = Self {
            prefix: format!("cm{}-{count}-", std::process::id()),
            hosts: Vec::new(),
        };
        if let Err(why) = internet.open() {
            println!("skipped: no network namespaces here: {why}");
            assert!(
                std::env::var_os("CHARTMESH_DEMAND_NAMESPACES").is_none(),
                "network namespaces are demanded: {why}"
            );
            return None;
        }
        Some(internet)
    }

    fn open(&mut self) -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("this needs root".to_owned());
        }
        attempt(&["iptables", "--version"])?;
        let backbone = self.namespace("backbone")?;
        attempt(&words(&format!(
            "ip -n {backbone} link add name br0 type bridge"
        )))?;
        attempt(&words(&format!("ip -n {backbone} link set br0 up")))
    }

    fn namespace(&mut self, name: &str) -> Result<String, String> {
        let name = format!("{}{name}", self.prefix);
        attempt(&["ip", "netns", "add", &name])?;
        self.hosts.push(name.clone());
        attempt(&["ip", "-n", &name, "link", "set", "lo", "up"])?;
        Ok(name)
    }

    /// A host with a public address.
    pub(crate) fn host(&mut self, name: &str, address: &str) -> Host {
        let host = self.namespace(name).expect("a namespace");
        let backbone = format!("{}backbone", self.prefix);
        let port = format!("port{}", self.hosts.len());
        run(&format!(
            "ip -n {backbone} link add name {port} type veth peer name eth0 netns {host}"
        ));
        run(&format!("ip -n {backbone} link set {port} master br0 up"));
        run(&format!("ip -n {host} addr add {address}/24 dev eth0"));
        run(&format!("ip -n {host} link set eth0 up"));
        Host(host)
    }

    /// A host with a private address behind a router with a public one; gives both.
    pub(crate) fn site(
        &mut self,
        name: &str,
        public: &str,
        net: u8,
        router: Router,
    ) -> (Host, Host) {
        let gateway = self.host(&format!("{name}-gw"), public);
        let inside = Host(self.namespace(name).expect("a namespace"));
        let (Host(gate), Host(host)) = (&gateway, &inside);
        run(&format!(
            "ip -n {gate} link add name lan0 type veth peer name eth0 netns {host}"
        ));
        run(&format!("ip -n {gate} addr add 10.{net}.0.1/24 dev lan0"));
        run(&format!("ip -n {gate} link set lan0 up"));
        run(&format!("ip -n {host} addr add 10.{net}.0.2/24 dev eth0"));
        run(&format!("ip -n {host} link set eth0 up"));
        run(&format!("ip -n {host} route add default via 10.{net}.0.1"));
        route(gate, router);
        (inside, gateway)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for host in &self.hosts {
            if let Err(why) = attempt(&["ip", "netns", "del", host]) {
                eprintln!("{host} is left behind: {why}");
            }
        }
    }
}

fn route(gate: &str, router: Router) {
    let tables = |rule: &str| run(&format!("ip netns exec {gate} iptables {rule}"));
    for chain in ["INPUT", "FORWARD"] {
        tables(&format!(
            "-A {chain} -i eth0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
        ));
        tables(&format!("-A {chain} -i eth0 -j DROP"));
    }
    let translate = "-t nat -A POSTROUTING -o eth0 -j MASQUERADE";
    match router {
        Router::Cone => tables(translate),
        Router::Symmetric => {
            for protocol in ["tcp", "udp"] {
                tables(&format!(
                    "-t nat -A POSTROUTING -o eth0 -p {protocol} -j MASQUERADE --random-fully"
                ));
            }
        }
        Router::Only443 => {
            tables("-A FORWARD -i lan0 -p tcp --dport 443 -j ACCEPT");
            tables("-A FORWARD -i lan0 -j REJECT");
            tables(translate);
        }
        Router::Sealed => tables("-A FORWARD -i lan0 -j REJECT"),
    }
    if !matches!(router, Router::Sealed) {
        run(&format!(
            "ip netns exec {gate} sysctl -qw net.ipv4.ip_forward=1"
        ));
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[track_caller]
fn run(line: &str) {
    attempt(&words(line)).expect("the network is made");
}

fn attempt(words: &[&str]) -> Result<(), String> {
    let line = words.join(" ");
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{line}: {}", said.trim()))
}

/// An HTTP proxy on a host that connects to port 443 and wants a password; it counts what it carries and
/// keeps it.
pub(crate) struct ConnectProxy {
    carried: Arc<AtomicU64>,
    kept: mpsc::Receiver<Vec<u8>>,
}

impl ConnectProxy {
    /// Listens on a host until the test ends.
    pub(crate) fn start(host: &Host, at: SocketAddr, line: &'static str) -> Self {
        let (ready, listening) = mpsc::channel();
        let (keep, kept) = mpsc::channel();
        let carried = Arc::new(AtomicU64::new(0));
        let counter = carried.clone();
        let namespace = PathBuf::from("/var/run/netns").join(&host.0);
        thread::spawn(move || {
            let namespace = File::open(namespace).expect("the namespace");
            // Of this thread, and of those that it starts.
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("inside");
            let listener = TcpListener::bind(at).expect("a listener");
            ready.send(()).expect("the test waits");
            for near in listener.incoming().flatten() {
                let (keep, counter) = (keep.clone(), counter.clone());
                thread::spawn(move || {
                    // Who asks wrongly is told and hung up on; that is all.
                    let _ = serve(near, line, &keep, &counter);
                });
            }
        });
        listening.recv().expect("the proxy listens");
        Self { carried, kept }
    }

    /// Bytes carried so far, both ways.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Everything carried since this was asked last.
    pub(crate) fn kept(&self) -> Vec<u8> {
        self.kept.try_iter().flatten().collect()
    }
}

fn serve(
    mut near: TcpStream,
    line: &str,
    keep: &mpsc::Sender<Vec<u8>>,
    counter: &Arc<AtomicU64>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8_192 {
        let mut byte = [0];
        near.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let target = head
        .strip_prefix("connect ")
        .and_then(|rest| rest.split(' ').next());
    let wanted = format!("proxy-authorization: basic {line}\r\n").to_lowercase();
    let answer = match target {
        _ if !head.contains(&wanted) => "407 Proxy Authentication Required",
        Some(target) if target.ends_with(":443") => "200 Connection established",
        _ => "403 Forbidden",
    };
    let far = match (answer, target) {
        ("200 Connection established", Some(target)) => TcpStream::connect(target),
        _ => Err(ErrorKind::PermissionDenied.into()),
    };
    let answer = if far.is_err() && answer.starts_with("200") {
        "502 Bad Gateway"
    } else {
        answer
    };
    near.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes())?;
    let far = far?;
    let ways = [(near.try_clone()?, far.try_clone()?), (far, near)];
    for (from, to) in ways {
        let (keep, counter) = (keep.clone(), counter.clone());
        thread::spawn(move || carry(from, &to, &keep, &counter));
    }
    Ok(())
}

fn carry(
    mut from: TcpStream,
    mut to: &TcpStream,
    keep: &mpsc::Sender<Vec<u8>>,
    counter: &AtomicU64,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
        // After the test nobody keeps it.
        let _ = keep.send(buffer[..read].to_vec());
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other end may have gone first.
    let _ = to.shutdown(Shutdown::Both);
}

/// An address for a proxy.
pub(crate) fn at(ip: [u8; 4], port: u16) -> SocketAddr {
    (Ipv4Addr::from(ip), port).into()
}
