//! Structured logs on standard error: logfmt-like text on a terminal, JSON under a service manager.
//!
//! Nothing of a patient is logged: fields are ids, codes, counts and times (checked by `tests/tidy`).
//! Audit events are not logs.

use tracing_subscriber::EnvFilter;

/// Starts logging with a filter such as `info` or `chartmesh_node=debug,info`.
///
/// A filter that cannot be read falls back to `info` and says so.
pub fn start(filter: &str) {
    let parsed = EnvFilter::try_new(filter);
    let unreadable = parsed.is_err();
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    // systemd sets this where standard error goes to the journal (systemd.exec).
    let service = std::env::var_os("JOURNAL_STREAM").is_some();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    let started = if service {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
    if started.is_ok() && unreadable {
        tracing::warn!("the log filter cannot be read; logging at info");
    }
}
