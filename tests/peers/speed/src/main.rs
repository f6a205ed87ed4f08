//! Load for `tests/peers/speed.sh`: the same transfer through a daemon and through tonic with mutual TLS.
//!
//! Each command checks what arrives and prints one JSON object with what it took; the script does the
//! interleaving, the other peers and the table.

mod admin;
mod tls;

use std::{path::PathBuf, time::Instant};

use clap::{Args, Parser};

/// What went wrong, for the person at the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Load on a daemon and on tonic with mutual TLS.
#[derive(Parser)]
enum Command {
    /// Fetches a document through the admin socket of the asking daemon.
    Fetch {
        /// The daemon's admin socket.
        #[arg(long)]
        socket: PathBuf,
        /// A patient's handle; each worker has its own where there are several.
        #[arg(long, required = true)]
        handle: Vec<String>,
        /// A document of each.
        #[arg(long, required = true)]
        document: Vec<String>,
        #[command(flatten)]
        load: Load,
    },
    /// Serves a file over tonic with mutual TLS; prints its port and serves until it is killed.
    Serve {
        #[command(flatten)]
        keys: tls::Keys,
        /// The file.
        #[arg(long)]
        file: PathBuf,
    },
    /// Gets that file.
    Get {
        #[command(flatten)]
        keys: tls::Keys,
        /// The port of `serve` on loopback.
        #[arg(long)]
        port: u16,
        #[command(flatten)]
        load: Load,
    },
}

/// How much is asked for.
#[derive(Args, Clone, Copy)]
struct Load {
    /// Transfers in all.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Transfers at a time.
    #[arg(long, default_value_t = 1)]
    workers: u32,
    /// Bytes that each must bring.
    #[arg(long)]
    bytes: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    match Command::parse() {
        Command::Fetch {
            socket,
            handle,
            document,
            load,
        } => {
            let admin = admin::connect(socket).await?;
            if handle.len() != document.len() {
                return Err("as many documents as handles".into());
            }
            timed(load, move |worker| {
                let which = worker as usize % handle.len();
                admin::fetch(
                    admin.clone(),
                    handle[which].clone(),
                    document[which].clone(),
                )
            })
            .await
        }
        Command::Serve { keys, file } => tls::serve(&keys, &file).await,
        Command::Get { keys, port, load } => {
            let channel = tls::connect(&keys, port).await?;
            timed(load, move |_| tls::get(channel.clone())).await
        }
    }
}

/// Runs a load, one transfer ahead of the clock, and prints what it took.
async fn timed<F, T>(load: Load, transfer: F) -> Result<(), Failure>
where
    F: Fn(u32) -> T + Clone + Send + 'static,
    T: Future<Output = Result<u64, Failure>> + Send,
{
    check(load, transfer(0).await?)?;
    let began = Instant::now();
    let workers = (0..load.workers).map(|worker| {
        let transfer = transfer.clone();
        let share = (worker..load.count).step_by(load.workers as usize).count();
        tokio::spawn(async move {
            let mut took_ms = Vec::with_capacity(share);
            for _ in 0..share {
                let began = Instant::now();
                check(load, transfer(worker).await?)?;
                took_ms.push(began.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, Failure>(took_ms)
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut took_ms = Vec::new();
    for worker in workers {
        took_ms.extend(worker.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took_ms.sort_by(f64::total_cmp);
    let quantile = |of: f64| took_ms[((took_ms.len() - 1) as f64 * of) as usize];
    println!(
        "{}",
        serde_json::json!({
            "count": load.count,
            "bytes": load.bytes,
            "seconds": seconds,
            "p50_ms": quantile(0.50),
            "p99_ms": quantile(0.99),
        })
    );
    Ok(())
}

fn check(load: Load, bytes: u64) -> Result<(), Failure> {
    if bytes == load.bytes {
        Ok(())
    } else {
        Err(format!("{bytes} bytes came, {} were asked for", load.bytes).into())
    }
}
