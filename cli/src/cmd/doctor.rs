//! `doctor`.

use chartmesh_proto::admin::{DoctorReply, DoctorRequest};

use crate::{
    args::DoctorArgs,
    connect::Node,
    exit::{Exit, Failure},
    print::Screen,
    text::escape,
};

/// Checks the node's own state.
///
/// # Errors
/// A check fails, after the reply was printed.
pub(crate) async fn run(args: DoctorArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = DoctorRequest {
        accept_clock: args.accept_clock,
        repair: args.repair,
        accept_restore: args.accept_restore,
    };
    let reply = node
        .call_alone(args.passphrase, async |mut admin| {
            Ok(admin.doctor(request).await?.into_inner())
        })
        .await?;
    screen.reply(&reply, table)?;
    if reply.healthy {
        return Ok(());
    }
    let failed: Vec<&str> = reply
        .checks
        .iter()
        .filter(|check| check.status == "bad")
        .map(|check| check.name.as_str())
        .collect();
    Err(Failure::new(
        Exit::Refused,
        "UNHEALTHY",
        format!("these checks fail: {}", failed.join(", ")),
        "each check says what to do",
    ))
}

/// One line a check, and below it what to do where something is to be done.
fn table(reply: &DoctorReply) -> String {
    let width = reply.checks.iter().map(|check| check.name.len());
    let width = width.max().unwrap_or(0);
    let mut text = String::new();
    for check in &reply.checks {
        let [status, name, detail] = [&check.status, &check.name, &check.detail].map(|t| escape(t));
        text.push_str(&format!("{status:<4}  {name:<width$}  {detail}\n"));
        if !check.hint.is_empty() {
            let room = " ".repeat(width + 8);
            text.push_str(&format!("{room}-> {}\n", escape(&check.hint)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use chartmesh_proto::admin::Check;

    use super::*;

    #[test]
    fn what_to_do_stands_below_the_check() {
        let check = |name: &str, status: &str, hint: &str| Check {
            name: name.to_owned(),
            status: status.to_owned(),
            detail: "said\u{1b}".to_owned(),
            hint: hint.to_owned(),
        };
        let reply = DoctorReply {
            healthy: false,
            checks: vec![check("lock", "ok", ""), check("clock", "bad", "set it")],
        };

        assert_eq!(
            table(&reply),
            "ok    lock   said\\u{1b}\nbad   clock  said\\u{1b}\n             -> set it\n"
        );
    }
}
