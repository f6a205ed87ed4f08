//! The body of the sealed `identity` file.

use chartmesh_proto::store;
use zeroize::{Zeroize as _, Zeroizing};

use super::field::{Wire as _, WireError, array, optional_array, required};
use crate::{
    crypto::SecretKey,
    membership::{StoredIdentity, StoredOpeningKey},
    types::{Incarnation, MemberId, Timestamp},
};

/// The body of the `identity` file; wipes itself.
pub fn encode_identity(identity: &StoredIdentity) -> Zeroizing<Vec<u8>> {
    let mut record = store::IdentityRecord {
        member: identity.member.0.to_vec(),
        node_seed: identity.node_seed.to_vec(),
        audit_seed: identity.audit_seed.to_vec(),
        authority_seed: identity.authority_seed.to_vec(),
        organization: Some(identity.organization.to_proto()),
        opening: identity
            .opening
            .iter()
            .map(|key| store::OpeningKeyRecord {
                private: key.private.to_vec(),
                created_ms: key.created.0,
            })
            .collect(),
        next_node_seed: identity
            .next_node_seed
            .as_ref()
            .map(|seed| seed.to_vec())
            .unwrap_or_default(),
        incarnation: identity.incarnation.0,
    };
    let bytes = Zeroizing::new(prost::Message::encode_to_vec(&record));
    wipe(&mut record);
    bytes
}

/// Reads the body of the `identity` file.
///
/// # Errors
/// [`WireError`] where the bytes are no such body.
pub fn decode_identity(bytes: &[u8]) -> Result<StoredIdentity, WireError> {
    let mut record = <store::IdentityRecord as prost::Message>::decode(bytes)
        .map_err(|_| WireError::Encoding)?;
    let read = read(&mut record);
    wipe(&mut record);
    read
}

fn read(record: &mut store::IdentityRecord) -> Result<StoredIdentity, WireError> {
    let mut opening = Vec::with_capacity(record.opening.len());
    for key in &record.opening {
        opening.push(StoredOpeningKey {
            private: SecretKey::new(array(&key.private)?),
            created: Timestamp(key.created_ms),
        });
    }
    Ok(StoredIdentity {
        member: MemberId(array(&record.member)?),
        node_seed: SecretKey::new(array(&record.node_seed)?),
        audit_seed: SecretKey::new(array(&record.audit_seed)?),
        authority_seed: SecretKey::new(array(&record.authority_seed)?),
        organization: required(record.organization.take())?,
        opening,
        next_node_seed: optional_array(&record.next_node_seed)?.map(SecretKey::new),
        incarnation: Incarnation(record.incarnation),
    })
}

fn wipe(record: &mut store::IdentityRecord) {
    record.node_seed.zeroize();
    record.audit_seed.zeroize();
    record.authority_seed.zeroize();
    record.next_node_seed.zeroize();
    for key in &mut record.opening {
        key.private.zeroize();
    }
}
