//! Promises of the log: given with each release, verified and kept by whoever asked.

use super::super::{error::FlowError, node::Node};
use crate::{
    audit::{Entry, Kind, Promise},
    ports::World,
    records::Disclosure,
    types::{Code, MemberId, NetworkId, NodeKey, Timestamp},
    wire,
};

impl<W: World> Node<W> {
    /// Promises that an entry stands in the log, before a checkpoint covers it.
    pub(in crate::flows) fn promise(
        &self,
        network: NetworkId,
        (index, leaf): (u64, [u8; 32]),
        at: Timestamp,
    ) -> String {
        let promise = Promise {
            network,
            member: self.member(),
            index,
            leaf,
            at,
        };
        promise.sign(&self.identity().audit)
    }

    /// Whether what a holder promised is what it signed of the disclosure. A holder that promises nothing
    /// is one of an older version.
    ///
    /// # Errors
    /// [`FlowError::Forged`] with [`Code::Signature`].
    pub(in crate::flows) fn check_promise(
        &self,
        note: &str,
        node: NodeKey,
        (network, of): (NetworkId, &Disclosure),
    ) -> Result<(), FlowError> {
        if note.is_empty() {
            return Ok(());
        }
        let promise = Promise {
            network,
            member: of.holder,
            index: of.audit_index,
            leaf: of.audit_leaf,
            at: of.issued_at,
        };
        let key = self.audit_key_of(of.holder);
        let held = key.map(|key| promise.verify(note, &key));
        if held != Some(Ok(())) {
            return Err(FlowError::Forged {
                node,
                code: Code::Signature,
            });
        }
        Ok(())
    }

    /// What the other end promised of its own entry when it gave what an entry here received, and whose
    /// log that is.
    ///
    /// # Errors
    /// [`Code::EntryUnknown`] where the entry received nothing or nothing was promised,
    /// [`FlowError::Store`].
    pub async fn promised(&self, index: u64) -> Result<(MemberId, String), FlowError> {
        let unknown = || FlowError::NotFound {
            code: Code::EntryUnknown,
        };
        let at = usize::try_from(index).ok();
        let place = at.and_then(|at| self.state().audit.get(at).copied());
        let place = place.ok_or_else(unknown)?.place;
        let record = self.world.records(vec![place]).await?.pop();
        let body = record.and_then(|record| record.body).ok_or_else(unknown)?;
        let entry = wire::decode_audit(&body).ok().and_then(Entry::from_fields);
        let entry = entry.filter(|entry| entry.kind == Kind::Received);
        let entry = entry.filter(|entry| !entry.promise.is_empty());
        let entry = entry.ok_or_else(unknown)?;
        Ok((entry.member.ok_or_else(unknown)?, entry.promise))
    }
}
