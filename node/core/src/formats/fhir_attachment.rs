//! Files inside resources: decoded, checked against their hash and size, described.

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::{
    fhir_value::{object, objects, text, time},
    report::{At, FormatError, Issue},
};
use crate::{
    records::Coding,
    types::{Timestamp, limits::DOCUMENT_MAX_BYTES},
};

/// LOINC's type for a document of which nothing else is known: *Note*.
const NOTE: &str = "34109-9";

/// A file that came inside a `DocumentReference`, `DiagnosticReport` or `Media`.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its bytes.
    pub bytes: Bytes,
    /// MIME type; `application/octet-stream` where none is given.
    pub content_type: String,
    /// Title, or what the type is called.
    pub title: String,
    /// Type of the document, LOINC where there is one.
    pub coding: Coding,
    /// When it was made, where known.
    pub date: Option<Timestamp>,
    /// Start and end of the period it covers, where known.
    pub period: (Option<Timestamp>, Option<Timestamp>),
    /// Who wrote it, as displayed.
    pub author: String,
    /// For which organisation, as displayed.
    pub author_organization: String,
    /// Format code, where known.
    pub format: String,
    /// FHIR DocumentReference.status.
    pub status: String,
    /// Codes of its security labels.
    pub labels: Vec<String>,
}

/// Looks up what an attachment's address points to: content type and base64 data of a Binary of the same
/// input.
pub(super) trait Binaries {
    /// The JSON of the Binary, where the input holds it.
    fn find(&self, url: &str) -> Option<&[u8]>;
}

/// Whether resources of this type carry files.
pub(super) fn carries_files(resource_type: &str) -> bool {
    matches!(
        resource_type,
        "DocumentReference" | "DiagnosticReport" | "Media"
    )
}

/// The files inside a resource; those that are elsewhere are left out and told.
pub(super) fn attachments(
    resource: &Value,
    binaries: &impl Binaries,
    at: At,
    issues: &mut Vec<Issue>,
) -> Result<Vec<Attachment>, FormatError> {
    let about = About::read(resource, at)?;
    let mut found = Vec::new();
    for (attachment, format) in places(resource, at)? {
        let Some((bytes, binary_type)) = content(attachment, binaries, at, issues)? else {
            continue;
        };
        verify(attachment, &bytes, at)?;
        let own = |name| text(attachment, name, at).map(Option::unwrap_or_default);
        let content_type = match (own("contentType")?, binary_type.as_str()) {
            ("", "") => "application/octet-stream".to_owned(),
            ("", binary_type) => binary_type.to_owned(),
            (content_type, _) => content_type.to_owned(),
        };
        let title = match own("title")? {
            "" => about.title.clone(),
            title => title.to_owned(),
        };
        found.push(Attachment {
            bytes,
            content_type,
            title,
            date: about.date.or(time(own("creation")?)),
            format,
            coding: about.coding.clone(),
            period: about.period,
            author: about.author.clone(),
            author_organization: about.author_organization.clone(),
            status: about.status.to_owned(),
            labels: about.labels.clone(),
        });
    }
    Ok(found)
}

/// Each attachment with its format code.
fn places(resource: &Value, at: At) -> Result<Vec<(&Value, String)>, FormatError> {
    let mut places = Vec::new();
    match text(resource, "resourceType", at)? {
        Some("DocumentReference") => {
            for content in objects(resource, "content", at)? {
                let format = object(content, "format", at)?;
                let format = format.map_or(Ok(None), |format| text(format, "code", at))?;
                if let Some(attachment) = object(content, "attachment", at)? {
                    places.push((attachment, format.unwrap_or_default().to_owned()));
                }
            }
        }
        Some("DiagnosticReport") => {
            let forms = objects(resource, "presentedForm", at)?;
            places.extend(forms.into_iter().map(|form| (form, String::new())));
        }
        _ => {
            let content = object(resource, "content", at)?;
            places.extend(content.map(|content| (content, String::new())));
        }
    }
    Ok(places)
}

fn content(
    attachment: &Value,
    binaries: &impl Binaries,
    at: At,
    issues: &mut Vec<Issue>,
) -> Result<Option<(Bytes, String)>, FormatError> {
    if let Some(data) = text(attachment, "data", at)? {
        return Ok(Some((decode(data, at)?, String::new())));
    }
    let Some(url) = text(attachment, "url", at)? else {
        issues.push(Issue::new("an attachment has neither data nor address", at));
        return Ok(None);
    };
    let Some(binary) = binaries.find(url) else {
        issues.push(Issue::new(
            "an attachment is elsewhere and was not fetched",
            at,
        ));
        return Ok(None);
    };
    let binary = super::fhir_value::parse(binary, at)?;
    let Some(data) = text(&binary, "data", at)? else {
        issues.push(Issue::new("the Binary of an attachment has no data", at));
        return Ok(None);
    };
    let content_type = text(&binary, "contentType", at)?.unwrap_or_default();
    Ok(Some((decode(data, at)?, content_type.to_owned())))
}

/// R4 `base64Binary`: RFC 4648, section 4, white space allowed.
fn decode(data: &str, at: At) -> Result<Bytes, FormatError> {
    let too_large = FormatError::TooLarge {
        max_bytes: DOCUMENT_MAX_BYTES,
        at,
    };
    if data.len() / 4 > DOCUMENT_MAX_BYTES / 3 + 1 {
        return Err(too_large);
    }
    let space = |byte: &u8| byte.is_ascii_whitespace();
    let decoded = if data.bytes().any(|byte| space(&byte)) {
        let dense: Vec<u8> = data.bytes().filter(|byte| !space(byte)).collect();
        BASE64.decode(&dense)
    } else {
        BASE64.decode(data.as_bytes())
    };
    let bytes = decoded.map_err(|_| FormatError::Malformed {
        what: "the data of an attachment is not base64",
        at,
    })?;
    if bytes.len() > DOCUMENT_MAX_BYTES {
        return Err(too_large);
    }
    Ok(bytes.into())
}

/// R4 `Attachment.size` counts bytes before base64; `Attachment.hash` is SHA-1 in base64.
fn verify(attachment: &Value, bytes: &Bytes, at: At) -> Result<(), FormatError> {
    match attachment.get("size") {
        None | Some(Value::Null) => {}
        Some(size) if size.as_u64() == u64::try_from(bytes.len()).ok() => {}
        Some(_) => return Err(FormatError::Integrity { what: "size", at }),
    }
    match text(attachment, "hash", at)? {
        None => {}
        Some(hash) if hash == BASE64.encode(&Sha1::digest(bytes)) => {}
        Some(_) => return Err(FormatError::Integrity { what: "hash", at }),
    }
    Ok(())
}

/// What a resource says of all its files.
struct About {
    title: String,
    coding: Coding,
    date: Option<Timestamp>,
    period: (Option<Timestamp>, Option<Timestamp>),
    author: String,
    author_organization: String,
    status: &'static str,
    labels: Vec<String>,
}

impl About {
    fn read(resource: &Value, at: At) -> Result<Self, FormatError> {
        let kind = text(resource, "resourceType", at)?.unwrap_or_default();
        let concept = match kind {
            "DiagnosticReport" => object(resource, "code", at)?,
            _ => object(resource, "type", at)?,
        };
        let coding = match concept {
            Some(concept) => coding(concept, at)?,
            None => None,
        };
        let named = match (text(resource, "description", at)?, concept) {
            (Some(description), _) => Some(description),
            (None, Some(concept)) => text(concept, "text", at)?,
            (None, None) => None,
        };
        let coding = coding.unwrap_or_else(|| Coding {
            system: Coding::LOINC.to_owned(),
            code: NOTE.to_owned(),
            display: "Note".to_owned(),
        });
        let date = |name| Ok(text(resource, name, at)?.and_then(time));
        let author = match kind {
            "DocumentReference" => display_of_first(resource, "author", at)?,
            "DiagnosticReport" => display_of_first(resource, "performer", at)?,
            _ => display(object(resource, "operator", at)?, at)?,
        };
        Ok(Self {
            title: named.unwrap_or(&coding.display).to_owned(),
            coding,
            date: match kind {
                "DocumentReference" => date("date")?,
                "DiagnosticReport" => date("issued")?.or(date("effectiveDateTime")?),
                _ => date("issued")?.or(date("createdDateTime")?),
            },
            period: period(resource, kind, at)?,
            author,
            author_organization: display(object_or_none(resource, "custodian"), at)?,
            status: status(text(resource, "status", at)?),
            labels: labels(resource, at)?,
        })
    }
}

/// `custodian` means the organisation in a `DocumentReference` alone; other types have no such element.
fn object_or_none<'a>(resource: &'a Value, name: &str) -> Option<&'a Value> {
    resource.get(name).filter(|value| value.is_object())
}

/// The LOINC code of a concept, else its first code.
fn coding(concept: &Value, at: At) -> Result<Option<Coding>, FormatError> {
    let mut first = None;
    for coding in objects(concept, "coding", at)? {
        let part = |name| text(coding, name, at).map(Option::unwrap_or_default);
        let read = Coding {
            system: part("system")?.to_owned(),
            code: part("code")?.to_owned(),
            display: part("display")?.to_owned(),
        };
        if read.system == Coding::LOINC && !read.code.is_empty() {
            return Ok(Some(read));
        }
        if first.is_none() && !read.code.is_empty() {
            first = Some(read);
        }
    }
    Ok(first)
}

fn display(reference: Option<&Value>, at: At) -> Result<String, FormatError> {
    let display = reference.map_or(Ok(None), |reference| text(reference, "display", at))?;
    Ok(display.unwrap_or_default().to_owned())
}

fn display_of_first(resource: &Value, name: &str, at: At) -> Result<String, FormatError> {
    for reference in objects(resource, name, at)? {
        let display = display(Some(reference), at)?;
        if !display.is_empty() {
            return Ok(display);
        }
    }
    Ok(String::new())
}

fn period(
    resource: &Value,
    kind: &str,
    at: At,
) -> Result<(Option<Timestamp>, Option<Timestamp>), FormatError> {
    let period = match kind {
        "DocumentReference" => match object(resource, "context", at)? {
            Some(context) => object(context, "period", at)?,
            None => None,
        },
        "DiagnosticReport" => object(resource, "effectivePeriod", at)?,
        _ => object(resource, "createdPeriod", at)?,
    };
    let Some(period) = period else {
        return Ok((None, None));
    };
    let end = |name| Ok(text(period, name, at)?.and_then(time));
    Ok((end("start")?, end("end")?))
}

/// DocumentReferenceStatus for the statuses of reports and media: withdrawn is withdrawn, the rest stands.
fn status(status: Option<&str>) -> &'static str {
    match status {
        Some("superseded") => "superseded",
        Some("entered-in-error" | "cancelled" | "stopped" | "not-done") => "entered-in-error",
        _ => "current",
    }
}

fn labels(resource: &Value, at: At) -> Result<Vec<String>, FormatError> {
    let mut labels = Vec::new();
    let mut add = |codings: Vec<&Value>| -> Result<(), FormatError> {
        for coding in codings {
            let code = text(coding, "code", at)?.unwrap_or_default().to_owned();
            if !code.is_empty() && !labels.contains(&code) {
                labels.push(code);
            }
        }
        Ok(())
    };
    if let Some(meta) = object(resource, "meta", at)? {
        add(objects(meta, "security", at)?)?;
    }
    for concept in objects(resource, "securityLabel", at)? {
        add(objects(concept, "coding", at)?)?;
    }
    Ok(labels)
}
