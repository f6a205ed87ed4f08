//! `doctor`.

use chartmesh_proto::admin::{DoctorReply, DoctorRequest};

use crate::{
    args::DoctorArgs,
    connect::Node,
    exit::{Exit, Failure},
    print::Screen,
    text::Table,
};

/// Checks the node's own state.
///
/// # Errors
/// A check fails, after the reply was printed.
pub(crate) async fn run(args: DoctorArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = DoctorRequest {
        accept_clock: args.accept_clock,
        repair: args.repair,
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
        .filter(|check| check.status == "fail")
        .map(|check| check.name.as_str())
        .collect();
    Err(Failure::new(
        Exit::Refused,
        "UNHEALTHY",
        format!("these checks fail: {}", failed.join(", ")),
        "each check says what to do",
    ))
}

fn table(reply: &DoctorReply) -> String {
    let mut table = Table::new(["CHECK", "STATUS", "DETAIL", "HINT"]);
    for check in &reply.checks {
        table.row([&check.name, &check.status, &check.detail, &check.hint]);
    }
    table.or("no checks")
}
