//! `init`.

use std::path::Path;

use chartmesh_proto::admin::{InitReply, InitRequest};

use crate::{
    args::{InitArgs, PassphraseFd},
    ask,
    connect::Node,
    exit::Failure,
    print::Screen,
    text,
};

/// Makes keys, config and an empty store.
///
/// # Errors
/// The directory holds a node, or the daemon refuses.
pub(crate) async fn run(args: InitArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let request = InitRequest {
        passphrase: passphrase(&args)?,
        key_file: args
            .key_file
            .as_deref()
            .map_or(Ok(String::new()), absolute)?,
        name: args.name,
        kind: args.kind,
        npi: args.npi,
        address: args.address,
        phone: args.phone,
        state: args.state,
        part2: args.part2,
        listen: args.listen,
        hours: args.hours,
        contact: args.contact,
        test: args.test,
        member: args.member,
    };
    let reply = node
        .call_alone(PassphraseFd::default(), async |mut admin| {
            Ok(admin.init(request).await?.into_inner())
        })
        .await?;
    for warning in &reply.warnings {
        screen.note(warning);
    }
    screen.reply(&reply, |reply: &InitReply| {
        text::lines([
            ("node", reply.node.as_str()),
            ("member", reply.member.as_str()),
            ("directory", &node.directory().display().to_string()),
        ])
    })
}

fn passphrase(args: &InitArgs) -> Result<String, Failure> {
    match (args.passphrase_fd, args.passphrase) {
        (Some(number), _) => ask::passphrase_from(number),
        (None, true) => ask::passphrase_twice(),
        (None, false) => Ok(String::new()),
    }
}

/// The daemon may run in another working directory.
fn absolute(path: &Path) -> Result<String, Failure> {
    let whole = std::path::absolute(path).map_err(|error| Failure::file("used", path, &error))?;
    whole
        .into_os_string()
        .into_string()
        .map_err(|_| Failure::usage("the path of the key file is not UTF-8", "choose another"))
}
