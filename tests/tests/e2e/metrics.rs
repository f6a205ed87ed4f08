//! The page of metrics, as Prometheus would read it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::{
    node::{Node, text},
    world::World,
};

/// Switches metrics on, at a free port, from the next start on.
pub(crate) fn switch_on(node: &Node) {
    let path = node.dir.join("config.toml");
    let config = fs::read_to_string(&path).expect("the configuration");
    fs::write(&path, format!("metrics = \"127.0.0.1:0\"\n{config}")).expect("written");
}

/// What the page of a running node says.
pub(crate) fn scraped(node: &Node) -> String {
    let address = text(&node.ok(&["status"])["metrics"]);
    let mut stream = TcpStream::connect(&address).expect("a connection");
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    page
}

/// The value of one figure, by its whole name with labels.
pub(crate) fn figure(page: &str, name: &str) -> Option<f64> {
    let lines = page.lines().filter_map(|line| line.rsplit_once(' '));
    let mut found = lines.filter(|(named, _)| *named == name);
    found.next().and_then(|(_, value)| value.parse().ok())
}

/// Metrics are off until somebody switches them on, and then stay on this machine.
#[test]
fn metrics_are_served_on_loopback_where_they_are_switched_on() {
    let world = World::new();
    let mut node = world.node("clinic", "Maple Family Clinic", "clinic");
    node.start();
    assert!(node.ok(&["status"])["metrics"].is_null());
    node.stop();
    switch_on(&node);

    node.start();
    let page = scraped(&node);

    assert!(text(&node.ok(&["status"])["metrics"]).starts_with("127.0.0.1:"));
    assert_eq!(figure(&page, "chartmesh_well"), Some(0.0), "in no network");
    assert_eq!(figure(&page, "chartmesh_patients"), Some(0.0));
    assert!(figure(&page, "chartmesh_disk_used_bytes") > Some(0.0));
    let doctor = node.run(&["doctor"]).json;
    assert_eq!(doctor["healthy"], true, "{doctor}");
    node.stop();
    let path = node.dir.join("config.toml");
    let config = fs::read_to_string(&path).expect("the configuration");
    fs::write(&path, config.replace("127.0.0.1:0", "0.0.0.0:0")).expect("written");
    assert_eq!(node.start_in_vain(), 6);
}
