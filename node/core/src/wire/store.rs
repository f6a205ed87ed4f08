//! Bodies of journal records ⇄ what they say. They are read back only by the node that sealed them, so
//! their canonical form is not demanded; lengths and terms are.

use chartmesh_proto::{body as proto, store};
use zeroize::Zeroize as _;

use super::field::{
    Term, Wire, WireError, array, decode, encode, optional, optional_array, optional_bytes,
    optional_time, required,
};
use crate::{
    crypto::{Envelope, SecretKey},
    membership::{JoinRecord, JoinState, Known},
    records::{
        Document, HandleReceived, HandleRecord, PatientRecord, ResourceRecord, RevokeRecord,
        TicketIssued,
    },
    types::{ConsentId, DocumentId, Handle, MemberId, PatientId, Purpose, Timestamp},
};

/// Largest number of a discoverability (`store.proto`).
const DISCOVERABILITY_MAX: u32 = 3;

macro_rules! stored {
    ($($what:literal $type:ty => $encode:ident $decode:ident;)*) => {
        $(
            #[doc = concat!("The journal body of ", $what, ".")]
            pub fn $encode(value: &$type) -> Vec<u8> {
                encode(value)
            }

            #[doc = concat!("Reads the journal body of ", $what, ".")]
            ///
            /// # Errors
            /// [`WireError`] where the bytes are no such body.
            pub fn $decode(bytes: &[u8]) -> Result<$type, WireError> {
                decode(bytes)
            }
        )*
    };
}

stored!(
    "a member" Known => encode_member decode_member;
    "a ticket issued here" TicketIssued => encode_ticket_issued decode_ticket_issued;
    "a join request and how it stands" JoinRecord => encode_join decode_join;
    "a patient" PatientRecord => encode_patient decode_patient;
    "a FHIR resource" ResourceRecord => encode_resource decode_resource;
    "a document" Document => encode_document decode_document;
    "a revocation" RevokeRecord => encode_revoke decode_revoke;
    "a handle given" HandleRecord => encode_handle decode_handle;
    "a handle received" HandleReceived => encode_handle_received decode_handle_received;
);
