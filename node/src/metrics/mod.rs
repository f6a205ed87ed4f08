//! What an operator watches: counters, durations and gauges in the text format of Prometheus.
//!
//! Labels are closed enums, values are counts, bytes and seconds: nothing of a patient, of a user or of another
//! node's questions can stand here. Served on a loopback port, and only where the configuration names one.

mod figures;
mod gauges;
mod serve;
mod stage;

pub use figures::{Limit, Metrics, Outcome, Standing};
pub use gauges::Gauges;
pub use serve::{MetricsServer, ServeError};
pub use stage::Step;
