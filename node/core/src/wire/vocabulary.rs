//! Terms ⇄ their numbers on the wire. Unspecified and unknown numbers are refused.

use chartmesh_proto::body as proto;

use super::field::{Term, WireError};
use crate::{
    matching::{Agreement, Attribute, Grade},
    membership::{JoinState, ProposalKind, Template},
    types::{Kind, PeerCode, Purpose, Role, Sex},
};

macro_rules! terms {
    ($type:ident { $($variant:ident)* }) => {
        impl Term for $type {
            fn number(self) -> i32 {
                match self {
                    $(Self::$variant => proto::$type::$variant as i32,)*
                }
            }

            fn term(number: i32) -> Result<Self, WireError> {
                match proto::$type::try_from(number) {
                    $(Ok(proto::$type::$variant) => Ok(Self::$variant),)*
                    Ok(proto::$type::Unspecified) | Err(_) => Err(WireError::Term),
                }
            }
        }
    };
}

terms!(Purpose {
    Treat Etreat Btg Hpaymt Hoperat Patrqt Famrqt Pwatrny Supnwk Hresch Pubhlth Coverage Covauth
});
terms!(Role { Admin Clinician FrontDesk PrivacyOfficer Patient });
terms!(Sex { Female Male Other Unknown });
terms!(Kind {
    Clinic Hospital UrgentCare Lab Pharmacy Telemedicine PublicHealth BehavioralHealth SubstanceUse
    Imaging Dental HomeHealth LongTermCare Ambulance School Payer Gateway
});
terms!(Template { OptIn UsTreatment });
terms!(JoinState { Pending Approved Refused });
terms!(ProposalKind { Charter Credential RevocationList });
terms!(Grade { Certain Probable Possible });
terms!(Attribute { Family Given BirthDate Sex Identifier Address Phone Email });
terms!(Agreement { Agrees Close Differs Absent });
terms!(PeerCode {
    Malformed Unauthenticated NotMember Stale Denied HandleUnknown OverBudget Unavailable ClockSkew
    TrustStale VersionTooOld Superseded
});
