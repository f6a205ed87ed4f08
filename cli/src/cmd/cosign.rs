//! `network authority`, `cosign`, `amend`, `recover`: what authorities do together.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use chartmesh_proto::admin::{
    AmendRequest, AuthorityReply, CosignRequest, DisputedLine, Empty, ProposalLine, ProposalsReply,
    RecoveryKeyReply,
};

use super::network::{chosen_policy, proposal_text, small_text, texts};
use crate::{
    args::{AmendArgs, AuthorityChange, CosignArgs, PassphraseFd, RecoverArgs, RecoveryKeyArgs},
    ask,
    connect::{Admin, Node},
    exit::{Exit, Failure},
    print::Screen,
    text,
};

/// What ids of proposals start with.
const PROPOSAL: &str = "pro_";

pub(super) async fn authority(
    passphrase: PassphraseFd,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let reply = node
        .call_alone(passphrase, async |mut admin| {
            Ok(admin.network_authority(Empty {}).await?.into_inner())
        })
        .await?;
    screen.note(&format!("compare by telephone: {}", reply.words));
    screen.reply(&reply, |reply: &AuthorityReply| {
        format!("{}\n", text::escape(&reply.authority))
    })
}

pub(super) async fn cosign(args: CosignArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let Some(what) = args.what else {
        let reply = node
            .call(async |mut admin| Ok(admin.network_proposals(Empty {}).await?.into_inner()))
            .await?;
        return screen.reply(&reply, |reply: &ProposalsReply| {
            if reply.proposals.is_empty() {
                "nothing waits for signatures\n".to_owned()
            } else {
                table(&reply.proposals)
            }
        });
    };
    let is_file = !what.starts_with(PROPOSAL) || Path::new(&what).exists();
    let request = |show| -> Result<CosignRequest, Failure> {
        Ok(if is_file {
            CosignRequest {
                id: String::new(),
                file: proposal_text(Path::new(&what))?,
                show,
            }
        } else {
            CosignRequest {
                id: what.clone(),
                file: String::new(),
                show,
            }
        })
    };
    let (look, sign) = (request(true)?, request(false)?);
    let work = async |mut admin: Admin| {
        let shown = admin.network_cosign(look).await?.into_inner();
        if args.show {
            return Ok(shown);
        }
        ask::confirm(screen, &table(&shown.proposals), "Sign exactly this?")?;
        Ok(admin.network_cosign(sign).await?.into_inner())
    };
    let reply = if is_file {
        node.call_alone(args.passphrase, work).await?
    } else {
        node.call(work).await?
    };
    signed(reply, args.out.as_deref(), screen)
}

pub(super) async fn amend(args: AmendArgs, node: &Node, screen: &Screen) -> Result<(), Failure> {
    let (policy, rules) = chosen_policy(args.policy.as_deref())?;
    let request = AmendRequest {
        policy,
        rules,
        ..change(&args.change)?
    };
    propose(request, &args.change, node, screen).await
}

pub(super) async fn recover(
    args: RecoverArgs,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let request = AmendRequest {
        recovery_seed: args.key.iter().map(secret_text).collect::<Result<_, _>>()?,
        ..change(&args.change)?
    };
    propose(request, &args.change, node, screen).await
}

pub(super) async fn recovery_key(
    args: RecoveryKeyArgs,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.out)
        .map_err(|error| Failure::file("write", &args.out, &error))?;
    let mut reply = node
        .call_alone(args.passphrase, async |mut admin| {
            Ok(admin.network_recovery_key(Empty {}).await?.into_inner())
        })
        .await?;
    let seed = std::mem::take(&mut reply.seed);
    file.write_all(format!("{seed}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| Failure::file("write", &args.out, &error))?;
    screen.reply(&reply, |reply: &RecoveryKeyReply| {
        text::lines([("key", reply.key.as_str()), ("words", reply.words.as_str())])
    })
}

fn change(change: &AuthorityChange) -> Result<AmendRequest, Failure> {
    Ok(AmendRequest {
        policy: String::new(),
        rules: String::new(),
        authority: texts(&change.authority)?,
        remove: change.remove.clone(),
        threshold: change.threshold,
        counts_from: change.counts_from,
        recovery_seed: Vec::new(),
    })
}

async fn propose(
    request: AmendRequest,
    change: &AuthorityChange,
    node: &Node,
    screen: &Screen,
) -> Result<(), Failure> {
    let reply = node
        .call(async |mut admin| Ok(admin.network_amend(request).await?.into_inner()))
        .await?;
    if let Some(out) = &change.out {
        write_file(out, &reply.file)?;
    }
    screen.reply(&reply, |reply: &ProposalsReply| table(&reply.proposals))
}

fn signed(reply: ProposalsReply, out: Option<&Path>, screen: &Screen) -> Result<(), Failure> {
    if let Some(out) = out {
        write_file(out, &reply.file)?;
    }
    screen.reply(&reply, |reply: &ProposalsReply| table(&reply.proposals))
}

/// Puts a text into a file, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::file("write", path, error);
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| failed(&error))?;
    file.write_all(format!("{text}\n").as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// A file with a secret, which nobody else may read.
fn secret_text(path: &PathBuf) -> Result<String, Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| Failure::file("read", path, &error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Failure::new(
            Exit::Refused,
            "PERMISSIONS",
            format!("{} can be read by others", path.display()),
            "chmod 600 the file",
        ));
    }
    Ok(small_text(path)?.trim().to_owned())
}

/// What is proposed, in plain words.
pub(super) fn table(proposals: &[ProposalLine]) -> String {
    let shown = proposals.iter().map(|line| {
        let signed = format!(
            "{} of {} signed{}",
            line.signed,
            line.needed,
            if line.signed_here { ", here too" } else { "" }
        );
        let mut rows = vec![
            ("proposal", line.id.as_str()),
            ("kind", line.kind.as_str()),
            ("state", line.state.as_str()),
            ("signatures", signed.as_str()),
        ];
        rows.extend(
            line.missing
                .iter()
                .map(|key| ("must sign too", key.as_str())),
        );
        rows.extend(
            line.says
                .iter()
                .map(|field| (field.name.as_str(), field.value.as_str())),
        );
        text::lines(rows)
    });
    shown.collect::<Vec<_>>().join("\n") + "\n"
}

/// The banner over everything while a charter is disputed.
pub(super) fn disputed(lines: &[DisputedLine]) -> String {
    let mut banner = String::new();
    for line in lines {
        let said = match (&line.takes_effect, &line.in_force) {
            (Some(at), _) => format!(
                "RECOVERY: recovery keys replace the authorities at {} by charter {}\n",
                text::date(at),
                text::escape(&line.charter)
            ),
            (None, in_force) => format!(
                "CHARTER_FORK: version {} is {} and also {}; decide with chartmesh network adopt\n",
                line.version,
                text::escape(in_force.as_deref().unwrap_or("none")),
                text::escape(&line.charter)
            ),
        };
        banner.push_str(&said);
    }
    banner
}
