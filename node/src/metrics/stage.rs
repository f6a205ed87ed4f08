//! One step of a request, as long as it lasts.

use std::{sync::Arc, time::Instant};

use chartmesh_core::ports::Stage;

use super::Metrics;

/// A step under way; it ends when dropped. The span shows it in traces, where the filter lets them through.
#[derive(Debug)]
pub struct Step {
    metrics: Arc<Metrics>,
    stage: Stage,
    since: Instant,
    _span: tracing::Span,
}

impl Step {
    /// Begins a step.
    pub fn begin(metrics: &Arc<Metrics>, stage: Stage) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            stage,
            since: Instant::now(),
            _span: tracing::trace_span!("stage", stage = stage.name()),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.metrics.stages.took(self.stage, self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A call of a peer has about ten steps, and an answer takes milliseconds.
    #[test]
    fn a_step_costs_little_enough_to_stay_on() {
        const STEPS: u32 = 100_000;
        let metrics = Arc::new(Metrics::default());
        let since = Instant::now();

        for _ in 0..STEPS {
            drop(Step::begin(&metrics, Stage::Policy));
        }

        let each = since.elapsed() / STEPS;
        println!("a step costs {} ns", each.as_nanos());
        assert!(each < Duration::from_micros(20), "{each:?}");
    }
}
