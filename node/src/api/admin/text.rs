//! Small conversions between the command line's texts and domain values.

use std::str::FromStr;

use chartmesh_core::{
    records::{Coding, Demographics},
    types::{
        Code, ConsentId, DocumentId, Handle, ParseIdError, PatientId, Purpose, Span, Timestamp,
    },
};
use chartmesh_proto::admin::{CodingView, DemographicsView};
use tonic::Status;

use super::error::{unreadable_id, usage};

/// An id that users name things by, and what they are told where nothing has it.
pub(super) trait Named: FromStr<Err = ParseIdError> {
    /// The code of *nothing has this id*.
    const UNKNOWN: Code;
}

impl Named for PatientId {
    const UNKNOWN: Code = Code::PatientUnknown;
}

impl Named for DocumentId {
    const UNKNOWN: Code = Code::DocumentUnknown;
}

impl Named for ConsentId {
    const UNKNOWN: Code = Code::ConsentUnknown;
}

impl Named for Handle {
    const UNKNOWN: Code = Code::HandleUnknown;
}

/// Reads an id.
pub(super) fn id<T: Named>(text: &str) -> Result<T, Status> {
    text.trim()
        .parse()
        .map_err(|error| unreadable_id(T::UNKNOWN, error))
}

/// Reads a handle.
pub(super) fn handle(text: &str) -> Result<Handle, Status> {
    id(text)
}

/// Reads a purpose of use; missing or unknown is refused, never defaulted.
pub(super) fn purpose(text: &str) -> Result<Purpose, Status> {
    text.parse().map_err(|_| {
        usage(
            Code::PurposeUnknown,
            "the purpose of use is missing or unknown",
        )
    })
}

/// Reads an ISO date or date-time; none where the text is empty.
pub(super) fn time(text: &str) -> Result<Option<Timestamp>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    Timestamp::parse(text)
        .map(Some)
        .ok_or_else(|| usage(Code::Usage, "a date is not of the form YYYY-MM-DD"))
}

/// Reads the end of a period: a whole day lasts to its end.
pub(super) fn end(text: &str) -> Result<Option<Timestamp>, Status> {
    let at = time(text)?;
    Ok(at.map(|at| {
        if text.len() == 10 {
            at.plus(Span::days(1))
        } else {
            at
        }
    }))
}

/// A text, or none where it is empty.
pub(super) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A code as it is shown.
pub(super) fn coding(coding: Coding) -> CodingView {
    CodingView {
        system: coding.system,
        code: coding.code,
        display: coding.display,
    }
}

/// What a certain match shows.
pub(super) fn demographics(shown: &Demographics) -> DemographicsView {
    let name = shown.names.first();
    DemographicsView {
        family: name.map_or_else(String::new, |name| name.family.clone()),
        given: name.map_or_else(String::new, |name| name.given.join(" ")),
        birth_date: shown.birth_date.clone(),
        sex: shown
            .sex
            .map_or_else(|| "unknown".to_owned(), |sex| sex.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_id_names_nothing_that_exists() {
        fn told<T: Named>(text: &str) -> Option<(tonic::Code, String)> {
            let status = id::<T>(text).err()?;
            let code = status.metadata().get("chartmesh-code")?;
            Some((status.code(), code.to_str().ok()?.to_owned()))
        }
        let unknown = |code: Code| Some((tonic::Code::NotFound, code.text().to_owned()));
        assert!(id::<PatientId>(&format!(" {} ", PatientId([1; 16]))).is_ok());
        assert!(id::<Handle>(&Handle([1; 20]).to_string()).is_ok());

        for wrong in ["nonsense", "pat_nope", "hdl_x", "doc_x", "con_nope", ""] {
            assert_eq!(told::<PatientId>(wrong), unknown(Code::PatientUnknown));
            assert_eq!(told::<Handle>(wrong), unknown(Code::HandleUnknown));
            assert_eq!(told::<DocumentId>(wrong), unknown(Code::DocumentUnknown));
            assert_eq!(told::<ConsentId>(wrong), unknown(Code::ConsentUnknown));
        }
    }
}
