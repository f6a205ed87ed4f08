//! What a member or somebody in the middle can do to a signed body. Every rule runs over every type that
//! can be signed, and a type that is not among the samples is itself a failure.

use std::{collections::BTreeSet, fs, path::Path};

use chartmesh_core::{
    crypto::{Body, Envelope, MalformedBody, SecretKey, SignatureError, SigningKey},
    types::NetworkId,
};
use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha512};

use super::wire_samples::{NETWORK, Sample, bodies};

#[test]
fn every_signed_type_of_the_source_is_among_the_samples() {
    let mut named = BTreeSet::new();
    for text in sources() {
        // What stands behind the tests of a file signs nothing of ours.
        let code = text.split(concat!("#[cfg", "(test)]")).next().unwrap();
        named.extend(domains(code));
    }
    let known: BTreeSet<String> = bodies()
        .iter()
        .map(|sample| sample.domain.to_owned())
        .collect();

    assert!(named.len() > 20);
    assert_eq!(named, known, "in the source, and among the samples");
}

/// Every domain constant that a source text gives a type.
fn domains(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("const DOMAIN: &'static str = \"") {
        found.extend(code[at..].split('"').nth(1).map(str::to_owned));
    }
    for (at, call) in code
        .match_indices("body!(")
        .chain(code.match_indices("message!("))
    {
        let arguments = code[at + call.len()..].split(')').next().unwrap_or("");
        // The definitions of the macros name no type.
        if let Some(name) = arguments.split('"').nth(1) {
            found.push(format!("chartmesh/1/{name}"));
        }
    }
    found
}

fn sources() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

#[test]
fn a_domain_is_found_however_its_type_is_declared() {
    let code = "body!(A, \"a\"); message!(\n  B,\n \"b\"\n); const DOMAIN: &'static str = \"chartmesh/1/c\";";

    let found: BTreeSet<String> = domains(code).into_iter().collect();

    let expected = ["chartmesh/1/a", "chartmesh/1/b", "chartmesh/1/c"];
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn one_changed_bit_in_each_byte_of_every_signed_type_is_forged() {
    for sample in bodies() {
        assert_eq!((sample.verify)(&sample.envelope), Ok(()));
        for at in 0..sample.envelope.body.len() {
            let mut body = sample.envelope.body.to_vec();
            body[at] ^= 1 << (at % 8);
            let changed = Envelope {
                body: body.into(),
                ..sample.envelope.clone()
            };
            let told = (sample.verify)(&changed);
            assert_eq!(told, Err(SignatureError::Forged), "{} {at}", sample.name);
        }
    }
}

#[test]
fn one_changed_bit_of_a_key_or_signature_of_every_signed_type_is_refused() {
    for sample in bodies() {
        assert_eq!((sample.verify)(&sample.envelope), Ok(()));
        for bit in 0..96 * 8 {
            let mut changed = sample.envelope.clone();
            let (key, signature) = &mut changed.signatures[0];
            match bit / 8 {
                at @ 0..32 => key[at] ^= 1 << (bit % 8),
                at => signature[at - 32] ^= 1 << (bit % 8),
            }
            let told = (sample.verify)(&changed);
            // Every other key is no point, or another point.
            let refused = matches!(told, Err(SignatureError::Forged | SignatureError::Key));
            assert!(refused, "{} {bit}", sample.name);
        }
    }
}

#[test]
fn a_random_signature_of_every_signed_type_is_forged() {
    let mut dice = ChaCha20Rng::from_seed([7; 32]);
    for sample in bodies() {
        assert_eq!((sample.verify)(&sample.envelope), Ok(()));
        for round in 0..64 {
            let mut changed = sample.envelope.clone();
            let signature = &mut changed.signatures[0].1;
            match round {
                0 => *signature = [0; 64],
                1 => *signature = [0xFF; 64],
                _ => dice.fill_bytes(signature),
            }
            let told = (sample.verify)(&changed);
            assert_eq!(told, Err(SignatureError::Forged), "{}", sample.name);
        }
    }
}

/// The numbers at which 7, 31, 32, 63 and 64 bits end.
const EDGES: [u64; 14] = [
    0,
    1,
    127,
    128,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 53) + 1,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

#[test]
fn integers_at_and_past_every_limit_are_read_in_one_way_or_refused() {
    let mut tried = 0;
    for sample in bodies() {
        for changed in changes(&sample.envelope.body, &|field| match field.value {
            Value::Number(_) => EDGES.map(|edge| vec![field.with(edge)]).to_vec(),
            Value::Bytes(_) => Vec::new(),
        }) {
            tried += 1;
            read_in_one_way(&sample, &changed);
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn a_second_encoding_of_any_field_is_refused_although_it_is_signed() {
    let mut tried = 0;
    for sample in bodies() {
        let longer = |field: &Field| {
            let mut found = vec![vec![Field {
                long_tag: true,
                ..field.clone()
            }]];
            found.push(vec![Field {
                long_value: true,
                ..field.clone()
            }]);
            found
        };
        for changed in changes(&sample.envelope.body, &longer) {
            tried += 1;
            let told = (sample.verify)(&(sample.sign)(changed));
            assert!(told.is_err(), "{}", sample.name);
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn a_message_in_two_parts_is_refused_although_it_is_signed() {
    let mut merged = 0;
    for sample in bodies() {
        let body = &sample.envelope.body;
        for changed in changes(body, &|field| field.in_two()) {
            // The library puts the two parts together again; that is what makes it dangerous.
            if (sample.again)(&changed).as_deref() == Some(&body[..]) {
                merged += 1;
            }
            read_in_one_way(&sample, &changed);
        }
    }
    assert!(merged > 20, "{merged}");
}

#[test]
fn unknown_repeated_dropped_and_swapped_fields_are_read_in_one_way_or_refused() {
    for sample in bodies() {
        let unknown = Field::number(5_000, 1);
        let body = &sample.envelope.body;
        for changed in changes(body, &|field| {
            vec![
                vec![field.clone(), unknown.clone()],
                vec![unknown.clone(), field.clone()],
            ]
        }) {
            let told = (sample.verify)(&(sample.sign)(changed));
            assert!(told.is_err(), "{}", sample.name);
        }
        for changed in changes(body, &|field| {
            vec![vec![field.clone(), field.clone()], Vec::new()]
        }) {
            read_in_one_way(&sample, &changed);
        }
        let mut fields = parse(body).unwrap();
        for at in 1..fields.len() {
            let before = bytes_of(&fields);
            fields.swap(at - 1, at);
            let swapped = bytes_of(&fields);
            read_in_one_way(&sample, &swapped);
            if fields[at - 1].tag != fields[at].tag {
                let told = (sample.verify)(&(sample.sign)(swapped));
                assert!(told.is_err(), "{} at {at}", sample.name);
            }
            fields.swap(at - 1, at);
            assert_eq!(bytes_of(&fields), before);
        }
    }
}

#[test]
fn nesting_without_end_is_refused_without_using_the_stack() {
    let groups = vec![0x0B; 10_000];
    // 0x0A is field 1, a message, and 0x7F a length that what follows never has.
    let messages = [0x0A, 0x7F].repeat(5_000);
    let mut inside = Vec::new();
    for _ in 0..1_000 {
        let field = Field {
            tag: 0x0A,
            value: Value::Bytes(inside),
            long_tag: false,
            long_value: false,
        };
        inside = bytes_of(&[field]);
    }
    for sample in bodies() {
        assert_eq!((sample.verify)(&sample.envelope), Ok(()));
        for body in [&groups, &messages, &inside] {
            let told = (sample.verify)(&(sample.sign)(body.clone()));
            assert!(told.is_err(), "{}", sample.name);
        }
    }
}

/// Bytes that are accepted are the bytes their value has.
fn read_in_one_way(sample: &Sample, body: &[u8]) {
    let again = (sample.again)(body);
    let told = (sample.verify)(&(sample.sign)(body.to_vec()));
    assert_eq!(
        told.is_ok(),
        again.as_deref() == Some(body),
        "{}",
        sample.name
    );
}

/// A field of a message, as it stands in the bytes.
#[derive(Clone)]
struct Field {
    tag: u64,
    value: Value,
    long_tag: bool,
    long_value: bool,
}

#[derive(Clone)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    fn number(number: u64, value: u64) -> Self {
        Self {
            tag: number << 3,
            value: Value::Number(value),
            long_tag: false,
            long_value: false,
        }
    }

    fn with(&self, value: u64) -> Self {
        Self {
            value: Value::Number(value),
            ..self.clone()
        }
    }

    fn holding(&self, bytes: Vec<u8>) -> Self {
        Self {
            value: Value::Bytes(bytes),
            ..self.clone()
        }
    }

    /// The fields inside, where what it holds can be read as a message.
    fn inside(&self) -> Option<Vec<Field>> {
        match &self.value {
            Value::Number(_) => None,
            Value::Bytes(bytes) => parse(bytes).filter(|fields| !fields.is_empty()),
        }
    }

    fn in_two(&self) -> Vec<Vec<Field>> {
        let Some(fields) = self.inside() else {
            return Vec::new();
        };
        let parts = |at: usize| {
            let (first, second) = fields.split_at(at);
            vec![
                self.holding(bytes_of(first)),
                self.holding(bytes_of(second)),
            ]
        };
        (0..fields.len()).map(parts).collect()
    }
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let (held, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                Value::Bytes(held.to_vec())
            }
            _ => return None,
        };
        if tag >> 3 == 0 || tag >> 3 > 64 {
            return None;
        }
        fields.push(Field {
            tag,
            value,
            long_tag: false,
            long_value: false,
        });
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(bytes).ok()
}

fn bytes_of(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        put(&mut out, field.tag, field.long_tag);
        match &field.value {
            Value::Number(number) => put(&mut out, *number, field.long_value),
            Value::Bytes(bytes) => {
                put(&mut out, bytes.len() as u64, field.long_value);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

/// A number; with `long` in one byte more than it needs.
fn put(out: &mut Vec<u8>, number: u64, long: bool) {
    prost::encoding::encode_varint(number, out);
    if long {
        let last = out.last_mut().unwrap();
        *last |= 0x80;
        out.push(0);
    }
}

/// The body with one field, at any depth, replaced in each way.
fn changes(body: &[u8], replace: &dyn Fn(&Field) -> Vec<Vec<Field>>) -> Vec<Vec<u8>> {
    let fields = parse(body).unwrap();
    let envelope = is_envelope(&fields);
    let mut found = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let mut within = replace(field);
        // What was signed elsewhere is bytes here: its own signature guards its form.
        let opaque = envelope && at == 0;
        if let (false, Some(_), Value::Bytes(bytes)) = (opaque, field.inside(), &field.value) {
            let deeper = changes(bytes, replace);
            within.extend(deeper.into_iter().map(|bytes| vec![field.holding(bytes)]));
        }
        for other in within {
            let all = [&fields[..at], &other, &fields[at + 1..]].concat();
            found.push(bytes_of(&all));
        }
    }
    found
}

/// Whether these are a body and its signatures (`body.v1.Signed`).
fn is_envelope(fields: &[Field]) -> bool {
    let signature = |field: &Field| {
        let whole = matches!(&field.value, Value::Bytes(bytes) if bytes.len() == 2 + 32 + 2 + 64);
        field.tag == 0x12 && whole
    };
    fields.len() > 1 && fields[0].tag == 0x0A && fields[1..].iter().all(signature)
}

/// A body of one line, so that a signature can be sought that a lax verifier takes.
struct Line(String);

impl Body for Line {
    const DOMAIN: &'static str = "chartmesh/1/test-line";

    fn encode(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, MalformedBody> {
        let text = String::from_utf8(bytes.to_vec());
        text.map(Self).map_err(|_| MalformedBody {
            domain: Self::DOMAIN,
        })
    }
}

/// What is signed for a [`Line`] (`proto/README.md`, Signed).
fn signed_bytes(line: &str) -> Vec<u8> {
    let domain = Line::DOMAIN.as_bytes();
    [
        b"chartmesh-sig\0".as_slice(),
        &[domain.len() as u8],
        domain,
        &NETWORK.0,
        &(line.len() as u32).to_be_bytes(),
        line.as_bytes(),
    ]
    .concat()
}

/// A key, a signature and the line under it, made with the discrete logarithms in hand.
struct Forgery {
    key: [u8; 32],
    nonce: [u8; 32],
    scalar: [u8; 32],
    line: String,
}

impl Forgery {
    fn verify(&self) -> Result<(), SignatureError> {
        let signature = [self.nonce, self.scalar].concat().try_into().unwrap();
        let envelope = Envelope {
            body: self.line.clone().into_bytes().into(),
            signatures: vec![(self.key, signature)],
        };
        envelope.verify::<Line>(&NetworkId(NETWORK.0)).map(|_| ())
    }
}

/// The challenge of RFC 8032 over these encodings.
fn challenge(nonce: &[u8; 32], key: &[u8; 32], line: &str) -> Scalar {
    let mut hash = Sha512::new();
    hash.update(nonce);
    hash.update(key);
    hash.update(signed_bytes(line));
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn secret(seed: u8) -> Scalar {
    Scalar::from_bytes_mod_order([seed; 32])
}

/// Key `a*B + T`, nonce `r*B + U`, over the first line for which `wanted` holds of `k*T + U`.
fn forge(
    (a, t): (Scalar, EdwardsPoint),
    (r, u): (Scalar, EdwardsPoint),
    wanted: impl Fn(EdwardsPoint) -> bool,
) -> Forgery {
    let key = (EdwardsPoint::mul_base(&a) + t).compress().to_bytes();
    let nonce = (EdwardsPoint::mul_base(&r) + u).compress().to_bytes();
    (0..1_000)
        .map(|number| format!("line {number}"))
        .find_map(|line| {
            let k = challenge(&nonce, &key, &line);
            let scalar = (r + k * a).to_bytes();
            wanted(k * t + u).then_some(Forgery {
                key,
                nonce,
                scalar,
                line,
            })
        })
        .unwrap()
}

#[test]
fn of_the_signatures_verifiers_disagree_about_only_the_unambiguous_is_taken() {
    use curve25519_dalek::traits::{Identity, IsIdentity};

    let none = EdwardsPoint::identity();
    let (t, u) = (EIGHT_TORSION[1], EIGHT_TORSION[3]);
    let (a, r, zero) = (secret(3), secret(5), Scalar::ZERO);
    let cancels = |sum: EdwardsPoint| sum.is_identity();
    let stays = |sum: EdwardsPoint| !sum.is_identity();
    assert_eq!(forge((a, none), (r, none), cancels).verify(), Ok(()));

    // All equations hold without the cofactor; key or nonce are of small order.
    let both_small = forge((zero, t), (zero, u), cancels);
    let key_small = forge((zero, t), (r, u), cancels);
    let nonce_small = forge((a, t), (zero, u), cancels);
    // Both have a part of small order, and it cancels: every verifier takes this one.
    let mixed = forge((a, t), (r, u), cancels);
    // These hold only where a verifier multiplies by the cofactor.
    let cofactored = forge((a, t), (r, u), stays);
    let cofactored_key = forge((a, t), (r, none), stays);
    assert_eq!(both_small.verify(), Err(SignatureError::Key));
    assert_eq!(key_small.verify(), Err(SignatureError::Key));
    assert_eq!(nonce_small.verify(), Err(SignatureError::Forged));
    assert_eq!(mixed.verify(), Ok(()));
    assert_eq!(cofactored.verify(), Err(SignatureError::Forged));
    assert_eq!(cofactored_key.verify(), Err(SignatureError::Forged));
}

#[test]
fn a_scalar_beyond_the_order_is_forged() {
    let none = EIGHT_TORSION[0];
    let honest = forge((secret(3), none), (secret(5), none), |_| true);
    assert_eq!(honest.verify(), Ok(()));
    // The order of the base point, RFC 8032, 5.1: 2^252 + 277..., little endian.
    let order = (-Scalar::ONE).to_bytes();
    let mut scalar = honest.scalar;

    for times in 1..16 {
        scalar = sum(scalar, order, 1);
        let forgery = Forgery {
            scalar,
            ..honest.like()
        };
        assert_eq!(forgery.verify(), Err(SignatureError::Forged), "{times}");
    }
    for bit in 252..256 {
        let mut scalar = honest.scalar;
        scalar[bit / 8] ^= 1 << (bit % 8);
        let forgery = Forgery {
            scalar,
            ..honest.like()
        };
        assert_eq!(forgery.verify(), Err(SignatureError::Forged), "{bit}");
    }
}

impl Forgery {
    fn like(&self) -> Self {
        Self {
            line: self.line.clone(),
            ..*self
        }
    }
}

fn sum(one: [u8; 32], other: [u8; 32], carried: u16) -> [u8; 32] {
    let mut carry = carried;
    std::array::from_fn(|at| {
        carry += u16::from(one[at]) + u16::from(other[at]);
        let byte = carry as u8;
        carry >>= 8;
        byte
    })
}

#[test]
fn a_point_in_a_second_form_is_neither_key_nor_nonce() {
    let a = secret(3);
    let key = EdwardsPoint::mul_base(&a).compress().to_bytes();
    let line = "line".to_owned();
    // The neutral point as y = p + 1, and both points with x = 0 whose sign bit is set.
    let mut wrapped = [0xFF; 32];
    (wrapped[0], wrapped[31]) = (0xEE, 0x7F);
    let mut signed_one = [0; 32];
    (signed_one[0], signed_one[31]) = (1, 0x80);
    let mut signed_minus_one = [0xFF; 32];
    signed_minus_one[0] = 0xEC;
    let mut neutral = [0; 32];
    neutral[0] = 1;

    for point in [wrapped, signed_one, signed_minus_one] {
        for hashed in [point, neutral] {
            let as_nonce = Forgery {
                key,
                nonce: point,
                scalar: (challenge(&hashed, &key, &line) * a).to_bytes(),
                line: line.clone(),
            };
            assert_eq!(as_nonce.verify(), Err(SignatureError::Forged));
        }
        let as_key = Forgery {
            key: point,
            nonce: EdwardsPoint::mul_base(&a).compress().to_bytes(),
            scalar: a.to_bytes(),
            line: line.clone(),
        };
        assert_eq!(as_key.verify(), Err(SignatureError::Key));
    }
    let honest = SigningKey::from_seed(&SecretKey::new([9; 32]));
    let envelope = honest.sign(&NETWORK, &Line(line));
    assert!(envelope.verify::<Line>(&NETWORK).is_ok());
}
