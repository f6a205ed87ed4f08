//! People, places and papers for the tests of this module.

use crate::{
    membership::{Organization, Template},
    records::{Class, Consent, ConsentForm, Evidence, Provision, Target},
    session::Peer,
    types::{ConsentId, Kind, MemberId, NodeKey, PatientId, Purpose, Role, Timestamp},
};

use super::{Ask, Asker, Discoverability, Facts};

pub(super) const NOW: Timestamp = Timestamp(1_000_000);
pub(super) const ROSA: PatientId = PatientId([1; 16]);
pub(super) const OTHER: PatientId = PatientId([2; 16]);
pub(super) const HARBOR: MemberId = MemberId([3; 16]);
pub(super) const HARBOR_NODE: NodeKey = NodeKey([4; 32]);

pub(super) fn organization(name: &str, kind: Kind) -> Organization {
    Organization {
        name: name.to_owned(),
        kind,
        npi: "1234567893".to_owned(),
        oid: String::new(),
        address: String::new(),
        contact: String::new(),
        phone: String::new(),
        hours: String::new(),
        state: String::new(),
        part2: false,
        test: false,
    }
}

pub(super) fn harbor() -> Peer {
    Peer {
        member: HARBOR,
        node_key: HARBOR_NODE,
        organization: organization("Harbor Urgent Care", Kind::UrgentCare),
    }
}

pub(super) fn ask(peer: &Peer, purpose: Purpose) -> Ask<'_> {
    Ask {
        asker: Asker::from(peer),
        purpose,
        role: Role::Clinician,
        now: NOW,
    }
}

/// An open patient of an ordinary hospital in an opt-in network.
pub(super) fn facts<'a>(holder: &'a Organization, consents: &'a [Consent]) -> Facts<'a> {
    Facts {
        patient: ROSA,
        holder,
        template: Template::OptIn,
        discoverability: Discoverability::Open,
        consents,
    }
}

/// A consent for treatment by Harbor, on file since long ago.
pub(super) fn consent(position: u64, provision: Provision, class: Class) -> Consent {
    let mut id = [9; 16];
    id[..8].copy_from_slice(&position.to_be_bytes());
    Consent {
        id: ConsentId(id),
        patient: ROSA,
        provision,
        form: ConsentForm::Provision,
        target: Target::Member(HARBOR),
        purposes: vec![Purpose::Treat],
        class,
        by: "patient".to_owned(),
        from: Timestamp(0),
        until: None,
        evidence: None,
        witness: None,
        recorded_by: "amy".to_owned(),
        even_emergency: false,
        policy: "https://profiles.ihe.net/ITI/PCF/Policy-break-glass-only".to_owned(),
        position,
        recorded_at: Timestamp(position),
        revoked: None,
    }
}

pub(super) fn permit_of(position: u64, class: Class) -> Consent {
    consent(position, Provision::Permit, class)
}

pub(super) fn denial_of(position: u64, class: Class) -> Consent {
    consent(position, Provision::Deny, class)
}

pub(super) fn opt_out(position: u64, class: Class) -> Consent {
    Consent {
        form: ConsentForm::OptOut,
        target: Target::Any,
        purposes: Vec::new(),
        ..denial_of(position, class)
    }
}

pub(super) fn opt_in(position: u64, class: Class) -> Consent {
    Consent {
        form: ConsentForm::OptIn,
        target: Target::Any,
        purposes: vec![Purpose::Treat],
        ..permit_of(position, class)
    }
}

pub(super) fn paper() -> Evidence {
    Evidence {
        sha256: [7; 32],
        content_type: "application/pdf".to_owned(),
        size: 12_345,
    }
}
