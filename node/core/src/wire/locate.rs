//! The locate question, and its answer of one size.

use chartmesh_proto::body as proto;
use prost::Message as _;

use super::{
    LocateAnswer, LocateRequest, Match, Outcome,
    field::{
        Term, Wire, WireError, array, bounded_list, demographic, list, message, numbers, optional,
        optional_date, required, terms,
    },
};
use crate::{
    crypto::{Body, MalformedBody},
    matching::{Agreement, Attribute, Grade},
    records::{Address, Demographics, Identifier, Name},
    types::{
        Handle, PeerCode, Purpose, QueryId, Role, Sex, UserId,
        limits::{
            DEMOGRAPHIC_CHARS_MAX, DEMOGRAPHICS_MAX, LOCATE_ANSWER_BYTES, LOCATE_ROUNDS_MAX,
            MATCHES_MAX,
        },
    },
};

/// Thousandths.
const SCORE_MAX: u32 = 1_000;

/// What of somebody's demographics fits into a question: the first values of each kind, and none
/// that is longer than allowed.
pub fn bounded_demographics(whole: &Demographics) -> Demographics {
    Demographics {
        names: whole
            .names
            .iter()
            .filter(|name| short(&name.family))
            .take(DEMOGRAPHICS_MAX)
            .map(|name| Name {
                family: name.family.clone(),
                given: some(&name.given),
            })
            .collect(),
        birth_date: whole.birth_date.clone(),
        sex: whole.sex,
        identifiers: whole
            .identifiers
            .iter()
            .filter(|identifier| short(&identifier.system) && short(&identifier.value))
            .take(DEMOGRAPHICS_MAX)
            .cloned()
            .collect(),
        addresses: whole
            .addresses
            .iter()
            .filter(|address| {
                [
                    &address.city,
                    &address.state,
                    &address.postal_code,
                    &address.country,
                ]
                .into_iter()
                .all(|part| short(part))
            })
            .take(DEMOGRAPHICS_MAX)
            .map(|address| Address {
                line: some(&address.line),
                ..address.clone()
            })
            .collect(),
        phones: some(&whole.phones),
        emails: some(&whole.emails),
    }
}

fn some(values: &[String]) -> Vec<String> {
    let fitting = values.iter().filter(|value| short(value));
    fitting.take(DEMOGRAPHICS_MAX).cloned().collect()
}

fn short(value: &str) -> bool {
    value.chars().count() <= DEMOGRAPHIC_CHARS_MAX
}

fn values(values: Vec<String>) -> Result<Vec<String>, WireError> {
    bounded_list(&values, DEMOGRAPHICS_MAX)?;
    values.into_iter().map(demographic).collect()
}

impl Wire for Name {
    type Proto = proto::Name;

    fn to_proto(&self) -> proto::Name {
        proto::Name {
            family: self.family.clone(),
            given: self.given.clone(),
        }
    }

    fn from_proto(proto: proto::Name) -> Result<Self, WireError> {
        Ok(Self {
            family: demographic(proto.family)?,
            given: values(proto.given)?,
        })
    }
}

impl Wire for Identifier {
    type Proto = proto::Identifier;

    fn to_proto(&self) -> proto::Identifier {
        proto::Identifier {
            system: self.system.clone(),
            value: self.value.clone(),
        }
    }

    fn from_proto(proto: proto::Identifier) -> Result<Self, WireError> {
        Ok(Self {
            system: demographic(proto.system)?,
            value: demographic(proto.value)?,
        })
    }
}

impl Wire for Address {
    type Proto = proto::Address;

    fn to_proto(&self) -> proto::Address {
        proto::Address {
            line: self.line.clone(),
            city: self.city.clone(),
            state: self.state.clone(),
            postal_code: self.postal_code.clone(),
            country: self.country.clone(),
        }
    }

    fn from_proto(proto: proto::Address) -> Result<Self, WireError> {
        Ok(Self {
            line: values(proto.line)?,
            city: demographic(proto.city)?,
            state: demographic(proto.state)?,
            postal_code: demographic(proto.postal_code)?,
            country: demographic(proto.country)?,
        })
    }
}

impl Wire for Demographics {
    type Proto = proto::Demographics;

    fn to_proto(&self) -> proto::Demographics {
        proto::Demographics {
            name: self.names.iter().map(Wire::to_proto).collect(),
            birth_date: self.birth_date.clone().unwrap_or_default(),
            sex: self.sex.map(Term::number).unwrap_or_default(),
            identifier: self.identifiers.iter().map(Wire::to_proto).collect(),
            address: self.addresses.iter().map(Wire::to_proto).collect(),
            phone: self.phones.clone(),
            email: self.emails.clone(),
        }
    }

    fn from_proto(proto: proto::Demographics) -> Result<Self, WireError> {
        let sex = match proto.sex {
            0 => None,
            number => Some(Sex::term(number)?),
        };
        Ok(Self {
            names: list(proto.name, DEMOGRAPHICS_MAX)?,
            birth_date: optional_date(proto.birth_date)?,
            sex,
            identifiers: list(proto.identifier, DEMOGRAPHICS_MAX)?,
            addresses: list(proto.address, DEMOGRAPHICS_MAX)?,
            phones: values(proto.phone)?,
            emails: values(proto.email)?,
        })
    }
}

message!(LocateRequest, "locate");

impl Wire for LocateRequest {
    type Proto = proto::LocateRequest;

    fn to_proto(&self) -> proto::LocateRequest {
        proto::LocateRequest {
            head: Some(self.head.to_proto()),
            query: self.query.0.to_vec(),
            purpose: self.purpose.number(),
            user: self.user.0.to_vec(),
            role: self.role.number(),
            demographics: Some(self.demographics.to_proto()),
            deadline_ms: self.deadline_ms,
            round: self.round,
        }
    }

    fn from_proto(proto: proto::LocateRequest) -> Result<Self, WireError> {
        if proto.round >= LOCATE_ROUNDS_MAX {
            return Err(WireError::Limit);
        }
        Ok(Self {
            head: required(proto.head)?,
            query: QueryId(array(&proto.query)?),
            purpose: Purpose::term(proto.purpose)?,
            user: UserId(array(&proto.user)?),
            role: Role::term(proto.role)?,
            demographics: required(proto.demographics)?,
            deadline_ms: proto.deadline_ms,
            round: proto.round,
        })
    }
}

impl Wire for (Attribute, Agreement) {
    type Proto = proto::Mirror;

    fn to_proto(&self) -> proto::Mirror {
        proto::Mirror {
            attribute: self.0.number(),
            agreement: self.1.number(),
        }
    }

    fn from_proto(proto: proto::Mirror) -> Result<Self, WireError> {
        Ok((
            Attribute::term(proto.attribute)?,
            Agreement::term(proto.agreement)?,
        ))
    }
}

impl Wire for Match {
    type Proto = proto::Match;

    fn to_proto(&self) -> proto::Match {
        proto::Match {
            handle: self.handle.0.to_vec(),
            grade: self.grade.number(),
            score_permille: self.score_permille,
            mirror: to_at_most(&self.mirror, DEMOGRAPHICS_MAX),
            demographics: self.demographics.as_ref().map(Wire::to_proto),
        }
    }

    fn from_proto(proto: proto::Match) -> Result<Self, WireError> {
        if proto.score_permille > SCORE_MAX {
            return Err(WireError::Limit);
        }
        Ok(Self {
            handle: Handle(array(&proto.handle)?),
            grade: Grade::term(proto.grade)?,
            score_permille: proto.score_permille,
            mirror: list(proto.mirror, DEMOGRAPHICS_MAX)?,
            demographics: optional(proto.demographics)?,
        })
    }
}

fn to_at_most<T: Wire>(values: &[T], max: usize) -> Vec<T::Proto> {
    values.iter().take(max).map(Wire::to_proto).collect()
}

/// Every answer has [`LOCATE_ANSWER_BYTES`], so that its size tells nothing (`protocol.md` 7). Where
/// the matches do not fit, demographics are dropped, those of the last match first; a handle, a grade
/// and a mirror always fit.
impl Body for LocateAnswer {
    const DOMAIN: &'static str = "chartmesh/1/locate-answer";

    fn encode(&self) -> Vec<u8> {
        let mut proto = self.to_proto();
        let padding = loop {
            if let Some(padding) = padding_for(proto.encoded_len()) {
                break padding;
            }
            let largest = proto.r#match.iter_mut().rev();
            let Some(dropped) = largest.filter_map(|one| one.demographics.take()).next() else {
                // Without demographics an answer stays far below the size; see the test of the largest.
                break 0;
            };
            drop(dropped);
        };
        proto.padding = vec![0; padding];
        proto.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, MalformedBody> {
        let malformed = MalformedBody {
            domain: Self::DOMAIN,
        };
        if bytes.len() != LOCATE_ANSWER_BYTES {
            return Err(malformed);
        }
        super::field::decode(bytes).map_err(|_| malformed)
    }
}

impl super::Message for LocateAnswer {
    fn head(&self) -> &super::Head {
        &self.head
    }
}

/// Bytes of padding that make a body of `len_bytes` exactly as long as every other; none where there
/// is no such number, since the field's own tag and length take two bytes, or three from 128 on.
fn padding_for(len_bytes: usize) -> Option<usize> {
    match LOCATE_ANSWER_BYTES.checked_sub(len_bytes)? {
        0 => Some(0),
        1 | 2 | 130 => None,
        room @ ..130 => Some(room - 2),
        room => Some(room - 3),
    }
}

impl Wire for LocateAnswer {
    type Proto = proto::LocateAnswer;

    fn to_proto(&self) -> proto::LocateAnswer {
        let (outcome, code) = match self.outcome {
            Outcome::None => (proto::Outcome::None, 0),
            Outcome::Match => (proto::Outcome::Match, 0),
            Outcome::Matches => (proto::Outcome::Matches, 0),
            Outcome::MoreNeeded => (proto::Outcome::MoreNeeded, 0),
            Outcome::Refused(code) => (proto::Outcome::Refused, code.number()),
        };
        proto::LocateAnswer {
            head: Some(self.head.to_proto()),
            outcome: outcome as i32,
            code,
            r#match: to_at_most(&self.matches, MATCHES_MAX),
            requested: numbers(&self.requested[..self.requested.len().min(DEMOGRAPHICS_MAX)]),
            padding: Vec::new(),
        }
    }

    fn from_proto(proto: proto::LocateAnswer) -> Result<Self, WireError> {
        if proto.padding.iter().any(|byte| *byte != 0) {
            return Err(WireError::NotCanonical);
        }
        let outcome = match proto::Outcome::try_from(proto.outcome) {
            Ok(proto::Outcome::None) => Outcome::None,
            Ok(proto::Outcome::Match) => Outcome::Match,
            Ok(proto::Outcome::Matches) => Outcome::Matches,
            Ok(proto::Outcome::MoreNeeded) => Outcome::MoreNeeded,
            Ok(proto::Outcome::Refused) => Outcome::Refused(PeerCode::term(proto.code)?),
            Ok(proto::Outcome::Unspecified) | Err(_) => return Err(WireError::Term),
        };
        let answer = Self {
            head: required(proto.head)?,
            outcome,
            matches: list(proto.r#match, MATCHES_MAX)?,
            requested: terms(&proto.requested, DEMOGRAPHICS_MAX)?,
        };
        let coded = matches!(outcome, Outcome::Refused(_)) == (proto.code != 0);
        if !coded || !answer.is_consistent() {
            return Err(WireError::Contradiction);
        }
        Ok(answer)
    }
}

impl LocateAnswer {
    fn is_consistent(&self) -> bool {
        let count_fits = match self.outcome {
            Outcome::None | Outcome::MoreNeeded | Outcome::Refused(_) => self.matches.is_empty(),
            Outcome::Match => self.matches.len() == 1,
            Outcome::Matches => !self.matches.is_empty(),
        };
        let asks = self.outcome == Outcome::MoreNeeded;
        count_fits && asks != self.requested.is_empty()
    }
}
