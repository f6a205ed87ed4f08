//! A patient's record as one FHIR Bundle: every resource verbatim.

use sha2::{Digest, Sha256};

use super::{
    fhir_reference::Head,
    json::{canonical, write_text},
    report::{At, FormatError},
};
use crate::types::Timestamp;

/// Base of the addresses of resources that refer to each other as `Type/id`; it resolves nowhere
/// (RFC 2606, section 2).
const BASE: &str = "http://chartmesh.invalid/fhir";

/// The record as a FHIR R4 Bundle of type `collection`: the patient, then the resources in the order
/// given, each byte for byte. The same input gives the same bytes.
///
/// A resource with an id is found by the references that name it: as `urn:uuid:` where the record refers
/// that way, else by type and id under a base that resolves nowhere.
///
/// # Errors
/// [`FormatError`] where a resource is not what import would have let in.
pub fn record_bundle<'a>(
    patient: &'a [u8],
    resources: impl IntoIterator<Item = &'a [u8]>,
    at: Timestamp,
) -> Result<Vec<u8>, FormatError> {
    let entries: Vec<&[u8]> = std::iter::once(patient).chain(resources).collect();
    let mut heads = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        heads.push(Head::read(entry, At::entry(index))?);
    }
    let by_urn = heads.iter().any(|head| {
        let mut references = head.references.iter();
        references.any(|(_, text)| text.starts_with("urn:uuid:"))
    });

    let size: usize = entries.iter().map(|entry| entry.len() + 128).sum();
    let mut out = Vec::with_capacity(size + 128);
    out.extend_from_slice(br#"{"resourceType":"Bundle","type":"collection","timestamp":"#);
    write_text(&mut out, &at.to_string());
    out.extend_from_slice(br#","entry":["#);
    for (index, (entry, head)) in entries.iter().zip(&heads).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"fullUrl":"#);
        write_text(&mut out, &full_url(entry, head, by_urn)?);
        out.extend_from_slice(br#","resource":"#);
        out.extend_from_slice(entry.strip_prefix("\u{feff}".as_bytes()).unwrap_or(entry));
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn full_url(entry: &[u8], head: &Head, by_urn: bool) -> Result<String, FormatError> {
    match &head.id {
        Some(id) if by_urn && is_uuid(id) => Ok(format!("urn:uuid:{id}")),
        Some(id) => Ok(format!("{BASE}/{}/{id}", head.resource_type)),
        None => Ok(format!("urn:uuid:{}", content_uuid(&canonical(entry)?))),
    }
}

pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A UUID made of the content: version 8 (RFC 9562, section 5.8).
fn content_uuid(canonical: &[u8]) -> String {
    let digest = Sha256::digest(canonical);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
