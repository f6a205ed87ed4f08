//! Decoders of the daemon's own crate: its configuration, the addresses of other nodes, and what its own
//! people ask it over the admin socket.

use std::path::Path;

use chartmesh_node::{
    config::Config,
    net::{address_bytes, address_text},
};

/// A name, and what is done with an input.
type Target = (&'static str, fn(&[u8]));

/// The targets of this file.
pub(crate) const TARGETS: &[Target] = &[("config", config), ("address", address)];

fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let folder = Path::new("node");
    let plain = Config::read(folder, "", None).expect("defaults");
    if let Ok(config) = Config::read(folder, text, None) {
        let lines = plain.values().len();
        assert_eq!(config.values().len(), lines, "every value has its line");
    }
}

fn address(data: &[u8]) {
    if let Ok(text) = address_text(data) {
        assert!(
            address_bytes(&text).is_ok_and(|again| again == data),
            "an address reads back"
        );
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(bytes) = address_bytes(text)
        && let Ok(again) = address_text(&bytes)
    {
        assert!(address_bytes(&again).is_ok_and(|again| again == bytes));
    }
}
