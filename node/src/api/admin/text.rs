//! Small conversions between the command line's texts and domain values.

use chartmesh_core::{
    records::{Coding, Demographics},
    types::{Code, Handle, Purpose, Span, Timestamp},
};
use chartmesh_proto::admin::{CodingView, DemographicsView};
use tonic::Status;

use super::error::{unreadable_id, usage};

/// Reads an id.
pub(super) fn id<T>(text: &str) -> Result<T, Status>
where
    T: std::str::FromStr<Err = chartmesh_core::types::ParseIdError>,
{
    text.trim().parse().map_err(unreadable_id)
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
