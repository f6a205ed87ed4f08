//! Documents: lists, fetches, manifests and releases.

use chartmesh_proto::body as proto;
use zeroize::Zeroize as _;

use super::{
    DocumentEntry, FetchHead, FetchRequest, ListAnswer, ListRequest, ReleaseAnswer, ReleaseRequest,
    field::{
        Term, Wire, WireError, array, body, bounded_list, code, codes, list, message,
        optional_array, optional_bytes, optional_date, required, text,
    },
};
use crate::{
    crypto::{Body, MalformedBody, SecretKey},
    records::{Coding, Disclosure, Manifest},
    types::{
        ConsentId, DisclosureId, DocumentId, FileId, Handle, MemberId, Purpose, Role, Timestamp,
        UserId, limits,
    },
};

impl Wire for Coding {
    type Proto = proto::Coding;

    fn to_proto(&self) -> proto::Coding {
        proto::Coding {
            system: self.system.clone(),
            code: self.code.clone(),
            display: self.display.clone(),
        }
    }

    fn from_proto(proto: proto::Coding) -> Result<Self, WireError> {
        Ok(Self {
            system: code(proto.system)?,
            code: code(proto.code)?,
            display: text(proto.display)?,
        })
    }
}

message!(ListRequest, "list");

impl Wire for ListRequest {
    type Proto = proto::ListRequest;

    fn to_proto(&self) -> proto::ListRequest {
        proto::ListRequest {
            head: Some(self.head.to_proto()),
            handle: self.handle.0.to_vec(),
            purpose: self.purpose.number(),
            user: self.user.0.to_vec(),
            role: self.role.number(),
            r#type: self.types.clone(),
            since: self.since.clone().unwrap_or_default(),
            until: self.until.clone().unwrap_or_default(),
            limit: self.limit,
        }
    }

    fn from_proto(proto: proto::ListRequest) -> Result<Self, WireError> {
        if proto.limit > limits::LIST_MAX {
            return Err(WireError::Limit);
        }
        Ok(Self {
            head: required(proto.head)?,
            handle: Handle(array(&proto.handle)?),
            purpose: Purpose::term(proto.purpose)?,
            user: UserId(array(&proto.user)?),
            role: Role::term(proto.role)?,
            types: codes(proto.r#type)?,
            since: optional_date(proto.since)?,
            until: optional_date(proto.until)?,
            limit: proto.limit,
        })
    }
}

message!(ListAnswer, "list-answer");

impl Wire for ListAnswer {
    type Proto = proto::ListAnswer;

    fn to_proto(&self) -> proto::ListAnswer {
        proto::ListAnswer {
            head: Some(self.head.to_proto()),
            entry: self.entries.iter().map(Wire::to_proto).collect(),
            complete: self.complete,
            leaf: self.leaf.to_vec(),
        }
    }

    fn from_proto(proto: proto::ListAnswer) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            entries: list(proto.entry, limits::LIST_MAX as usize)?,
            complete: proto.complete,
            leaf: array(&proto.leaf)?,
        })
    }
}

impl Wire for DocumentEntry {
    type Proto = proto::DocumentEntry;

    fn to_proto(&self) -> proto::DocumentEntry {
        proto::DocumentEntry {
            id: self.id.0.to_vec(),
            r#type: Some(self.coding.to_proto()),
            title: self.title.clone(),
            status: self.status.clone(),
            date_ms: self.date.0,
            author: self.author.clone(),
            author_organization: self.author_organization.clone(),
            content_type: self.content_type.clone(),
            format: self.format.clone(),
            on_demand: self.on_demand,
            size_bytes: self.size,
            sha256: optional_bytes(self.sha256),
            label: self.labels.clone(),
        }
    }

    fn from_proto(proto: proto::DocumentEntry) -> Result<Self, WireError> {
        let sha256 = optional_array(&proto.sha256)?;
        let stored = !proto.on_demand;
        if sha256.is_some() != stored || proto.size_bytes.is_some() != stored {
            return Err(WireError::Contradiction);
        }
        Ok(Self {
            id: DocumentId(array(&proto.id)?),
            coding: required(proto.r#type)?,
            title: text(proto.title)?,
            status: code(proto.status)?,
            date: Timestamp(proto.date_ms),
            author: text(proto.author)?,
            author_organization: text(proto.author_organization)?,
            content_type: code(proto.content_type)?,
            format: code(proto.format)?,
            on_demand: proto.on_demand,
            size: proto.size_bytes,
            sha256,
            labels: codes(proto.label)?,
        })
    }
}

impl DocumentEntry {
    /// Its bytes in a list, where every reader would take it.
    ///
    /// # Errors
    /// [`WireError`] where a text or a code is out of form or too long.
    pub fn checked_len(&self) -> Result<usize, WireError> {
        let proto = self.to_proto();
        let len_bytes = prost::Message::encoded_len(&proto);
        Self::from_proto(proto)?;
        Ok(len_bytes)
    }
}

message!(FetchRequest, "fetch");

impl Wire for FetchRequest {
    type Proto = proto::FetchRequest;

    fn to_proto(&self) -> proto::FetchRequest {
        proto::FetchRequest {
            head: Some(self.head.to_proto()),
            handle: self.handle.0.to_vec(),
            document: self.document.0.to_vec(),
            purpose: self.purpose.number(),
            user: self.user.0.to_vec(),
            role: self.role.number(),
            resume_root: optional_bytes(self.resume.map(|(root, _)| root)),
            resume_chunk: self.resume.map(|(_, chunk)| chunk).unwrap_or_default(),
        }
    }

    fn from_proto(proto: proto::FetchRequest) -> Result<Self, WireError> {
        let root = optional_array(&proto.resume_root)?;
        if root.is_none() && proto.resume_chunk != 0 {
            return Err(WireError::Contradiction);
        }
        Ok(Self {
            head: required(proto.head)?,
            handle: Handle(array(&proto.handle)?),
            document: DocumentId(array(&proto.document)?),
            purpose: Purpose::term(proto.purpose)?,
            user: UserId(array(&proto.user)?),
            role: Role::term(proto.role)?,
            resume: root.map(|root| (root, proto.resume_chunk)),
        })
    }
}

message!(FetchHead, "fetch-head");

impl Wire for FetchHead {
    type Proto = proto::FetchHead;

    fn to_proto(&self) -> proto::FetchHead {
        proto::FetchHead {
            head: Some(self.head.to_proto()),
            manifest: Some(self.manifest.to_proto()),
            disclosure: self.disclosure.0.to_vec(),
            chunks: self.chunks,
            from_chunk: self.from_chunk,
            subject: self.subject.to_vec(),
        }
    }

    fn from_proto(proto: proto::FetchHead) -> Result<Self, WireError> {
        if proto.from_chunk > proto.chunks {
            return Err(WireError::Contradiction);
        }
        Ok(Self {
            head: required(proto.head)?,
            manifest: required(proto.manifest)?,
            disclosure: DisclosureId(array(&proto.disclosure)?),
            chunks: proto.chunks,
            from_chunk: proto.from_chunk,
            subject: array(&proto.subject)?,
        })
    }
}

body!(Manifest, "manifest");

impl Wire for Manifest {
    type Proto = proto::Manifest;

    fn to_proto(&self) -> proto::Manifest {
        proto::Manifest {
            member: self.member.0.to_vec(),
            file: self.file.0.to_vec(),
            root: self.root.to_vec(),
            sealed_size: self.sealed_size,
            size: self.size,
            commitment: self.commitment.to_vec(),
            plain_sha256: self.plain_sha256.to_vec(),
            r#type: Some(self.coding.to_proto()),
            format: self.format.clone(),
            content_type: self.content_type.clone(),
            author: self.author.clone(),
            from_ms: self.from.0,
            until_ms: self.until.0,
            label: self.labels.clone(),
            sequence: self.sequence,
            issued_at_ms: self.issued_at.0,
        }
    }

    fn from_proto(proto: proto::Manifest) -> Result<Self, WireError> {
        if proto.size > limits::DOCUMENT_MAX_BYTES || proto.size > proto.sealed_size {
            return Err(WireError::Limit);
        }
        Ok(Self {
            member: MemberId(array(&proto.member)?),
            file: FileId(array(&proto.file)?),
            root: array(&proto.root)?,
            sealed_size: proto.sealed_size,
            size: proto.size,
            commitment: array(&proto.commitment)?,
            plain_sha256: array(&proto.plain_sha256)?,
            coding: required(proto.r#type)?,
            format: code(proto.format)?,
            content_type: code(proto.content_type)?,
            author: text(proto.author)?,
            from: Timestamp(proto.from_ms),
            until: Timestamp(proto.until_ms),
            labels: codes(proto.label)?,
            sequence: proto.sequence,
            issued_at: Timestamp(proto.issued_at_ms),
        })
    }
}

message!(ReleaseRequest, "release-request");

impl Wire for ReleaseRequest {
    type Proto = proto::ReleaseRequest;

    fn to_proto(&self) -> proto::ReleaseRequest {
        proto::ReleaseRequest {
            head: Some(self.head.to_proto()),
            handle: self.handle.0.to_vec(),
            document: self.document.0.to_vec(),
            disclosure: self.disclosure.0.to_vec(),
            manifest_hash: self.manifest_hash.to_vec(),
            root: self.root.to_vec(),
            purpose: self.purpose.number(),
            user: self.user.0.to_vec(),
            role: self.role.number(),
        }
    }

    fn from_proto(proto: proto::ReleaseRequest) -> Result<Self, WireError> {
        Ok(Self {
            head: required(proto.head)?,
            handle: Handle(array(&proto.handle)?),
            document: DocumentId(array(&proto.document)?),
            disclosure: DisclosureId(array(&proto.disclosure)?),
            manifest_hash: array(&proto.manifest_hash)?,
            root: array(&proto.root)?,
            purpose: Purpose::term(proto.purpose)?,
            user: UserId(array(&proto.user)?),
            role: Role::term(proto.role)?,
        })
    }
}

impl Body for ReleaseAnswer {
    const DOMAIN: &'static str = "chartmesh/1/release-answer";

    fn encode(&self) -> Vec<u8> {
        let mut proto = self.to_proto();
        let bytes = prost::Message::encode_to_vec(&proto);
        proto.content_key.zeroize();
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, MalformedBody> {
        super::field::decode(bytes).map_err(|_| MalformedBody {
            domain: Self::DOMAIN,
        })
    }
}

impl super::Message for ReleaseAnswer {
    fn head(&self) -> &super::Head {
        &self.head
    }
}

impl Wire for ReleaseAnswer {
    type Proto = proto::ReleaseAnswer;

    fn to_proto(&self) -> proto::ReleaseAnswer {
        proto::ReleaseAnswer {
            head: Some(self.head.to_proto()),
            content_key: self.content_key.to_vec(),
            release: Some(self.release.to_proto()),
            promise: self.promise.clone(),
        }
    }

    fn from_proto(mut proto: proto::ReleaseAnswer) -> Result<Self, WireError> {
        let content_key = array(&proto.content_key).map(SecretKey::new);
        proto.content_key.zeroize();
        Ok(Self {
            head: required(proto.head)?,
            content_key: content_key?,
            release: required(proto.release)?,
            promise: text(proto.promise)?,
        })
    }
}

body!(Disclosure, "release");

impl Wire for Disclosure {
    type Proto = proto::Release;

    fn to_proto(&self) -> proto::Release {
        proto::Release {
            holder: self.holder.0.to_vec(),
            asker: self.asker.0.to_vec(),
            disclosure: self.disclosure.0.to_vec(),
            receipt: self.receipt.to_vec(),
            salt: self.salt.to_vec(),
            consent: optional_bytes(self.consent.map(|consent| consent.0)),
            rule: self.rule,
            obligation: self.obligations.clone(),
            query_hash: self.query_hash.to_vec(),
            audit_leaf: self.audit_leaf.to_vec(),
            audit_index: self.audit_index,
            issued_at_ms: self.issued_at.0,
        }
    }

    fn from_proto(proto: proto::Release) -> Result<Self, WireError> {
        bounded_list(&proto.obligation, limits::CODES_MAX)?;
        Ok(Self {
            holder: MemberId(array(&proto.holder)?),
            asker: MemberId(array(&proto.asker)?),
            disclosure: DisclosureId(array(&proto.disclosure)?),
            receipt: array(&proto.receipt)?,
            salt: array(&proto.salt)?,
            consent: optional_array(&proto.consent)?.map(ConsentId),
            rule: proto.rule,
            obligations: proto.obligation,
            query_hash: array(&proto.query_hash)?,
            audit_leaf: array(&proto.audit_leaf)?,
            audit_index: proto.audit_index,
            issued_at: Timestamp(proto.issued_at_ms),
        })
    }
}
