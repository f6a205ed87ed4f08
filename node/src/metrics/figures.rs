//! The figures that are counted as things happen.

use std::{
    net::SocketAddr,
    sync::OnceLock,
    time::{Duration, Instant},
};

use chartmesh_core::{
    ports::{CallError, Rpc, Stage},
    types::PeerCode,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::gauges::Gauges;

/// Upper ends of the classes of durations, in seconds: a memory access to a call that hits its limit.
const SECONDS: [f64; 14] = [
    0.000_01, 0.000_05, 0.000_2, 0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Calls of peers.
    pub served: Served,
    /// Calls to peers.
    pub asked: Asked,
    /// Where the time of calls and commands goes.
    pub stages: Stages,
    /// Where the page is served, once it is.
    pub address: OnceLock<SocketAddr>,
}

/// Calls of peers that were answered or refused.
#[derive(Debug)]
pub struct Served {
    /// Calls by method, outcome and standing of the caller.
    calls: Family<ServedCall, Counter>,
    /// Seconds until the answer, by method; of a fetch, until its first part can be read.
    seconds: Family<Method, Histogram>,
    /// Calls that a limit refused before they were looked at.
    limits: Family<LimitHit, Counter>,
}

/// Calls to peers.
#[derive(Debug)]
pub struct Asked {
    /// Calls by method and outcome.
    calls: Family<AskedCall, Counter>,
    /// Seconds until the answer, by method.
    seconds: Family<Method, Histogram>,
}

/// Steps of requests.
#[derive(Debug)]
pub struct Stages {
    /// Seconds by stage.
    seconds: [Histogram; Stage::ALL.len()],
    family: Family<StageLabel, Histogram>,
}

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: MethodName,
}

/// A label of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct MethodName(Rpc);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServedCall {
    method: MethodName,
    outcome: Outcome,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AskedCall {
    method: MethodName,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitHit {
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: StageName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StageName(Stage);

/// How a call ended, as far as the transport sees: what a sealed answer says is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// With a refusal that is told in the clear.
    Refused(PeerCode),
    /// No connection.
    Unreachable,
    /// The connection ended before the answer.
    Lost,
    /// The other end speaks another protocol.
    Incompatible,
}

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// An active member.
    Member,
    /// Somebody else: an applicant, a former member, a stranger.
    Stranger,
}

/// A limit that can be hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Calls of one member at a time.
    MemberCalls,
    /// Calls of one stranger at a time, or in a minute.
    StrangerCalls,
    /// How long a call may take.
    CallTime,
}

/// Writes a closed set of words as a label.
macro_rules! label {
    ($name:ty, $value:ident => $word:expr) => {
        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                let $value = self;
                $word.encode(encoder)
            }
        }
    };
}

label!(MethodName, value => value.0.name());
label!(StageName, value => value.0.name());
label!(Outcome, value => match value {
    Self::Answered => "answered",
    Self::Refused(code) => code.text(),
    Self::Unreachable => "unreachable",
    Self::Lost => "lost",
    Self::Incompatible => "incompatible",
});
label!(Standing, value => match value {
    Self::Member => "member",
    Self::Stranger => "stranger",
});
label!(Limit, value => match value {
    Self::MemberCalls => "member-calls",
    Self::StrangerCalls => "stranger-calls",
    Self::CallTime => "call-time",
});

impl From<Option<PeerCode>> for Outcome {
    fn from(refusal: Option<PeerCode>) -> Self {
        refusal.map_or(Self::Answered, Self::Refused)
    }
}

impl From<CallError> for Outcome {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable => Self::Unreachable,
            CallError::Lost => Self::Lost,
            CallError::Incompatible => Self::Incompatible,
            CallError::Refused(code) => Self::Refused(code),
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Served {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            limits: Family::default(),
        }
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(histogram),
        }
    }
}

impl Default for Stages {
    fn default() -> Self {
        let family: Family<StageLabel, Histogram> = Family::new_with_constructor(histogram);
        let seconds = Stage::ALL.map(|stage| {
            let stage = StageName(stage);
            family.get_or_create_owned(&StageLabel { stage })
        });
        Self { seconds, family }
    }
}

impl Served {
    /// A call that began then has ended.
    pub fn ended(&self, rpc: Rpc, standing: Standing, outcome: Outcome, since: Instant) {
        let method = MethodName(rpc);
        let call = ServedCall {
            method,
            outcome,
            standing,
        };
        self.calls.get_or_create(&call).inc();
        let seconds = since.elapsed().as_secs_f64();
        self.seconds
            .get_or_create(&Method { method })
            .observe(seconds);
    }

    /// A limit refused or ended a call.
    pub fn limited(&self, limit: Limit) {
        self.limits.get_or_create(&LimitHit { limit }).inc();
    }
}

impl Asked {
    /// A call that began then has ended.
    pub fn ended(&self, rpc: Rpc, outcome: Outcome, since: Instant) {
        let method = MethodName(rpc);
        self.calls
            .get_or_create(&AskedCall { method, outcome })
            .inc();
        let seconds = since.elapsed().as_secs_f64();
        self.seconds
            .get_or_create(&Method { method })
            .observe(seconds);
    }
}

impl Stages {
    /// A step took so long.
    pub fn took(&self, stage: Stage, time: Duration) {
        self.seconds[stage as usize].observe(time.as_secs_f64());
    }
}

impl Metrics {
    /// All figures in the text format, with gauges read at this moment.
    ///
    /// # Errors
    /// The text cannot be written, which memory does not let happen.
    pub fn text(&self, gauges: &Gauges) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("chartmesh");
        registry.register(
            "peer_calls",
            "Calls of peers by method, outcome and standing of the caller",
            self.served.calls.clone(),
        );
        registry.register(
            "peer_call_seconds",
            "Time until a peer has its answer",
            self.served.seconds.clone(),
        );
        registry.register(
            "limits_hit",
            "Calls of peers that a limit refused or ended",
            self.served.limits.clone(),
        );
        registry.register(
            "asked_calls",
            "Calls to peers by method and outcome",
            self.asked.calls.clone(),
        );
        registry.register(
            "asked_call_seconds",
            "Time until a peer answered",
            self.asked.seconds.clone(),
        );
        registry.register(
            "stage_seconds",
            "Time in one stage of a request",
            self.stages.family.clone(),
        );
        gauges.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_stands_in_the_text_under_closed_labels() {
        let metrics = Metrics::default();
        let now = Instant::now();
        metrics
            .served
            .ended(Rpc::Locate, Standing::Member, None.into(), now);
        let refused = Outcome::Refused(PeerCode::NotMember);
        metrics
            .served
            .ended(Rpc::Hello, Standing::Stranger, refused, now);
        metrics.served.limited(Limit::StrangerCalls);
        metrics
            .asked
            .ended(Rpc::Fetch, CallError::Unreachable.into(), now);
        metrics
            .stages
            .took(Stage::Journal, Duration::from_millis(3));

        let text = metrics.text(&Gauges::default()).expect("text");

        for line in [
            "chartmesh_peer_calls_total{method=\"locate\",outcome=\"answered\",standing=\"member\"} 1",
            "chartmesh_peer_calls_total{method=\"hello\",outcome=\"NOT_MEMBER\",standing=\"stranger\"} 1",
            "chartmesh_limits_hit_total{limit=\"stranger-calls\"} 1",
            "chartmesh_asked_calls_total{method=\"fetch\",outcome=\"unreachable\"} 1",
            "chartmesh_stage_seconds_bucket{le=\"0.005\",stage=\"journal\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
