//! A small invented network for the tests of this module.

use bytes::Bytes;

use super::{
    Chain, Charter, Credential, Founding, HpkeKey, KeySet, Known, NodeRecord, Organization, Rules,
    Subject, Template, genesis_id,
};
use crate::{
    crypto::{Body, Envelope, OpeningKey, SecretKey, SigningKey},
    types::{Kind, MemberId, NetworkId, NodeKey, Timestamp},
};

pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000);

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&SecretKey::new([seed; 32]))
}

pub(crate) fn organization() -> Organization {
    Organization {
        name: "Cedar Clinic".to_owned(),
        kind: Kind::Clinic,
        npi: "1234567893".to_owned(),
        oid: String::new(),
        address: "1 Elm St".to_owned(),
        contact: "records@cedar.example".to_owned(),
        phone: "+1 555 0100".to_owned(),
        hours: "Mon-Fri 8-17".to_owned(),
        state: "MA".to_owned(),
        part2: false,
        test: true,
    }
}

pub(crate) fn founding(authorities: &[SigningKey], threshold: u32) -> Founding {
    Founding {
        name: "Springfield".to_owned(),
        template: Template::OptIn,
        rules: Rules::of(Template::OptIn),
        authorities: authorities.iter().map(SigningKey::public).collect(),
        threshold,
        test: true,
    }
}

/// Signs a genesis as it is, under the network that its own body names.
pub(crate) fn sign_genesis(charter: &Charter, signers: &[SigningKey]) -> Envelope {
    let body = charter.encode();
    let network = genesis_id(&body);
    sign_by(charter, &network, signers)
}

pub(crate) fn sign_by<T: Body>(value: &T, network: &NetworkId, signers: &[SigningKey]) -> Envelope {
    let mut envelope = Envelope {
        body: value.encode().into(),
        signatures: Vec::new(),
    };
    for signer in signers {
        envelope.add_signature::<T>(signer, network);
    }
    envelope
}

/// A network of three authorities, two of which must sign.
pub(crate) struct Network {
    pub(crate) id: NetworkId,
    pub(crate) charter: Charter,
    pub(crate) genesis: Envelope,
    pub(crate) chain: Chain,
    pub(crate) authorities: [SigningKey; 3],
}

impl Network {
    pub(crate) fn new() -> Self {
        let authorities = [key(101), key(102), key(103)];
        let charter = Charter::genesis(founding(&authorities, 2), NOW, [9; 16]).unwrap();
        let genesis = sign_genesis(&charter, &authorities);
        Self {
            id: genesis_id(&genesis.body),
            charter,
            chain: Chain::found(&genesis).unwrap(),
            genesis,
            authorities,
        }
    }

    /// Signs with as many authorities as must.
    pub(crate) fn sign<T: Body>(&self, value: &T) -> Envelope {
        sign_by(value, &self.id, &self.authorities[..2])
    }

    pub(crate) fn credential(&self, number: u8, sequence: u64) -> Credential {
        let mut organization = organization();
        organization.npi.clear();
        organization.name = format!("Clinic {number}");
        Credential::issue(self.id, subject(number), organization, sequence, NOW).unwrap()
    }

    pub(crate) fn key_set(&self, number: u8, sequence: u64) -> KeySet {
        let public = OpeningKey::from_bytes(&SecretKey::new([number; 32])).public();
        let keys = vec![HpkeKey::xwing(public).unwrap()];
        KeySet::issue(subject(number), sequence, keys, key(99).public(), NOW).unwrap()
    }

    pub(crate) fn node_record(&self, number: u8, sequence: u64) -> NodeRecord {
        let addresses = vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 28, 252])];
        NodeRecord::issue(subject(number), sequence, addresses, NOW)
    }

    pub(crate) fn known(&self, number: u8) -> Known {
        Known {
            credential: self.sign(&self.credential(number, 1)),
            key_set: Some(key(number).sign(&self.id, &self.key_set(number, 1))),
            node_record: Some(key(number).sign(&self.id, &self.node_record(number, 1))),
        }
    }
}

/// A member of that number, with the key of that number.
pub(crate) fn subject(number: u8) -> Subject {
    Subject {
        member: MemberId([number; 16]),
        node_key: NodeKey(key(number).public()),
    }
}
