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
            lines.push(line(name, or_was(is, Some(&was))));
        }
    };
    changed(
        "version",
        before.version.to_string(),
        after.version.to_string(),
    );
    changed("name", before.name.clone(), after.name.clone());
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
    let plain = rule_lines(after, None);
    let rules = rule_lines(after, Some(before)).into_iter();
    lines.extend(rules.filter(|line| !plain.contains(line)));
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
    let term = |name: &str, of: fn(&Charter) -> String| {
        line(name, or_was(of(charter), before.map(of).as_deref()))
    };
    let mut lines = vec![
        match before {
            None => line("effect", "founds a network"),
            Some(_) => line("effect", "replaces the charter in force"),
        },
        term("name", |charter| charter.name.clone()),
        line("version", charter.version),
        line("network", in_force.network),
        term("signatures needed", needed),
    ];
    lines.extend(key_lines(
        "authority",
        &charter.authorities,
        before.map(|before| &before.authorities[..]),
    ));
    lines.push(term("status signatures needed", status_needed));
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
        lines.push(term("credentials count from version", |charter| {
            charter.counts_from.to_string()
        }));
    }
    if charter.test {
        lines.push(line("test", "test data only"));
    }
    lines.extend(rule_lines(charter, before));
    lines.push(line("made", charter.issued_at));
    lines
}

/// A value, with the one before where that was another.
fn or_was(value: String, before: Option<&str>) -> String {
    match before {
        Some(before) if before != value => format!("{value} (was {before})"),
        Some(_) | None => value,
    }
}

/// Rules by their names, with those that change, come and go marked.
fn rule_lines(charter: &Charter, before: Option<&Charter>) -> Vec<Line> {
    let rules = charter.rules.lines(charter.template);
    let Some(before) = before else {
        let lines = rules.into_iter();
        return lines.map(|rule| line(rule.name, rule.value)).collect();
    };
    let old = before.rules.lines(before.template);
    let shown = rules.iter().map(|rule| {
        let was = old.iter().find(|was| was.name == rule.name);
        let value = match was {
            Some(was) => or_was(rule.value.clone(), Some(&was.value)),
            None => format!("{} (comes in)", rule.value),
        };
        line(rule.name, value)
    });
    let gone = old
        .iter()
        .filter(|was| rules.iter().all(|rule| rule.name != was.name))
        .map(|was| line(was.name, format!("{} (goes)", was.value)));
    shown.chain(gone).collect()
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
        crypto::SigningKey,
        membership::{
            Amendment, Keys, Rules, Template,
            fixture::{NOW, Network, founding, key, organization, sign_genesis, subject},
        },
        types::Span,
    };

    /// Of three authorities with a status key each and one recovery key, with an agreement.
    fn founded(change: fn(&mut Charter)) -> Link {
        let authorities = [key(101), key(102), key(103)];
        let public = |seed: u8| key(seed).public();
        let keys = Keys {
            status: vec![public(111), public(112), public(113)],
            status_threshold: 2,
            recovery: vec![public(120)],
        };
        let mut charter =
            Charter::genesis_with(founding(&authorities, 2), keys, NOW, [9; 16]).unwrap();
        charter.rules.agreement_sha256 = Some([0xAB; 32]);
        charter.rules.agreement_url = "https://springfield.example/agreement".to_owned();
        change(&mut charter);
        Link::claimed(&sign_genesis(&charter, &authorities)).unwrap()
    }

    fn of_charter(charter: &Charter, in_force: &Link) -> Vec<Line> {
        describe(&Proposed::Charter(charter.clone()), in_force)
    }

    fn amended(in_force: &Link, amendment: &Amendment) -> Vec<Line> {
        let next = in_force.amended(amendment, NOW, [3; 16]).unwrap();
        of_charter(&next, in_force)
    }

    fn values<'a>(lines: &'a [Line], name: &str) -> Vec<&'a str> {
        let named = lines.iter().filter(|line| line.name == name);
        named.map(|line| line.value.as_str()).collect()
    }

    /// What is said of a key, behind its words and digits.
    fn marks(lines: &[Line], name: &str, key: &SigningKey) -> Vec<String> {
        let words = key_words(&key.public());
        let hex = data_encoding::HEXLOWER.encode(&key.public());
        let known = format!("{words} {hex}");
        values(lines, name)
            .iter()
            .filter_map(|value| value.strip_prefix(&known))
            .map(|mark| mark.trim().to_owned())
            .collect()
    }

    fn is_marked(line: &&Line) -> bool {
        ["(was ", "(comes in)", "(goes)"]
            .iter()
            .any(|mark| line.value.contains(mark))
    }

    #[test]
    fn a_founding_shows_every_key_quorum_and_rule_and_marks_nothing() {
        let link = founded(|_| ());

        let lines = of_charter(&link.charter, &link);

        assert_eq!(values(&lines, "effect"), ["founds a network"]);
        assert_eq!(values(&lines, "name"), ["Springfield"]);
        assert_eq!(values(&lines, "network"), [link.network.to_string()]);
        assert_eq!(values(&lines, "signatures needed"), ["2 of 3"]);
        assert_eq!(values(&lines, "status signatures needed"), ["2 of 3"]);
        for seed in [101, 102, 103] {
            assert_eq!(marks(&lines, "authority", &key(seed)), [""]);
            assert_eq!(marks(&lines, "status key", &key(seed + 10)), [""]);
        }
        assert_eq!(marks(&lines, "recovery key", &key(120)), [""]);
        for rule in link.charter.rules.lines(link.charter.template) {
            assert_eq!(values(&lines, rule.name), [rule.value]);
        }
        assert_eq!(values(&lines, "test"), ["test data only"]);
        assert_eq!(values(&lines, "made"), [NOW.to_string()]);
        assert!(values(&lines, "credentials count from version").is_empty());
        assert_eq!(lines.iter().find(is_marked), None);

        let live = founded(|charter| charter.test = false);
        assert!(values(&of_charter(&live.charter, &live), "test").is_empty());
    }

    #[test]
    fn a_charter_that_changes_nothing_marks_nothing() {
        let link = founded(|_| ());

        let lines = amended(&link, &Amendment::default());

        assert_eq!(values(&lines, "effect"), ["replaces the charter in force"]);
        assert_eq!(values(&lines, "version"), ["1"]);
        assert_eq!(lines.iter().find(is_marked), None);
    }

    #[test]
    fn what_a_charter_changes_is_marked_and_nothing_else() {
        let link = founded(|_| ());
        let mut rules = Rules::of(Template::UsTreatment);
        rules.notice = Span::days(1);
        let amendment = Amendment {
            rules: Some((Template::UsTreatment, rules)),
            add: vec![(key(104).public(), key(114).public())],
            remove: vec![key(101).public(), key(111).public(), key(112).public()],
            threshold: Some(3),
            counts_from: Some(1),
        };

        let lines = amended(&link, &amendment);

        for (gone, kept, come) in [(101, 102, 104), (111, 113, 114)] {
            let name = if gone == 101 {
                "authority"
            } else {
                "status key"
            };
            assert_eq!(marks(&lines, name, &key(gone)), ["(goes)"]);
            assert_eq!(marks(&lines, name, &key(kept)), [""]);
            assert_eq!(marks(&lines, name, &key(come)), ["(comes in)"]);
        }
        assert_eq!(marks(&lines, "status key", &key(112)), ["(goes)"]);
        assert_eq!(marks(&lines, "recovery key", &key(120)), [""]);
        for (name, value) in [
            ("signatures needed", "3 of 3 (was 2 of 3)"),
            ("status signatures needed", "2 of 2 (was 2 of 3)"),
            ("credentials count from version", "1 (was 0)"),
            ("template", "us-treatment (was opt-in)"),
            ("notice_days", "1 days (was 14 days)"),
            ("handle_hours", "12 hours"),
            (
                "agreement_url",
                "https://springfield.example/agreement (goes)",
            ),
        ] {
            assert_eq!(values(&lines, name), [value], "{name}");
        }
        // Besides these the policy of the template and the hash of the agreement; and five keys.
        assert_eq!(lines.iter().filter(is_marked).count(), 8 + 5);
    }

    #[test]
    fn another_name_and_an_agreement_that_comes_are_marked() {
        let link = founded(|charter| {
            charter.rules.agreement_sha256 = None;
            charter.rules.agreement_url.clear();
        });
        let mut next = link.amended(&Amendment::default(), NOW, [3; 16]).unwrap();
        next.name = "Shelbyville".to_owned();
        next.rules.agreement_sha256 = Some([0xAB; 32]);
        next.rules.agreement_url = "https://shelbyville.example".to_owned();

        let lines = of_charter(&next, &link);

        assert_eq!(values(&lines, "name"), ["Shelbyville (was Springfield)"]);
        let url = ["https://shelbyville.example (comes in)"];
        assert_eq!(values(&lines, "agreement_url"), url);
        assert_eq!(lines.iter().filter(is_marked).count(), 3);
    }

    #[test]
    fn a_credential_shows_whom_it_admits_and_until_when() {
        let network = Network::new();
        let link = network.chain.in_force();
        let lines = |change: fn(&mut Credential)| {
            let mut credential = network.credential(1, 1);
            credential.organization = organization();
            change(&mut credential);
            describe(&Proposed::Credential(credential), link)
        };
        let credential = network.credential(1, 1);

        let first = lines(|_| ());

        let whole = organization();
        for (name, value) in [
            ("effect", "admits a member to the network"),
            ("organization", &whole.name),
            ("kind", &whole.kind.to_string()),
            ("npi", &whole.npi),
            ("address", &whole.address),
            ("contact", &whole.contact),
            ("phone", &whole.phone),
            ("hours", &whole.hours),
            ("state", &whole.state),
            ("test", "test data only"),
            ("member", &subject(1).member.to_string()),
            ("node", &subject(1).node_key.to_string()),
            ("sequence", "1"),
            ("valid from", &credential.valid_from.to_string()),
            ("valid until", &credential.valid_until.to_string()),
            ("network", &network.id.to_string()),
        ] {
            assert_eq!(values(&first, name), [value], "{name}");
        }
        assert!(values(&first, "oid").is_empty() && values(&first, "part2").is_empty());
        let other = lines(|credential| {
            credential.sequence = 2;
            credential.organization.part2 = true;
            credential.organization.test = false;
        });
        assert_eq!(
            values(&other, "effect"),
            ["gives a member another credential"]
        );
        assert_eq!(values(&other, "part2").len(), 1);
        assert!(values(&other, "test").is_empty());
    }

    #[test]
    fn a_revocation_list_shows_everybody_it_throws_out() {
        let network = Network::new();
        let members = [1, 2].map(|number| subject(number).member);
        let list = RevocationList {
            network: network.id,
            version: 3,
            previous: Some([1; 32]),
            issued_at: NOW,
            members: members.to_vec(),
        };

        let lines = describe(&Proposed::RevocationList(list), network.chain.in_force());

        assert_eq!(values(&lines, "revoked"), members.map(|it| it.to_string()));
        assert_eq!(values(&lines, "version"), ["3"]);
        assert_eq!(values(&lines, "made"), [NOW.to_string()]);
        assert_eq!(values(&lines, "network"), [network.id.to_string()]);
    }

    #[test]
    fn two_charters_differ_in_what_is_ruled_and_in_keys_that_come_and_go() {
        let before = Network::new().charter;
        assert_eq!(differences(&before, &before.clone()), []);
        let mut after = before.clone();
        after.rules = Rules {
            notice: Span::days(9),
            ..Rules::of(Template::UsTreatment)
        };
        after.rules.agreement_sha256 = Some([0xAB; 32]);
        after.rules.agreement_url = "https://springfield.example".to_owned();
        after.name = "Shelbyville".to_owned();
        after.template = Template::UsTreatment;
        after.authorities = vec![[9; 32]];

        let told = differences(&before, &after);

        let says = |name: &str, part: &str| {
            let mut named = told.iter().filter(|line| line.name == name);
            named.any(|line| line.value.contains(part))
        };
        assert!(says("name", "(was Springfield)") && says("agreement_url", "(comes in)"));
        assert!(!says("handle_hours", ""), "kept");
        assert!(says("authority", "(comes in)") && says("authority", "(goes)"));
        assert!(
            told.iter()
                .any(|line| line.value.contains("9 ") && line.value.contains("(was "))
        );
        assert!(!told.iter().any(|line| line.name == "status key"), "kept");
    }
}
