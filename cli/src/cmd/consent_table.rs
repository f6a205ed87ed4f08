//! How consents read.

use chartmesh_proto::admin::{ConsentListReply, ConsentReply, ExplainReply, InForce, InForceReply};

use crate::text::{self, Table};

/// What was recorded.
pub(super) fn stated(reply: &ConsentReply) -> String {
    let head = text::lines([
        ("consent", reply.consent.as_str()),
        ("version", &reply.version.to_string()),
        ("profile", &reply.profile),
        ("class", &reply.class.to_string()),
    ]);
    format!("{head}{}", now(reply.now.as_ref()))
}

/// What holds after an opt-out, an opt-in or a revocation.
pub(super) fn in_force(reply: &InForceReply) -> String {
    let head = text::lines([("consent", reply.consent.as_str())]);
    let now = now(reply.now.as_ref());
    format!("{head}{now}in {} ms\n", reply.elapsed_ms)
}

fn now(now: Option<&InForce>) -> String {
    now.map_or_else(String::new, |now| {
        text::lines([
            ("now in force", now.decision.as_str()),
            ("policy", &now.policy),
            ("because", &now.because),
        ])
    })
}

/// A patient's consents.
pub(super) fn list(reply: &ConsentListReply) -> String {
    let mut table = Table::new([
        "CONSENT", "DECISION", "TO", "PURPOSE", "CLASS", "BY", "STATUS", "FROM", "UNTIL",
        "RECORDED", "PROFILE",
    ]);
    for consent in &reply.consents {
        table.row([
            &consent.consent,
            &consent.decision,
            &consent.to,
            &consent.purpose.join(" "),
            &consent.class.to_string(),
            &consent.by,
            &consent.status,
            &text::maybe_date(consent.from.as_ref()),
            &text::maybe_date(consent.until.as_ref()),
            &text::date(&consent.recorded),
            &consent.profile,
        ]);
    }
    table.or("no consents")
}

/// Why a question would be decided as it would.
pub(super) fn explained(reply: &ExplainReply) -> String {
    let mut table = Table::new(["CONSENT", "RULE", "USER"]);
    for because in &reply.because {
        table.row([
            because.consent.as_deref().unwrap_or_default(),
            &because.rule,
            because.user.as_deref().unwrap_or_default(),
        ]);
    }
    let head = text::lines([
        ("decision", reply.decision.as_str()),
        ("policy", &reply.policy),
        ("filtered", &reply.filtered.join(" ")),
        ("in words", &reply.text),
    ]);
    format!("{head}\n{}", table.or("no consent applies"))
}
