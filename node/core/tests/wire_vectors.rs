//! The bytes of every signed, sealed and stored format, as files that other implementations can read,
//! and what is refused of bytes that are nearly theirs.
//!
//! `CHARTMESH_WRITE_VECTORS=1 cargo test -p chartmesh-core --test wire_vectors` writes the files that do
//! not exist yet. A file that exists is never written: a changed format is another file.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and the vectors are files"
)]

mod wire_attacks;
mod wire_samples;

use std::path::PathBuf;

use chartmesh_core::{
    crypto::{Body, Envelope, SignatureError},
    matching::{Agreement, Attribute},
    membership::{Proposal, ProposalKind, join_id},
    records::{Demographics, Name},
    types::{PeerCode, limits},
    wire::{
        CharterAnswer, LocateAnswer, Outcome, WireError, authority_text, bounded_demographics,
        decode_envelope, decode_sealed, encode_envelope, encode_sealed, parse_authority,
        parse_proposals, proposals_text,
    },
};
use chartmesh_proto::body as proto;
use data_encoding::HEXLOWER;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use wire_samples::{
    NETWORK, SEED, Sample, bodies, charter, cosign_bodies, demographics, first_bodies, head,
    join_request, key_set, list_answer, list_request, locate_answer, locate_request, next_charter,
    node, rekey_bodies, sealed, stored, stored_later, stored_trust, ticket, trust_bodies,
};

/// Compares with the file, which it writes where that is wished for.
fn golden(file: &str, vectors: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(file);
    if !path.exists() && std::env::var_os("CHARTMESH_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(vectors).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        kept.as_object().unwrap().len(),
        vectors.as_object().unwrap().len()
    );
    for (name, vector) in vectors.as_object().unwrap() {
        assert_eq!(Some(vector), kept.get(name), "{file}: {name}");
    }
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

#[test]
fn every_signed_body_has_the_bytes_and_signature_of_its_vector() {
    golden("wire-bodies.json", &signed_vectors(first_bodies()));
    golden("wire-cosign.json", &signed_vectors(cosign_bodies()));
    golden("wire-rekey.json", &signed_vectors(rekey_bodies()));
    golden("wire-trust.json", &signed_vectors(trust_bodies()));
}

fn signed_vectors(samples: Vec<Sample>) -> Value {
    let mut vectors = serde_json::Map::new();
    for sample in samples {
        let (key, signature) = sample.envelope.signatures[0];
        let body = &sample.envelope.body;

        assert_eq!(
            (sample.again)(body).as_deref(),
            Some(&body[..]),
            "{}",
            sample.name
        );
        assert_eq!((sample.verify)(&sample.envelope), Ok(()), "{}", sample.name);
        assert_eq!(key, node().public());
        let vector = json!({
            "domain": sample.domain,
            "body": hex(body),
            "signature": hex(&signature),
        });
        vectors.insert(sample.name.to_owned(), vector);
    }
    vectors.insert(
        "_key".to_owned(),
        json!({ "seed": hex(&SEED), "public": hex(&node().public()), "network": hex(&NETWORK.0) }),
    );
    vectors.into()
}

#[test]
fn proposals_and_offers_in_files_have_the_text_of_their_vector() {
    let proposal = Proposal {
        kind: ProposalKind::Charter,
        signed: node().sign(&NETWORK, &next_charter()),
    };
    let offer = node().sign(&NETWORK, &charter());
    let text = proposals_text(std::slice::from_ref(&proposal));
    let authority = authority_text(&offer);

    assert!(parse_proposals(&text) == Ok(vec![proposal.clone()]));
    let broken = format!("  {}\n{} ", &text[..60], &text[60..]);
    assert!(parse_proposals(&broken) == Ok(vec![proposal.clone()]));
    assert!(parse_authority(&authority) == Ok(offer));
    assert_eq!(parse_authority(&text).err(), Some(WireError::Encoding));
    assert_eq!(parse_proposals(&text[1..]).err(), Some(WireError::Encoding));
    golden(
        "wire-proposal.json",
        &json!({
            "Proposal": text,
            "id": proposal.id().to_string(),
            "Authority": authority,
        }),
    );
}

#[test]
fn a_file_holds_proposal_file_max_proposals_and_an_answer_charters_max_charters() {
    let proposal = Proposal {
        kind: ProposalKind::Charter,
        signed: node().sign(&NETWORK, &charter()),
    };
    let most = vec![proposal.clone(); limits::PROPOSAL_FILE_MAX];
    assert!(parse_proposals(&proposals_text(&most)).is_ok());

    let more = [most, vec![proposal]].concat();
    let refused = parse_proposals(&proposals_text(&more));

    assert_eq!(refused.err(), Some(WireError::Limit));
    let empty = Envelope {
        body: bytes::Bytes::new(),
        signatures: Vec::new(),
    };
    let answer = |count: usize| {
        let charters = vec![empty.clone(); count];
        let head = head();
        let value = CharterAnswer {
            head,
            charters,
            credential: None,
        };
        CharterAnswer::decode(&value.encode()).map(drop)
    };
    assert_eq!(answer(limits::CHARTERS_MAX), Ok(()));
    assert!(answer(limits::CHARTERS_MAX + 1).is_err());
}

#[test]
fn every_journal_body_has_the_bytes_of_its_vector() {
    for (file, stored) in [
        ("wire-store.json", stored()),
        ("wire-store-later.json", stored_later()),
        ("wire-store-trust.json", stored_trust()),
    ] {
        let mut vectors = serde_json::Map::new();
        for (name, bytes, again) in stored {
            assert_eq!(again(&bytes).as_ref(), Some(&bytes), "{name}");
            vectors.insert(name.to_owned(), hex(&bytes).into());
        }
        golden(file, &vectors.into());
    }
}

#[test]
fn envelopes_sealed_messages_tickets_and_ids_have_the_form_of_their_vectors() {
    let envelope = node().sign(&NETWORK, &charter());
    let signed = encode_envelope(&envelope);
    let outer = encode_sealed(&sealed());
    let text = ticket().to_text().unwrap();

    assert!(decode_envelope(&signed) == Ok(envelope.clone()));
    assert!(encode_sealed(&decode_sealed(&outer).unwrap()) == outer);
    golden(
        "wire-outer.json",
        &json!({
            "Signed": hex(&signed),
            "Sealed": hex(&outer),
            "ticket": *text,
            "ticket_key": hex(&ticket().key()[..]),
            "ticket_name": hex(&ticket().name()),
            "join_id": join_id_of_key_set_hash(),
            "network_id": hex(&envelope.hash()),
        }),
    );
}

#[test]
fn a_join_request_has_the_words_of_its_vector_however_often_it_is_signed() {
    let request = join_request();
    let mut again = request.clone();
    let mut later = key_set();
    later.sequence += 1;
    again.key_set = node().sign(&NETWORK, &later);

    assert_eq!(again.id(), request.id());
    golden("wire-join.json", &json!({ "join_id": request.id() }));
}

/// The words over other inputs than [`chartmesh_core::membership::JoinRequest::id`] takes.
fn join_id_of_key_set_hash() -> String {
    let request = join_request();
    join_id(
        request.node_key,
        request.key_set.hash(),
        request.member,
        &request.organization,
    )
}

#[test]
fn domains_are_distinct_and_of_this_version() {
    let mut domains: Vec<_> = bodies().iter().map(|sample| sample.domain).collect();
    domains.sort_unstable();
    let count = domains.len();
    domains.dedup();

    assert_eq!(domains.len(), count);
    assert!(
        domains
            .iter()
            .all(|domain| domain.starts_with("chartmesh/1/"))
    );
}

#[test]
fn a_signature_over_one_type_is_refused_as_every_other() {
    let samples = bodies();
    for signed in &samples {
        assert_eq!((signed.verify)(&signed.envelope), Ok(()));
        for other in &samples {
            if other.domain == signed.domain {
                continue;
            }
            assert_eq!(
                (other.verify)(&signed.envelope),
                Err(SignatureError::Forged),
                "{} as {}",
                signed.name,
                other.name
            );
        }
    }
}

#[test]
fn a_body_cut_off_anywhere_is_refused_under_its_signature() {
    for sample in bodies() {
        assert_eq!((sample.verify)(&sample.envelope), Ok(()));
        for end in 0..sample.envelope.body.len() {
            let mut cut = sample.envelope.clone();
            cut.body.truncate(end);
            assert_eq!(
                (sample.verify)(&cut),
                Err(SignatureError::Forged),
                "{}",
                sample.name
            );
            // Whoever signs may leave an optional field out, but nothing that reads in two ways.
            if let Some(again) = (sample.again)(&cut.body)
                && again != cut.body
            {
                let signed = (sample.sign)(cut.body.to_vec());
                assert!(
                    (sample.verify)(&signed).is_err(),
                    "{} at {end}",
                    sample.name
                );
            }
        }
    }
}

#[test]
fn an_unknown_field_is_refused_although_it_is_signed() {
    for sample in bodies() {
        let body = sample.envelope.body.to_vec();
        assert_eq!((sample.verify)(&(sample.sign)(body.clone())), Ok(()));

        // Field 1,000, varint 1.
        let more = [&body[..], &[0xC0, 0x3E, 0x01]].concat();

        assert!(
            is_form((sample.verify)(&(sample.sign)(more))),
            "{}",
            sample.name
        );
    }
}

#[test]
fn a_field_that_stands_twice_is_refused_although_it_is_signed() {
    for sample in bodies() {
        let body = sample.envelope.body.to_vec();
        assert_eq!((sample.verify)(&(sample.sign)(body.clone())), Ok(()));

        let first = first_field(&body);
        let twice = [first, &body].concat();
        let behind = [&body[..], first].concat();

        assert!(
            is_form((sample.verify)(&(sample.sign)(twice))),
            "{}",
            sample.name
        );
        assert!(
            is_form((sample.verify)(&(sample.sign)(behind))),
            "{}",
            sample.name
        );
    }
}

#[test]
fn a_length_that_is_not_minimal_is_refused_although_it_is_signed() {
    for sample in bodies() {
        let body = sample.envelope.body.to_vec();
        assert_eq!((sample.verify)(&(sample.sign)(body.clone())), Ok(()));

        // The tag of the first field in two bytes.
        let longer = [&[body[0] | 0x80, 0x00], &body[1..]].concat();

        assert!(
            is_form((sample.verify)(&(sample.sign)(longer))),
            "{}",
            sample.name
        );
    }
}

fn is_form(result: Result<(), SignatureError>) -> bool {
    matches!(
        result,
        Err(SignatureError::NotCanonical { .. } | SignatureError::Malformed(_))
    )
}

/// The bytes of the first field, whose number is below 16.
fn first_field(body: &[u8]) -> &[u8] {
    let mut rest = &body[1..];
    let number = prost::encoding::decode_varint(&mut rest).unwrap();
    let behind = match body[0] & 7 {
        0 => 0,
        2 => usize::try_from(number).unwrap(),
        other => panic!("wire type {other}"),
    };
    &body[..body.len() - rest.len() + behind]
}

#[test]
fn journal_bodies_cut_off_or_empty_never_panic() {
    let kept = [stored(), stored_later(), stored_trust()];
    for (name, bytes, again) in kept.into_iter().flatten() {
        assert!(again(&bytes).is_some(), "{name}");
        for end in 0..bytes.len() {
            again(&bytes[..end]);
        }
        // Only these have no field that must be there.
        let lenient = ["JoinAsked", "AuditRecord"].contains(&name);
        assert_eq!(again(&[]).is_some(), lenient, "{name}");
    }
}

/// Changes one thing in a message, which is accepted before and refused after.
fn refused<T: Body, P: prost::Message + Default>(value: &T, change: impl FnOnce(&mut P)) {
    let bytes = value.encode();
    assert!(T::decode(&bytes).is_ok(), "{}", T::DOMAIN);

    let mut message = P::decode(&bytes[..]).ok().unwrap();
    change(&mut message);

    assert!(
        T::decode(&message.encode_to_vec()).is_err(),
        "{}",
        T::DOMAIN
    );
}

#[test]
fn ids_of_another_length_are_malformed() {
    let request = locate_request();
    refused::<_, proto::LocateRequest>(&request, |m| m.query.truncate(15));
    refused::<_, proto::LocateRequest>(&request, |m| m.user.push(0));
    refused::<_, proto::LocateRequest>(&request, |m| m.user.clear());
    refused::<_, proto::LocateRequest>(&request, |m| head_of(m).member.truncate(15));
    refused::<_, proto::LocateRequest>(&request, |m| head_of(m).key.truncate(31));
    refused::<_, proto::LocateRequest>(&request, |m| head_of(m).challenge.push(0));
    refused::<_, proto::LocateRequest>(&request, |m| head_of(m).answers.truncate(31));
    refused::<_, proto::ListRequest>(&list_request(), |m| m.handle.truncate(19));
    refused::<_, proto::ListAnswer>(&list_answer(), |m| m.leaf.clear());
    refused::<_, proto::ListAnswer>(&list_answer(), |m| m.entry[0].sha256.truncate(31));
    refused::<_, proto::Charter>(&charter(), |m| m.authority[0].truncate(31));
    refused::<_, proto::Charter>(&charter(), |m| m.nonce.clear());
}

fn head_of(message: &mut proto::LocateRequest) -> &mut proto::Head {
    message.head.as_mut().unwrap()
}

#[test]
fn terms_that_are_unspecified_or_unknown_are_malformed() {
    for number in [0, 14, -1, i32::MAX] {
        refused::<_, proto::LocateRequest>(&locate_request(), |m| m.purpose = number);
    }
    for number in [0, 6] {
        refused::<_, proto::LocateRequest>(&locate_request(), |m| m.role = number);
    }
    refused::<_, proto::LocateRequest>(&locate_request(), |m| sent_of(m).sex = 5);
    refused::<_, proto::Charter>(&charter(), |m| m.template = 0);
    refused::<_, proto::LocateAnswer>(&locate_answer(), |m| m.outcome = 0);
    refused::<_, proto::LocateAnswer>(&locate_answer(), |m| m.r#match[0].grade = 4);
    refused::<_, proto::LocateAnswer>(&locate_answer(), |m| m.r#match[0].mirror[0].attribute = 9);
}

fn sent_of(message: &mut proto::LocateRequest) -> &mut proto::Demographics {
    message.demographics.as_mut().unwrap()
}

#[test]
fn sub_messages_that_must_be_there_are_demanded() {
    refused::<_, proto::LocateRequest>(&locate_request(), |m| m.head = None);
    refused::<_, proto::LocateRequest>(&locate_request(), |m| m.demographics = None);
    refused::<_, proto::ListAnswer>(&list_answer(), |m| m.entry[0].r#type = None);
    refused::<_, proto::Charter>(&charter(), |m| m.rules = None);
}

#[test]
fn numbers_and_counts_past_their_limits_are_malformed() {
    let name = |m: &mut proto::LocateRequest| sent_of(m).name[0].clone();
    refused::<_, proto::LocateRequest>(&locate_request(), |m| {
        sent_of(m).name = vec![name(m); limits::DEMOGRAPHICS_MAX + 1];
    });
    refused::<_, proto::LocateRequest>(&locate_request(), |m| {
        sent_of(m).phone[0] = "5".repeat(limits::DEMOGRAPHIC_CHARS_MAX + 1);
    });
    refused::<_, proto::LocateRequest>(&locate_request(), |m| m.round = limits::LOCATE_ROUNDS_MAX);
    refused::<_, proto::LocateRequest>(&locate_request(), |m| {
        sent_of(m).birth_date = "1980-13-01".to_owned();
    });
    refused::<_, proto::ListRequest>(&list_request(), |m| m.limit = limits::LIST_MAX + 1);
    refused::<_, proto::ListRequest>(&list_request(), |m| m.since = "2020".to_owned());
    refused::<_, proto::ListRequest>(&list_request(), |m| {
        m.r#type = vec!["1-8".to_owned(); limits::CODES_MAX + 1];
    });
    refused::<_, proto::ListRequest>(&list_request(), |m| m.r#type[0].push('\u{1b}'));
    refused::<_, proto::ListRequest>(&list_request(), |m| {
        m.r#type[0] = "1".repeat(limits::CODE_CHARS_MAX + 1);
    });
    refused::<_, proto::ListAnswer>(&list_answer(), |m| {
        m.entry = vec![m.entry[0].clone(); limits::LIST_MAX as usize + 1];
    });
    refused::<_, proto::ListAnswer>(&list_answer(), |m| {
        m.entry[0].title = "t".repeat(limits::TEXT_CHARS_MAX + 1);
    });
}

#[test]
fn statements_past_their_limits_are_malformed() {
    let statement = |name: &str| {
        let found = bodies().into_iter().find(|sample| sample.name == name);
        found.unwrap()
    };
    let set = statement("KeySet");
    let with_keys = |count: usize, public_len: usize| {
        let mut message = proto::KeySet::decode(&set.envelope.body[..]).ok().unwrap();
        message.key[0].public = vec![0; public_len];
        message.key = vec![message.key[0].clone(); count];
        (set.again)(&message.encode_to_vec()).is_some()
    };
    let record = statement("NodeRecord");
    let with_addresses = |count: usize, len: usize, capabilities: usize| {
        let mut message = proto::NodeRecord::decode(&record.envelope.body[..])
            .ok()
            .unwrap();
        message.address = vec![vec![0; len]; count];
        message.capability = vec![1; capabilities];
        (record.again)(&message.encode_to_vec()).is_some()
    };
    let (keys, public) = (limits::KEY_SET_KEYS_MAX, limits::HPKE_PUBLIC_BYTES_MAX);
    let (addresses, len) = (limits::NODE_ADDRESSES_MAX, limits::NODE_ADDRESS_BYTES_MAX);
    let codes = limits::CODES_MAX;
    assert!(with_keys(keys, public) && with_addresses(addresses, len, codes));

    assert!(!with_keys(keys + 1, public));
    assert!(!with_keys(keys, public + 1));
    assert!(!with_addresses(addresses + 1, len, codes));
    assert!(!with_addresses(addresses, len + 1, codes));
    assert!(!with_addresses(addresses, len, codes + 1));
}

#[test]
fn answers_with_more_members_than_a_page_holds_are_malformed() {
    let samples = bodies();
    let answer = samples
        .iter()
        .find(|sample| sample.name == "MembersAnswer")
        .unwrap();
    let with_members = |count: usize| {
        let mut message = proto::MembersAnswer::decode(&answer.envelope.body[..])
            .ok()
            .unwrap();
        message.known = vec![message.known[0].clone(); count];
        (answer.again)(&message.encode_to_vec()).is_some()
    };
    assert!(with_members(limits::MEMBERS_PAGE_MAX));

    assert!(!with_members(limits::MEMBERS_PAGE_MAX + 1));
}

#[test]
fn what_stands_exactly_at_its_limit_is_accepted() {
    let mut request = locate_request();
    let sent = &mut request.demographics;
    sent.names = vec![sent.names[0].clone(); limits::DEMOGRAPHICS_MAX];
    sent.phones = vec!["5".repeat(limits::DEMOGRAPHIC_CHARS_MAX); limits::DEMOGRAPHICS_MAX];
    let mut list = list_answer();
    list.entries = vec![list.entries[0].clone(); limits::LIST_MAX as usize];
    list.entries[0].title = "t".repeat(limits::TEXT_CHARS_MAX);

    for bytes in [request.encode(), list.encode()] {
        assert!(bytes.len() <= limits::PEER_MESSAGE_MAX_BYTES);
    }
    assert!(chartmesh_core::wire::LocateRequest::decode(&request.encode()).is_ok());
    assert!(chartmesh_core::wire::ListAnswer::decode(&list.encode()).is_ok());
}

#[test]
fn fields_that_contradict_each_other_are_malformed() {
    refused::<_, proto::LocateAnswer>(&locate_answer(), |m| m.code = 5);
    refused::<_, proto::LocateAnswer>(&locate_answer(), |m| m.r#match.clear());
    refused::<_, proto::LocateAnswer>(&locate_answer(), |m| m.requested = vec![1]);
    refused::<_, proto::LocateAnswer>(&locate_answer(), |m| m.outcome = 1);
    refused::<_, proto::ListAnswer>(&list_answer(), |m| m.entry[0].size_bytes = None);
    refused::<_, proto::ListAnswer>(&list_answer(), |m| m.entry[0].on_demand = true);
}

#[test]
fn every_locate_answer_has_one_size() {
    let mut answer = locate_answer();
    answer.matches.clear();
    for outcome in [
        Outcome::None,
        Outcome::Refused(PeerCode::Denied),
        Outcome::Refused(PeerCode::OverBudget),
    ] {
        answer.outcome = outcome;
        assert_eq!(answer.encode().len(), limits::LOCATE_ANSWER_BYTES);
    }
    answer.outcome = Outcome::MoreNeeded;
    answer.requested = vec![Attribute::Address];

    assert_eq!(answer.encode().len(), limits::LOCATE_ANSWER_BYTES);
}

#[test]
fn demographics_that_do_not_fit_are_dropped_from_the_last_match() {
    let mut answer = locate_answer();
    answer.outcome = Outcome::Matches;
    let mut one = answer.matches[0].clone();
    one.demographics.as_mut().unwrap().emails = vec!["e".repeat(250); 3];
    one.mirror = vec![(Attribute::Email, Agreement::Absent); limits::DEMOGRAPHICS_MAX];
    answer.matches = vec![one; limits::MATCHES_MAX];

    let bytes = answer.encode();
    let read = LocateAnswer::decode(&bytes).ok().unwrap();

    assert_eq!(bytes.len(), limits::LOCATE_ANSWER_BYTES);
    assert_eq!(read.matches.len(), limits::MATCHES_MAX);
    let kept: Vec<_> = read
        .matches
        .iter()
        .map(|one| one.demographics.is_some())
        .collect();
    assert!(kept[0] && !kept[limits::MATCHES_MAX - 1], "{kept:?}");
    assert!(
        kept.is_sorted_by(|earlier, later| earlier >= later),
        "{kept:?}"
    );
    assert!(read.encode() == bytes);
}

#[test]
fn a_locate_answer_fits_at_every_length_of_a_name() {
    // Sweeps over the three amounts of room that no padding fills exactly: 1, 2 and 130 bytes.
    let mut answer = locate_answer();
    answer.outcome = Outcome::Matches;
    let mut kept = Vec::new();
    for chars in 0..limits::DEMOGRAPHIC_CHARS_MAX {
        let mut one = locate_answer().matches[0].clone();
        let sent = one.demographics.as_mut().unwrap();
        sent.emails = vec!["e".repeat(250); 14];
        sent.emails.push("e".repeat(chars));
        answer.matches = vec![one];

        let bytes = answer.encode();
        let read = LocateAnswer::decode(&bytes).ok().unwrap();

        assert_eq!(bytes.len(), limits::LOCATE_ANSWER_BYTES, "{chars}");
        assert!(read.encode() == bytes, "{chars}");
        kept.push(read.matches[0].demographics.is_some());
    }
    let changes = kept.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // Dropped at 130 bytes of room, kept below, dropped at 2 and 1, kept where it fits exactly, dropped behind.
    assert_eq!(changes, 5, "{kept:?}");
}

#[test]
fn padding_other_than_zero_or_of_another_length_is_refused() {
    let body = locate_answer().encode();
    assert!(LocateAnswer::decode(&body).is_ok());

    let mut marked = body.clone();
    *marked.last_mut().unwrap() = 1;
    let shorter = &body[..body.len() - 1];

    assert!(LocateAnswer::decode(&marked).is_err());
    assert!(LocateAnswer::decode(shorter).is_err());
}

#[test]
fn demographics_are_cut_to_what_a_question_may_carry() {
    let mut whole = demographics();
    whole.phones = vec!["5".to_owned(); limits::DEMOGRAPHICS_MAX + 1];
    whole.emails = vec![
        "e".repeat(limits::DEMOGRAPHIC_CHARS_MAX + 1),
        "e@x".to_owned(),
    ];
    let mut request = locate_request();
    request.demographics = whole.clone();
    assert!(chartmesh_core::wire::LocateRequest::decode(&request.encode()).is_err());

    request.demographics = bounded_demographics(&whole);

    assert!(chartmesh_core::wire::LocateRequest::decode(&request.encode()).is_ok());
    assert_eq!(request.demographics.emails, ["e@x"]);
    assert!(bounded_demographics(&demographics()) == demographics());
}

#[test]
fn an_envelope_with_more_bytes_or_signatures_than_allowed_is_refused() {
    let envelope = node().sign(&NETWORK, &charter());
    let bytes = encode_envelope(&envelope);
    assert!(decode_envelope(&bytes).is_ok());

    let more = [&bytes[..], &[0xC0, 0x3E, 0x01]].concat();
    let mut many = envelope.clone();
    many.signatures = vec![envelope.signatures[0]; limits::SIGNATURES_MAX + 1];
    let mut large = envelope;
    large.body = vec![0; limits::PEER_MESSAGE_MAX_BYTES].into();

    let error = |bytes: &[u8]| decode_envelope(bytes).err();
    assert_eq!(error(&more), Some(WireError::NotCanonical));
    assert_eq!(error(&encode_envelope(&many)), Some(WireError::Limit));
    assert_eq!(error(&encode_envelope(&large)), Some(WireError::Limit));
    assert_eq!(error(&[0xFF]), Some(WireError::Encoding));
}

#[test]
fn a_sealed_message_has_an_encapsulated_key_of_its_suite_or_none() {
    let mut message = sealed();
    assert!(decode_sealed(&encode_sealed(&message)).is_ok());

    message.header.enc.truncate(1_119);
    let error = decode_sealed(&encode_sealed(&message)).err();
    assert_eq!(error, Some(WireError::Length { len_bytes: 1_119 }));

    message.header.enc.clear();
    assert!(decode_sealed(&encode_sealed(&message)).is_ok());
    message.ciphertext.clear();
    let error = decode_sealed(&encode_sealed(&message)).err();
    assert_eq!(error, Some(WireError::Absent));
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(any::<String>(), 0..20)
}

proptest! {
    #[test]
    fn bounded_demographics_read_back(family in any::<String>(), given in texts(), phones in texts()) {
        let whole = Demographics {
            names: vec![Name { family, given }],
            phones,
            ..demographics()
        };
        let mut request = locate_request();
        request.demographics = bounded_demographics(&whole);

        let bytes = request.encode();
        let read = chartmesh_core::wire::LocateRequest::decode(&bytes).ok();

        prop_assert!(read.is_some_and(|read| read.demographics == request.demographics));
    }

    #[test]
    fn a_body_with_one_byte_changed_never_panics_and_never_reads_in_two_ways(
        which in 0..21_usize, at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let sample = &bodies()[which];
        let mut body = sample.envelope.body.to_vec();
        let at = at.index(body.len());
        body[at] = byte;

        let again = (sample.again)(&body);
        let verified = (sample.verify)(&(sample.sign)(body.clone()));

        prop_assert_eq!(verified.is_ok(), again == Some(body));
    }
}
