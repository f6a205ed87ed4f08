//! `chartmeshd --once`: no network, one admin connection on standard input, then the end.

use std::{path::Path, time::Instant};

use zeroize::Zeroizing;

use crate::{
    api::admin::{Admin, serve_one},
    boot,
    daemon::{Daemon, Reach},
};

/// Opens the node of a directory if it can be opened, serves one connection, and closes it again. A
/// directory without a node is served too: that is how `init` makes one.
///
/// # Errors
/// Standard input is no socket, or the connection could not be served.
pub async fn run(
    folder: &Path,
    passphrase: Option<Zeroizing<String>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let since = Instant::now();
    match boot::open(folder, passphrase).await {
        Ok(booted) => {
            let daemon = Daemon::new(folder, booted, Reach::Alone, since);
            let served = serve_one(|account| Admin::new(daemon.clone(), account)).await;
            daemon.stop().await;
            served
        }
        Err(error) => serve_one(|account| Admin::unopened(folder, error, account)).await,
    }
}
