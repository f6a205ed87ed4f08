//! A proposal in plain words, for those who are asked to sign it.

use super::{Charter, Credential, Link, Proposed, RevocationList, key_words};

/// One thing a proposal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub name: String,
    /// Its value.
    pub value: String,
}

fn line(name: &str, value: impl ToString) -> Line {
    Line {
        name: name.to_owned(),
        value: value.to_string(),
    }
}

/// What a proposal would make true, in plain words; what a charter changes is told apart from what it
/// keeps.
pub fn describe(proposed: &Proposed, in_force: &Link) -> Vec<Line> {
    match proposed {
        Proposed::Charter(charter) => charter_lines(charter, in_force),
        Proposed::Credential(credential) => credential_lines(credential),
        Proposed::RevocationList(list) => list_lines(list),
    }
}

fn credential_lines(credential: &Credential) -> Vec<Line> {
    let organization = &credential.organization;
    let what = if credential.sequence == 1 {
        "admits a member to the network"
    } else {
        "gives a member another credential"
    };
    let mut lines = vec![
        line("effect", what),
        line("organization", &organization.name),
        line("kind", organization.kind),
    ];
    for (name, value) in [
        ("npi", &organization.npi),
        ("oid", &organization.oid),
        ("address", &organization.address),
        ("contact", &organization.contact),
        ("phone", &organization.phone),
        ("hours", &organization.hours),
        ("state", &organization.state),
    ] {
        if !value.is_empty() {
            lines.push(line(name, value));
        }
    }
    if organization.part2 {
        lines.push(line("part2", "a program under 42 CFR Part 2"));
    }
    if organization.test {
        lines.push(line("test", "test data only"));
    }
    lines.extend([
        line("member", credential.member),
        line("node", credential.node_key),
        line("sequence", credential.sequence),
        line("valid from", credential.valid_from),
        line("valid until", credential.valid_until),
        line("network", credential.network),
    ]);
    lines
}

fn charter_lines(charter: &Charter, in_force: &Link) -> Vec<Line> {
    let before = (charter.version > 0).then_some(&in_force.charter);
    let mut lines = vec![
        match before {
            None => line("effect", "founds a network"),
            Some(_) => line("effect", "replaces the charter in force"),
        },
        line("name", &charter.name),
        line("version", charter.version),
        line("network", in_force.network),
        line(
            "signatures needed",
            format!("{} of {}", charter.threshold, charter.authorities.len()),
        ),
    ];
    lines.extend(key_lines(
        "authority",
        &charter.authorities,
        before.map(|before| &before.authorities[..]),
    ));
    lines.push(line(
        "status signatures needed",
        format!(
            "{} of {}",
            charter.status_threshold,
            charter.status_keys.len()
        ),
    ));
    lines.extend(key_lines(
        "status key",
        &charter.status_keys,
        before.map(|before| &before.status_keys[..]),
    ));
    lines.extend(key_lines(
        "recovery key",
        &charter.recovery_keys,
        before.map(|before| &before.recovery_keys[..]),
    ));
    if charter.counts_from > 0 {
        lines.push(line("credentials count from version", charter.counts_from));
    }
    if charter.test {
        lines.push(line("test", "test data only"));
    }
    let old = before.map(|before| before.rules.lines(before.template));
    for (index, rule) in charter
        .rules
        .lines(charter.template)
        .into_iter()
        .enumerate()
    {
        let was = old.as_ref().and_then(|old| old.get(index));
        let value = match was {
            Some(was) if was.value != rule.value => {
                format!("{} (was {})", rule.value, was.value)
            }
            Some(_) | None => rule.value,
        };
        lines.push(line(rule.name, value));
    }
    lines.push(line("made", charter.issued_at));
    lines
}

/// Keys by their six words, with those that come and go marked.
fn key_lines(name: &str, keys: &[[u8; 32]], before: Option<&[[u8; 32]]>) -> Vec<Line> {
    let hex = |key: &[u8; 32]| data_encoding::HEXLOWER.encode(key);
    let shown =
        |key: &[u8; 32], mark: &str| line(name, format!("{} {}{mark}", key_words(key), hex(key)));
    let mut lines: Vec<Line> = keys
        .iter()
        .map(|key| match before {
            Some(before) if !before.contains(key) => shown(key, " (comes in)"),
            Some(_) | None => shown(key, ""),
        })
        .collect();
    let gone = before.unwrap_or_default().iter();
    lines.extend(
        gone.filter(|key| !keys.contains(key))
            .map(|key| shown(key, " (goes)")),
    );
    lines
}

fn list_lines(list: &RevocationList) -> Vec<Line> {
    let mut lines = vec![
        line("effect", "replaces the list of revoked members"),
        line("version", list.version),
        line("made", list.issued_at),
        line("network", list.network),
    ];
    lines.extend(list.members.iter().map(|member| line("revoked", member)));
    lines
}
