//! Patients, imports and local documents.

use bytes::Bytes;
use chartmesh_core::{
    flows::{Description, FlowError, Patient},
    records::Coding,
    types::{Code, PatientId},
};
use chartmesh_proto::admin::{
    DocumentAddReply, DocumentPart, IdentifierView, LocalDocument, PatientDetail, PatientListReply,
    PatientSummary, document_part,
};
use futures::{StreamExt, stream};
use tonic::{Status, Streaming};

use super::{
    Admin,
    error::{flow, usage},
    text,
};
use crate::daemon::Daemon;

impl Admin {
    pub(super) fn patients(&self, words: &str) -> Result<PatientListReply, Status> {
        let daemon = self.daemon()?;
        let patients = daemon
            .node
            .patients(words)
            .into_iter()
            .map(|patient| summary(&daemon, &patient))
            .collect();
        Ok(PatientListReply { patients })
    }

    pub(super) async fn patient(&self, id: &str) -> Result<PatientDetail, Status> {
        let daemon = self.daemon()?;
        let id: PatientId = text::id(id)?;
        let patient = daemon.node.patient(id).map_err(flow)?;
        let resource_types = daemon.node.resource_types(id).await.map_err(flow)?;
        let documents = daemon
            .node
            .documents(id)
            .into_iter()
            .map(|(document, manifest)| LocalDocument {
                id: document.id.to_string(),
                r#type: Some(text::coding(manifest.coding)),
                title: document.title,
                content_type: manifest.content_type,
                size_bytes: manifest.size,
                sha256: data_encoding::HEXLOWER.encode(&manifest.plain_sha256),
                date: document.date.to_string(),
            })
            .collect();
        let identifiers = patient
            .demographics
            .identifiers
            .iter()
            .map(|identifier| IdentifierView {
                system: identifier.system.clone(),
                value: identifier.value.clone(),
            })
            .collect();
        let summary = summary(&daemon, &patient);
        Ok(PatientDetail {
            id: summary.id,
            name: summary.name,
            birth_date: summary.birth_date,
            sex: summary.sex,
            resources: summary.resources,
            discoverability: summary.discoverability,
            resource_types,
            documents,
            identifiers,
            source: patient.source,
        })
    }

    pub(super) async fn add_patient(&self, resource: Vec<u8>) -> Result<PatientSummary, Status> {
        let (daemon, actor) = self.acting()?;
        let node = daemon.node.clone();
        let id = self
            .spawned(async move { node.add_patient(&actor, resource.into()).await })
            .await?;
        let patient = daemon.node.patient(id).map_err(flow)?;
        Ok(summary(&daemon, &patient))
    }

    pub(super) async fn add_document(
        &self,
        mut parts: Streaming<DocumentPart>,
    ) -> Result<DocumentAddReply, Status> {
        let (daemon, actor) = self.acting()?;
        let out_of_order = || usage(Code::Usage, "the parts of the document are out of order");
        let start = match parts.next().await.transpose()?.and_then(|part| part.part) {
            Some(document_part::Part::Start(start)) => start,
            Some(document_part::Part::Data(_)) => return Err(out_of_order()),
            None => return Err(usage(Code::Usage, "no document was named")),
        };
        let patient: PatientId = text::id(&start.patient)?;
        if !is_loinc(&start.r#type) {
            return Err(usage(
                Code::Usage,
                "the type is no LOINC code such as 18842-5",
            ));
        }
        let first = match parts.next().await.transpose()?.map(|part| part.part) {
            Some(Some(document_part::Part::Data(data))) => Bytes::from(data),
            Some(_) => return Err(out_of_order()),
            None => Bytes::new(),
        };
        let content_type = if start.content_type.is_empty() {
            content_type(&first).to_owned()
        } else {
            start.content_type
        };
        let description = Description {
            coding: Coding {
                system: Coding::LOINC.to_owned(),
                code: start.r#type,
                display: String::new(),
            },
            title: if start.title.is_empty() {
                "Document".to_owned()
            } else {
                start.title
            },
            content_type,
            author: start.author,
            ..Description::default()
        };
        let rest = parts.map(|part| match part.map(|part| part.part) {
            Ok(Some(document_part::Part::Data(data))) => Ok(Bytes::from(data)),
            // Cut, or out of order: what came of it is no document.
            Ok(_) | Err(_) => Err(FlowError::Usage { code: Code::Usage }),
        });
        let content = stream::iter([Ok(first)]).chain(rest);
        let node = daemon.node.clone();
        let added = self
            .spawned(async move {
                node.add_document(&actor, patient, content, description)
                    .await
            })
            .await?;
        Ok(DocumentAddReply {
            document: added.document.to_string(),
            bytes: added.size,
            sha256: data_encoding::HEXLOWER.encode(&added.sha256),
        })
    }
}

/// A patient as lists show it.
pub(super) fn summary(daemon: &Daemon, patient: &Patient) -> PatientSummary {
    let demographics = &patient.demographics;
    PatientSummary {
        id: patient.id.to_string(),
        name: demographics.display_name(),
        birth_date: demographics.birth_date.clone(),
        sex: demographics
            .sex
            .map_or_else(|| "unknown".to_owned(), |sex| sex.to_string()),
        resources: patient.resources + 1,
        discoverability: daemon.node.discoverability_of(patient.id).text().to_owned(),
    }
}

/// LOINC codes are digits, a hyphen and a check digit (LOINC Users' Guide, "LOINC codes").
fn is_loinc(code: &str) -> bool {
    let Some((number, check)) = code.split_once('-') else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(number) && number.len() <= 7 && digits(check) && check.len() == 1
}

/// What a document is, by its first bytes; its name says nothing that can be relied on.
fn content_type(bytes: &[u8]) -> &'static str {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"%PDF-") {
        "application/pdf"
    } else if starts(b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if starts(b"\xff\xd8\xff") {
        "image/jpeg"
    } else if starts(b"II*\0") || starts(b"MM\0*") {
        "image/tiff"
    } else if starts(b"<?xml") || starts(b"<ClinicalDocument") {
        "application/xml"
    } else if is_text(bytes) {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

/// Whether the beginning of a document is text; its last character may be cut.
fn is_text(bytes: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_known_by_its_bytes_and_its_type_is_a_loinc_code() {
        assert_eq!(content_type(b"%PDF-1.7 ..."), "application/pdf");
        assert_eq!(content_type(b"a note"), "text/plain; charset=utf-8");
        assert_eq!(content_type(b"\xff\xfe\0"), "application/octet-stream");
        assert!(is_loinc("18842-5"));
        for wrong in ["", "18842", "18842-55", "note", "18842-x", "12345678-9"] {
            assert!(!is_loinc(wrong), "{wrong}");
        }
    }
}
