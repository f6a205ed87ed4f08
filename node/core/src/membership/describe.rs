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

/// What a charter changes against another, in plain words; empty where both rule the same.
pub fn differences(before: &Charter, after: &Charter) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut changed = |name: &str, was: String, is: String| {
        if was != is {
            lines.push(line(name, format!("{is} (was {was})")));
        }
    };
    changed(
        "version",
        before.version.to_string(),
        after.version.to_string(),
    );
    changed("signatures needed", needed(before), needed(after));
    changed(
        "status signatures needed",
        status_needed(before),
        status_needed(after),
    );
    changed(
        "credentials count from version",
        before.counts_from.to_string(),
        after.counts_from.to_string(),
    );
    let old = before.rules.lines(before.template);
    for (was, is) in old.into_iter().zip(after.rules.lines(after.template)) {
        changed(is.name, was.value, is.value);
    }
    for (name, old, new) in [
        ("authority", &before.authorities, &after.authorities),
        ("status key", &before.status_keys, &after.status_keys),
    ] {
        let kept = |key: &&[u8; 32]| !(old.contains(*key) && new.contains(*key));
        let moved: Vec<[u8; 32]> = new.iter().filter(kept).copied().collect();
        let left: Vec<[u8; 32]> = old.iter().filter(kept).copied().collect();
        lines.extend(key_lines(name, &moved, Some(&left)));
    }
    lines
}

fn needed(charter: &Charter) -> String {
    format!("{} of {}", charter.threshold, charter.authorities.len())
}

fn status_needed(charter: &Charter) -> String {
    let keys = charter.status_keys.len();
    format!("{} of {keys}", charter.status_threshold)
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
        line("signatures needed", needed(charter)),
    ];
    lines.extend(key_lines(
        "authority",
        &charter.authorities,
        before.map(|before| &before.authorities[..]),
    ));
    lines.push(line("status signatures needed", status_needed(charter)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        membership::{Rules, Template, fixture::Network},
        types::Span,
    };

    #[test]
    fn two_charters_differ_in_what_is_ruled_and_in_keys_that_come_and_go() {
        let before = Network::new().charter;
        assert_eq!(differences(&before, &before.clone()), []);
        let mut after = before.clone();
        after.rules = Rules {
            notice: Span::days(9),
            ..Rules::of(Template::UsTreatment)
        };
        after.template = Template::UsTreatment;
        after.authorities = vec![[9; 32]];

        let told = differences(&before, &after);

        let says = |name: &str, part: &str| {
            let mut named = told.iter().filter(|line| line.name == name);
            named.any(|line| line.value.contains(part))
        };
        assert!(says("authority", "(comes in)") && says("authority", "(goes)"));
        assert!(
            told.iter()
                .any(|line| line.value.contains("9 ") && line.value.contains("(was "))
        );
        assert!(!told.iter().any(|line| line.name == "status key"), "kept");
    }
}
