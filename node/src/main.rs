//! `chartmeshd`, the daemon: wires store, network and admin socket to a node and runs it.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use chartmesh_core::types::Code;
use chartmesh_node::{
    api::{admin, serve_metrics, serve_peers},
    boot,
    config::Config,
    daemon::{Daemon, Reach},
    harden::harden,
    metrics::ServeError,
    net::{self, NetError},
    once, telemetry,
};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

/// The daemon of a chartmesh node: holds its records, answers its network, serves its own people.
#[derive(Parser)]
#[command(
    name = "chartmeshd",
    version,
    override_usage = "chartmeshd --node DIR [--passphrase-fd N]\n\nExample: chartmeshd --node ~/clinic"
)]
struct Args {
    /// The node's directory; `chartmesh init` makes one.
    #[arg(long, env = "CHARTMESH_NODE", value_name = "DIR")]
    node: PathBuf,
    /// Serve the one admin connection on standard input, without a network, and end with it.
    #[arg(long)]
    once: bool,
    /// Read the store's passphrase as one line from this file descriptor.
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u32>,
}

/// Names a file to which TLS libraries write what opens their connections.
const TLS_SECRETS: &str = "SSLKEYLOGFILE";
/// Longest passphrase.
const PASSPHRASE_MAX_BYTES: usize = 4 << 10;

/// What a failed start exits with (`decisions.md` 11).
fn exit(code: Code) -> ExitCode {
    ExitCode::from(match code {
        Code::DataDirLocked | Code::StorageFull | Code::PortTaken => 75,
        Code::Internal => 70,
        _ => 6,
    })
}

fn refuse(code: Code, why: &dyn std::fmt::Display) -> ExitCode {
    // Logging may not be up yet, and the last words must not be filtered.
    let why = telemetry::plain(&why.to_string());
    let _no_reader = writeln!(std::io::stderr(), "error code={code} {why}");
    exit(code)
}

/// The passphrase: from the service manager, else from the descriptor that was named.
fn passphrase(args: &Args) -> std::io::Result<Option<Zeroizing<String>>> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|folder| PathBuf::from(folder).join("chartmesh.passphrase"))
        .filter(|path| path.exists());
    let named = args
        .passphrase_fd
        .map(|fd| PathBuf::from(format!("/proc/self/fd/{fd}")));
    let Some(path) = credential.or(named) else {
        return Ok(None);
    };
    read_line(std::fs::File::open(path)?).map(Some)
}

/// The first line of a file. Byte by byte: a buffered reader would leave a copy behind, and what is
/// longer than the room made for it would be moved and leave one too.
fn read_line(mut file: impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_MAX_BYTES));
    let mut byte = Zeroizing::new([0]);
    while file.read(&mut *byte)? == 1 && byte[0] != b'\n' {
        if line.len() == PASSPHRASE_MAX_BYTES {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        line.push(byte[0]);
    }
    let text = std::str::from_utf8(&line).map_err(|_| std::io::ErrorKind::InvalidData)?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if std::env::var_os(TLS_SECRETS).is_some() {
        return refuse(
            Code::ConfigMalformed,
            &format!(
                "{TLS_SECRETS} is set: whoever reads that file reads every connection; unset it"
            ),
        );
    }
    let log = Config::load(&args.node).map_or_else(|_| "info".to_owned(), |config| config.log.0);
    telemetry::start(&log);
    let passphrase = match passphrase(&args) {
        Ok(passphrase) => passphrase,
        Err(error) => return refuse(Code::KeyRefused, &error),
    };
    // After the passphrase: a process that cannot be dumped cannot open its own descriptors by name.
    let hardened = harden();
    if !hardened.no_dump {
        tracing::warn!("the system does not keep this process from being dumped");
    }
    if args.once {
        return match once::run(&args.node, passphrase).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(Code::Internal, &error),
        };
    }
    run(&args.node, passphrase).await
}

async fn run(folder: &Path, passphrase: Option<Zeroizing<String>>) -> ExitCode {
    let since = Instant::now();
    let booted = match boot::open(folder, passphrase).await {
        Ok(booted) => booted,
        Err(error) => return refuse(error.code(), &error),
    };
    let daemon = Daemon::new(folder, booted, Reach::Network(serve_peers), since);
    if let Some(problem) = daemon.opened.problem() {
        let record = daemon.opened.journal.head.position;
        tracing::error!(problem = %problem, last_good_record = record, "read-only: nothing is written and no peer is answered; run chartmesh audit verify");
    }
    let socket = daemon.config.admin_socket.0.clone();
    let listener = match admin::listen(folder, socket.as_deref()) {
        Ok(listener) => listener,
        Err(error) => return refuse(Code::ConfigMalformed, &error),
    };
    provide_cryptography();
    tokio::spawn(net::warm_up());
    if let Err(error) = daemon.start_network().await {
        let code = match error {
            NetError::PortTaken { .. } => Code::PortTaken,
            _ => Code::ConfigMalformed,
        };
        return refuse(code, &error);
    }
    if let Err(error) = serve_metrics(&daemon).await {
        let code = match error {
            ServeError::Port(_) => Code::PortTaken,
            ServeError::NotLoopback => Code::ConfigMalformed,
        };
        return refuse(code, &error);
    }
    let serving = tokio::spawn(listener.serve(daemon.clone()));
    let mut serving = AbortOnDropHandle::new(serving);
    tracing::info!(node = %daemon.node.node_key(), start_ms = since.elapsed().as_millis(), "ready");
    let ended = wait_for_signal().await;
    tracing::info!("stopping");
    // A user that does not read what it asked for is cut off; that is no failure of the node.
    let mut served = Ok(Ok(()));
    daemon
        .stop_after(async { served = (&mut serving).await })
        .await;
    match (ended, served) {
        (Ok(()), Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::from(70),
    }
}

/// Makes aws-lc the cryptography of TLS for whoever names none.
fn provide_cryptography() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        tracing::debug!("TLS has its cryptography already");
    }
}

async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line_and_has_its_limit() {
        let read = |text: &[u8]| read_line(text).map(|line| line.to_string()).ok();
        assert_eq!(
            read(b"correct horse\r\nbattery").as_deref(),
            Some("correct horse")
        );
        assert_eq!(read(b"staple").as_deref(), Some("staple"));
        assert_eq!(
            read(&[b'x'; PASSPHRASE_MAX_BYTES]).map(|line| line.len()),
            Some(PASSPHRASE_MAX_BYTES)
        );

        assert_eq!(read(&[b'x'; PASSPHRASE_MAX_BYTES + 1]), None);
        assert_eq!(read(&[0xff]), None);
    }
}
