//! The audit log for other systems: FHIR R4 `AuditEvent`.

use super::super::{error::FlowError, node::Node, state::State};
use crate::{
    audit::{Party, Surroundings, audit_event},
    ports::World,
    types::MemberId,
};

/// Some events, and where to go on.
pub struct Exported {
    /// As JSON, one a line.
    pub events: Vec<String>,
    /// First entry that was not looked at; none behind the last.
    pub next: Option<u64>,
}

impl<W: World> Node<W> {
    /// At most `limit` entries from an index on, as events of IHE BALP; entries that say nothing are left
    /// out.
    ///
    /// # Errors
    /// [`FlowError::Store`].
    pub async fn audit_events(&self, from: u64, limit: usize) -> Result<Exported, FlowError> {
        let shown = self.audit_entries(from, limit).await?;
        let next = shown.last().map(|last| last.logged.index + 1);
        let next = next.filter(|_| shown.len() == limit);
        let own = self.member();
        let state = self.state();
        let events = shown.iter().filter_map(|shown| {
            let entry = &shown.logged.entry;
            let by = entry.consent.and_then(|consent| {
                let patient = state.consent_of.get(&consent)?;
                let mut of_patient = state.consents_of(*patient).iter();
                of_patient.find(|known| known.id == consent)
            });
            let around = Surroundings {
                own: party(&state, own),
                other: entry.member.map(|member| party(&state, member)),
                consented_by: by.map(|consent| consent.by.as_str()),
            };
            audit_event(&shown.logged, &shown.leaf, &around)
        });
        let events = events.map(|event| event.to_string()).collect();
        Ok(Exported { events, next })
    }
}

fn party(state: &State, member: MemberId) -> Party<'_> {
    let known = state.members.get(&member);
    Party {
        member,
        known: known.map(|known| (known.node_key(), known.organization())),
    }
}
