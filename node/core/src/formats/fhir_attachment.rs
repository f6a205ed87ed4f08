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
    types::{
        Code, Timestamp,
        limits::{CODE_CHARS_MAX, CODES_MAX, RESOURCE_MAX_BYTES, TEXT_CHARS_MAX},
    },
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
    let about = About::read(resource, at, issues)?;
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
        let content_type = if is_code(&content_type) {
            content_type
        } else {
            left_out(issues, at);
            "application/octet-stream".to_owned()
        };
        let format = if is_code(&format) {
            format
        } else {
            left_out(issues, at);
            String::new()
        };
        let title = match own("title")? {
            "" => about.title.clone(),
            title => cut(title, at, issues),
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
        issues.push(Issue::new(
            Code::FhirMalformed,
            "an attachment has neither data nor address",
            at,
        ));
        return Ok(None);
    };
    let Some(binary) = binaries.find(url) else {
        issues.push(Issue::new(
            Code::DocumentUnknown,
            "an attachment is elsewhere and was not fetched",
            at,
        ));
        return Ok(None);
    };
    let binary = super::fhir_value::parse(binary, at)?;
    let Some(data) = text(&binary, "data", at)? else {
        issues.push(Issue::new(
            Code::FhirMalformed,
            "the Binary of an attachment has no data",
            at,
        ));
        return Ok(None);
    };
    let content_type = text(&binary, "contentType", at)?.unwrap_or_default();
    Ok(Some((decode(data, at)?, content_type.to_owned())))
}

/// R4 `base64Binary`: RFC 4648, section 4, white space allowed. Bits behind the last byte may be set, as
/// some encoders leave them; they carry nothing.
fn decode(data: &str, at: At) -> Result<Bytes, FormatError> {
    check_len(data.len(), at)?;
    let malformed = FormatError::Malformed {
        what: "the data of an attachment is not base64",
        at,
    };
    // The decoder takes several padded texts in a row; R4 knows one.
    let behind_padding = data.trim_start_matches(|letter| letter != '=');
    let ends = |byte: u8| byte == b'=' || byte.is_ascii_whitespace();
    if !behind_padding.bytes().all(ends) {
        return Err(malformed);
    }
    let mut specification = BASE64.specification();
    specification.check_trailing_bits = false;
    specification.ignore = " \t\r\n".to_owned();
    let encoding = specification.encoding().map_err(|_| malformed)?;
    let bytes = encoding.decode(data.as_bytes()).map_err(|_| malformed)?;
    if bytes.len() > RESOURCE_MAX_BYTES {
        return Err(too_large(at));
    }
    Ok(bytes.into())
}

/// Refuses by the length of the base64 text, before memory is asked for.
fn check_len(len_chars: usize, at: At) -> Result<(), FormatError> {
    if len_chars / 4 > RESOURCE_MAX_BYTES / 3 + 1 {
        return Err(too_large(at));
    }
    Ok(())
}

fn too_large(at: At) -> FormatError {
    FormatError::TooLarge {
        max_bytes: RESOURCE_MAX_BYTES,
        at,
    }
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
    fn read(resource: &Value, at: At, issues: &mut Vec<Issue>) -> Result<Self, FormatError> {
        let kind = text(resource, "resourceType", at)?.unwrap_or_default();
        let concept = match kind {
            "DiagnosticReport" => object(resource, "code", at)?,
            _ => object(resource, "type", at)?,
        };
        let coding = match concept {
            Some(concept) => coding(concept, at, issues)?,
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
            title: cut(named.unwrap_or(&coding.display), at, issues),
            coding,
            date: match kind {
                "DocumentReference" => date("date")?,
                "DiagnosticReport" => date("issued")?.or(date("effectiveDateTime")?),
                _ => date("issued")?.or(date("createdDateTime")?),
            },
            period: period(resource, kind, at)?,
            author: cut(&author, at, issues),
            author_organization: cut(
                &display(object(resource, "custodian", at)?, at)?,
                at,
                issues,
            ),
            status: status(text(resource, "status", at)?),
            labels: labels(resource, at)?,
        })
    }
}

/// The text as far as a reader takes it.
fn cut(text: &str, at: At, issues: &mut Vec<Issue>) -> String {
    let kept: String = text.chars().take(TEXT_CHARS_MAX).collect();
    if kept.len() < text.len() {
        tell(issues, "a text of a document is too long and was cut", at);
    }
    kept
}

fn left_out(issues: &mut Vec<Issue>, at: At) {
    tell(
        issues,
        "a code of a document is too long or out of form and was left out",
        at,
    );
}

fn tell(issues: &mut Vec<Issue>, text: &'static str, at: At) {
    let issue = Issue::new(Code::JsonLimit, text, at);
    if !issues.contains(&issue) {
        issues.push(issue);
    }
}

/// Whether a reader takes a code.
fn is_code(code: &str) -> bool {
    code.chars().count() <= CODE_CHARS_MAX && !code.chars().any(char::is_control)
}

/// The LOINC code of a concept, else its first code; one that no reader takes is passed over.
fn coding(concept: &Value, at: At, issues: &mut Vec<Issue>) -> Result<Option<Coding>, FormatError> {
    let mut first = None;
    for coding in objects(concept, "coding", at)? {
        let part = |name| text(coding, name, at).map(Option::unwrap_or_default);
        let read = Coding {
            system: part("system")?.to_owned(),
            code: part("code")?.to_owned(),
            display: cut(part("display")?, at, issues),
        };
        if !is_code(&read.system) || !is_code(&read.code) {
            left_out(issues, at);
            continue;
        }
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

/// The security labels, all of them: a document that lacks one would be shown to the wrong people.
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
    if labels.len() > CODES_MAX || !labels.iter().all(|label| is_code(label)) {
        return Err(FormatError::Limit {
            what: "number or length of security labels",
            at,
        });
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct One(&'static str, &'static [u8]);

    impl Binaries for One {
        fn find(&self, url: &str) -> Option<&[u8]> {
            (url == self.0).then_some(self.1)
        }
    }

    const BINARY: One = One(
        "Binary/1",
        br#"{"resourceType":"Binary","contentType":"image/png","data":"SGVsbG8gV29ybGQ="}"#,
    );

    fn read(resource: &Value) -> Result<(Vec<Attachment>, usize), FormatError> {
        let mut issues = Vec::new();
        let found = attachments(resource, &BINARY, At::default(), &mut issues)?;
        Ok((found, issues.len()))
    }

    fn form(attachment: Value) -> Value {
        json!({"resourceType": "DiagnosticReport", "presentedForm": [attachment]})
    }

    fn code(attachment: Value) -> Option<Code> {
        read(&form(attachment)).err().map(|error| error.code())
    }

    #[test]
    fn what_no_reader_would_take_is_cut_or_left_out_and_told() {
        let reference = |text: &str, code: &str, label: &str| {
            json!({"resourceType": "DocumentReference",
                "type": {"coding": [{"system": "http://loinc.org", "code": code, "display": text}]},
                "author": [{"display": text}], "custodian": {"display": text},
                "securityLabel": [{"coding": [{"code": label}]}],
                "content": [{"format": {"code": code},
                    "attachment": {"data": "SGVsbG8=", "title": text, "contentType": code}}]})
        };
        let most = "é".repeat(TEXT_CHARS_MAX);
        let code = "c".repeat(CODE_CHARS_MAX);

        let whole = read(&reference(&most, &code, &code));
        let over = read(&reference(
            &(most.clone() + "é"),
            &(code.clone() + "c"),
            "R",
        ));
        let (Ok((whole, 0)), Ok((over, 2))) = (&whole, &over) else {
            panic!("refused, or told of something else");
        };

        assert_eq!((&whole[0].title, &whole[0].author), (&most, &most));
        assert_eq!((&whole[0].coding.code, &whole[0].format), (&code, &code));
        assert_eq!((&over[0].title, &over[0].author), (&most, &most));
        assert_eq!(&over[0].author_organization, &most);
        assert_eq!(over[0].coding.code, NOTE);
        assert_eq!(&*over[0].content_type, "application/octet-stream");
        assert_eq!(&*over[0].format, "");
        let control = read(&reference("x", "a\u{1b}[31m", "R"));
        assert!(control.is_ok_and(|(found, told)| found[0].coding.code == NOTE && told == 1));
        for label in [code.clone() + "c", "R\n".to_owned()] {
            let refused = read(&reference("x", "c", &label)).err();
            assert_eq!(refused.map(|error| error.code()), Some(Code::JsonLimit));
        }
    }

    #[test]
    fn a_hash_or_size_that_differs_is_refused() {
        let data = "SGVsbG8gV29ybGQ=";

        assert_eq!(
            code(json!({"data": data, "size": 11, "hash": "Ck1VqNd45QIvq3AZd8XYQLvEhtA="})),
            None
        );
        assert_eq!(
            code(json!({"data": data, "size": 12})),
            Some(Code::Integrity)
        );
        assert_eq!(
            code(json!({"data": data, "size": "11"})),
            Some(Code::Integrity)
        );
        assert_eq!(
            code(json!({"data": data, "hash": "Ck1VqNd45QIvq3AZd8XYQLvEhtB="})),
            Some(Code::Integrity)
        );
        assert_eq!(code(json!({"url": "Binary/1", "size": 11})), None);
        assert_eq!(
            code(json!({"url": "Binary/1", "size": 10})),
            Some(Code::Integrity)
        );
    }

    #[test]
    fn data_that_is_no_base64_is_refused() {
        for data in ["", "SGVsbG8gV29ybGQ=", "SGVs\r\n bG8=", "SGVsbG8gV29ybGR="] {
            assert_eq!(code(json!({ "data": data })), None, "{data}");
        }
        for data in ["SGVsbG8gV29ybGQ", "SGVs_G8=", "SGVsbG8=SGVs", "é"] {
            assert_eq!(
                code(json!({ "data": data })),
                Some(Code::FhirMalformed),
                "{data}"
            );
        }
        assert_eq!(code(json!({"data": 7})), Some(Code::FhirMalformed));
    }

    #[test]
    fn data_beyond_the_limit_is_refused_before_it_is_decoded() {
        let chars = RESOURCE_MAX_BYTES / 3 * 4;

        assert_eq!(check_len(chars, At::default()), Ok(()));
        let error = check_len(chars + 12, At::default()).err();
        assert_eq!(error.map(|error| error.code()), Some(Code::TooLarge));
    }

    #[test]
    fn what_is_elsewhere_or_empty_is_told_and_not_fetched() {
        let report = json!({"resourceType": "DiagnosticReport", "presentedForm": [
            {"url": "https://elsewhere.example.org/1"}, {"title": "nothing"}, {"url": "Binary/1"},
        ]});

        let (found, issues) = read(&report).expect("a report");

        assert_eq!((found.len(), issues), (1, 2));
        assert_eq!(found[0].content_type, "image/png");
    }

    #[test]
    fn a_report_describes_its_form() {
        let report = json!({"resourceType": "DiagnosticReport", "status": "cancelled",
            "code": {"coding": [{"system": "urn:x", "code": "1"}], "text": "Blood count"},
            "effectiveDateTime": "2026-10", "performer": [{}, {"display": "Elm Lab"}],
            "presentedForm": [{"data": "AAAA"}]});

        let (found, _) = read(&report).expect("a report");

        let form = &found[0];
        assert_eq!(
            (&*form.title, &*form.author, &*form.status),
            ("Blood count", "Elm Lab", "entered-in-error")
        );
        assert_eq!((&*form.coding.system, &*form.coding.code), ("urn:x", "1"));
        assert_eq!(form.date, Timestamp::parse("2026-10-01"));
        assert_eq!(form.content_type, "application/octet-stream");
    }

    #[test]
    fn a_file_of_unknown_type_is_a_note() {
        let media =
            json!({"resourceType": "Media", "status": "completed", "content": {"data": "AAAA"}});

        let (found, _) = read(&media).expect("a Media");

        assert_eq!(found[0].coding.code, "34109-9");
        assert_eq!(found[0].status, "current");
    }
}
