//! Nodes that cannot simply dial each other: address translators, firewalls and proxies between them.
//!
//! Each test makes an internet of its own in network namespaces, which needs root; elsewhere they skip and
//! say so.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    time::{Duration, Instant},
};

use data_encoding::BASE64;

use crate::{
    internet::{ConnectProxy, Host, Internet, Router, at},
    node::{Node, text},
    people::{ROSA, pdf, words},
    story::import,
    world::{World, admit, line_of, lines, patient},
};

/// Long enough to find out that nobody can dial in, to be relayed, and for the news to spread.
const SETTLED: Duration = Duration::from_secs(120);
const HOSPITAL: &str = "203.0.113.10";
const CREDENTIALS: &str = "lab:s3cret-of-the-proxy";

/// A hospital that relays, with a public address; it founds the network.
fn hospital(world: &World, internet: &mut Internet) -> Node {
    let host = internet.host("hospital", HOSPITAL);
    let listen = format!("/ip4/{HOSPITAL}/tcp/443");
    let mut hospital = node(world, &host, "St. Brigid Hospital", &listen, "relay = true");
    hospital.start();
    hospital.ok(&[
        "network",
        "found",
        "--name",
        "Springfield",
        "--policy",
        "us-treatment",
        "--test",
    ]);
    hospital
}

/// A node on a host; its daemon does not run yet.
fn node(world: &World, host: &Host, organization: &str, listen: &str, reach: &str) -> Node {
    let name = organization.split(' ').next().unwrap_or_default();
    let node = world.node_at(name, organization, listen).on(host);
    let path = node.dir.join("config.toml");
    let config = fs::read_to_string(&path).expect("a configuration");
    fs::write(path, format!("{config}\n[reach]\n{reach}\n")).expect("written");
    node
}

/// A member behind a router.
fn member(world: &World, host: &Host, organization: &str, reach: &str, founder: &Node) -> Node {
    let listen = "/ip4/0.0.0.0/tcp/7420";
    let mut member = node(world, host, organization, listen, reach);
    member.start();
    admit(founder, &member);
    member
}

/// What one node sees of another: the path to it, or *none*.
fn path(node: &Node, other: &Node) -> String {
    let peers = node.ok(&["peers"]);
    let line = lines(&peers["peers"]).find(|peer| peer["node"] == other.id.as_str());
    line.map_or_else(|| "none".to_owned(), |line| text(&line["path"]))
}

fn rtt_ms(node: &Node, other: &Node) -> Option<f64> {
    let peers = node.ok(&["peers"]);
    let line = lines(&peers["peers"]).find(|peer| peer["node"] == other.id.as_str());
    line.and_then(|line| line["rtt_ms"].as_f64())
}

fn answer(asker: &Node, holder: &Node) -> String {
    let ledger = asker.run(&words(&ROSA.question())).json;
    let line = lines(&ledger["nodes"]).find(|line| line["node"] == holder.id.as_str());
    line.map_or_else(String::new, |line| text(&line["answer"]))
}

#[track_caller]
fn finds(asker: &Node, holder: &Node) {
    asker.wait("the record is found", SETTLED, || {
        answer(asker, holder) == "match"
    });
}

/// Fetches a document that must arrive whole; gives how long that took.
#[track_caller]
fn fetches(world: &World, asker: &Node, holder: &Node, len_bytes: usize) -> Duration {
    let scan = [CANARY.as_bytes(), &pdf(len_bytes)].concat();
    let file = world.file("scan.pdf", &scan);
    let rosa = patient(holder, ROSA.family);
    let added = holder.ok(&[
        "document",
        "add",
        "--patient",
        &rosa,
        "--type",
        "18842-5",
        &file,
    ]);
    let ledger = asker.ok(&words(&ROSA.question()));
    let handle = text(&line_of(&ledger, holder)["handle"]);
    let out = world.out("out.pdf");
    let began = Instant::now();
    asker.ok(&[
        "fetch",
        "--handle",
        &handle,
        "--document",
        &text(&added["document"]),
        "--purpose",
        "TREAT",
        "--out",
        &out,
    ]);
    let took = began.elapsed();
    assert!(fs::read(&out).expect("written") == scan, "the same bytes");
    fs::remove_file(out).expect("it was there");
    took
}

/// A word of a document, and of nothing else.
const CANARY: &str = "QzxwhiskeyvaqQzxtangovaq";

/// Whether a word stands anywhere in the memory of a node's daemon.
fn remembers(node: &Node, word: &str) -> bool {
    let process = format!("/proc/{}", node.process());
    let maps = fs::read_to_string(format!("{process}/maps")).expect("its maps");
    let memory = File::open(format!("{process}/mem")).expect("its memory");
    let areas = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        rest.starts_with("rw")
            .then_some((number(from)?, number(to)?))
    });
    areas.into_iter().any(|(from, to)| {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or_default()];
        // What was unmapped meanwhile holds nothing.
        memory.read_exact_at(&mut bytes, from).is_ok() && holds(&bytes, word.as_bytes())
    })
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Two nodes whose routers keep ports find each other through a relay, and then punch a hole.
///
/// The hard case is that neither can be dialled: only what both do at the same moment opens the way.
#[test]
fn two_nodes_behind_address_translators_meet_at_a_relay_and_then_talk_directly() {
    let Some(mut internet) = Internet::new() else {
        return;
    };
    let world = World::new();
    let hospital = hospital(&world, &mut internet);
    let (host, _) = internet.site("clinic", "203.0.113.1", 1, Router::Cone);
    let clinic = member(&world, &host, "Maple Clinic", "", &hospital);
    let (host, _) = internet.site("harbor", "203.0.113.2", 2, Router::Cone);
    let harbor = member(&world, &host, "Harbor Care", "", &hospital);
    import(&clinic, &world.file("rosa.json", &ROSA.bundle()));

    finds(&harbor, &clinic);

    for (node, other) in [(&harbor, &clinic), (&clinic, &harbor)] {
        node.wait("a hole is punched", SETTLED, || {
            path(node, other) == "direct"
        });
    }
    let said = [harbor.said(), clinic.said()].concat();
    let punched = said
        .lines()
        .find(|line| line.contains("direct, after relayed"))
        .expect("it was relayed before");
    println!("{punched}");
    println!("rtt direct: {:?} ms", rtt_ms(&harbor, &clinic));
    fetches(&world, &harbor, &clinic, 1 << 20);
    // The relay is needed no more, or a call would not go through.
    drop(hospital);
    finds(&harbor, &clinic);
}

/// Where no hole can be punched everything goes through the relay, which learns nothing of it; and where the
/// relay dies, that is no missing record.
#[test]
fn behind_a_symmetric_translator_everything_goes_through_the_relay() {
    let Some(mut internet) = Internet::new() else {
        return;
    };
    let world = World::new();
    let mut hospital = hospital(&world, &mut internet);
    let (host, _) = internet.site("clinic", "203.0.113.1", 1, Router::Symmetric);
    let clinic = member(&world, &host, "Maple Clinic", "", &hospital);
    let (host, _) = internet.site("harbor", "203.0.113.2", 2, Router::Symmetric);
    let harbor = member(&world, &host, "Harbor Care", "", &hospital);
    import(&clinic, &world.file("rosa.json", &ROSA.bundle()));

    finds(&harbor, &clinic);
    let took = fetches(&world, &harbor, &clinic, 8 << 20);

    println!(
        "8 MiB relayed: {took:?}, rtt: {:?} ms",
        rtt_ms(&harbor, &clinic)
    );
    let gave_up = || {
        [harbor.said(), clinic.said()]
            .concat()
            .contains("no way but")
    };
    harbor.wait("punching is given up", SETTLED, gave_up);
    assert_eq!(path(&harbor, &clinic), "relayed");
    assert_eq!(path(&clinic, &harbor), "relayed");
    assert_eq!(path(&harbor, &hospital), "direct");
    assert!(remembers(&hospital, "Maple Clinic"), "memory can be read");
    for word in [CANARY, ROSA.line] {
        assert!(!remembers(&hospital, word), "the relay has read {word}");
    }

    let doctor = harbor.ok(&["doctor"]);
    let reached = lines(&doctor["checks"]).find(|check| check["name"] == "reachable");
    let reached = reached.expect("doctor looks at it").to_string();
    assert!(reached.contains("through St. Brigid Hospital"), "{reached}");

    hospital.kill();
    harbor.wait("the relay is missed", SETTLED, || {
        path(&harbor, &clinic) == "none"
    });
    let ledger = harbor.run(&words(&ROSA.question())).expect(5).json;
    assert_eq!(ledger["complete"], false, "{ledger}");
    assert_eq!(line_of(&ledger, &clinic)["answer"], "unreachable");
    hospital.start();
    finds(&harbor, &clinic);
}

/// A laboratory whose network lets out nothing but TCP 443, and another that has nothing but an HTTP proxy
/// with a password, join, are found, and are fetched from.
#[test]
fn nodes_that_may_only_go_out_on_443_or_through_a_proxy_join_and_are_found() {
    let Some(mut internet) = Internet::new() else {
        return;
    };
    let world = World::new();
    let hospital = hospital(&world, &mut internet);
    let host = internet.host("harbor", "203.0.113.20");
    let mut harbor = node(
        &world,
        &host,
        "Harbor Care",
        "/ip4/203.0.113.20/tcp/7420",
        "inbound = \"open\"",
    );
    harbor.start();
    admit(&hospital, &harbor);
    let (host, _) = internet.site("imaging", "203.0.113.3", 3, Router::Only443);
    let imaging = member(&world, &host, "Quarry Imaging", "", &hospital);
    let (host, gateway) = internet.site("lab", "203.0.113.4", 4, Router::Sealed);
    let line: &'static str = BASE64.encode(CREDENTIALS.as_bytes()).leak();
    let proxy = ConnectProxy::start(&gateway, at([10, 4, 0, 1], 3128), line);
    let secret = world.file("proxy-credentials", CREDENTIALS.as_bytes());
    let rights = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&secret, rights).expect("its owner's alone");
    let through = format!("proxy = \"http://10.4.0.1:3128\"\nproxy_credentials = \"{secret}\"");
    let lab = member(&world, &host, "Stone Laboratory", &through, &hospital);

    for holder in [&imaging, &lab] {
        import(holder, &world.file("rosa.json", &ROSA.bundle()));
        finds(&harbor, holder);
        assert_eq!(path(&harbor, holder), "relayed");
        fetches(&world, &harbor, holder, 1 << 20);
    }

    let carried = proxy.kept();
    assert!(proxy.carried() > 1 << 20, "{}", carried.len());
    for word in [CANARY, ROSA.line, ROSA.family] {
        assert!(!holds(&carried, word.as_bytes()), "{word} in the clear");
    }
    for secret in [CREDENTIALS, line] {
        assert!(!lab.said().contains(secret), "a password in the log");
        let shown = lab.ok(&["config", "show", "--origin"]).to_string();
        assert!(!shown.contains(secret), "{shown}");
    }
}
