//! What each command and each answer leaves in the audit logs, of either end.

use chartmesh_core::{
    audit::{Entry, Kind as Audited},
    flows::{Mode, Wanted},
    membership::{Rules, Template},
    types::{Code, Kind, PatientId, Purpose, Timestamp},
};
use chartmesh_tests::SimNode;

use crate::scenario::*;

/// Reads what was logged since it last read.
struct Trail<'a> {
    node: &'a SimNode,
    seen: u64,
}

impl<'a> Trail<'a> {
    fn new(node: &'a SimNode) -> Self {
        Self { node, seen: 0 }
    }

    /// From here on.
    async fn of(node: &'a SimNode) -> Self {
        let mut trail = Self::new(node);
        trail.entries().await;
        trail
    }

    async fn entries(&mut self) -> Vec<Entry> {
        let shown = self.node.audit_entries(self.seen, usize::MAX).await;
        let shown = shown.unwrap();
        self.seen += shown.len() as u64;
        shown.into_iter().map(|shown| shown.logged.entry).collect()
    }

    async fn kinds(&mut self) -> Vec<Audited> {
        let entries = self.entries().await;
        entries.iter().map(|entry| entry.kind).collect()
    }

    /// Holds what was logged since against kind, own user and own patient.
    #[track_caller]
    fn left(
        &mut self,
        expected: &[(Audited, &str, Option<PatientId>)],
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let entries = self.entries().await;
            let logged: Vec<_> = entries
                .iter()
                .map(|entry| (entry.kind, entry.actor.as_str(), entry.patient))
                .collect();
            assert_eq!(logged, expected, "{caller}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn founding_inviting_joining_and_admitting_are_logged_where_they_happen() {
    use Audited::{
        JoinAsked, Joined, MemberAdmitted, NetworkFounded, ProposalSigned, TicketIssued,
    };
    let world = network(Kind::Clinic, Rules::of(Template::OptIn)).await;

    let founder = Trail::new(&world.clinic).kinds().await;
    let member = Trail::new(&world.urgent).kinds().await;

    let admitted = [TicketIssued, ProposalSigned, MemberAdmitted];
    assert_eq!(
        founder,
        [&[NetworkFounded][..], &admitted, &admitted].concat()
    );
    assert_eq!(member, [JoinAsked, Joined]);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_done_with_records_is_logged_by_whom_and_about_whom() {
    let Scene { world, rosa, .. } = three().await;
    let clinic = &world.clinic;
    let mut trail = Trail::of(clinic).await;

    let bundle = sam_bundle();
    let imported = clinic.import(&admin(), bundle.into(), Mode::Store).await;
    assert!(imported.is_ok());
    trail.left(&[(Audited::Imported, "root", None)]).await;

    let maria = person("Maria", "Lund", "1999-01-01", "M-9");
    let added = clinic.add_patient(&clinician(), maria.into()).await;
    let about = Some(added.unwrap());
    trail.left(&[(Audited::PatientAdded, "amy", about)]).await;

    attach(clinic, rosa, b"more").await;
    let about = Some(rosa);
    trail.left(&[(Audited::DocumentAdded, "amy", about)]).await;

    let consent = grant(clinic, rosa, &world.urgent).await;
    trail
        .left(&[(Audited::ConsentRecorded, "amy", about)])
        .await;

    clinic.revoke(&clinician(), consent).await.unwrap();
    trail.left(&[(Audited::ConsentRevoked, "amy", about)]).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_is_asked_for_and_given_is_logged_at_both_ends() {
    let Scene {
        world,
        rosa,
        document,
    } = three().await;
    let (clinic, urgent) = (&world.clinic, &world.urgent);
    let (mut asker, mut holder) = (Trail::of(urgent).await, Trail::of(clinic).await);
    let about = Some(rosa);

    let handle = located(urgent, clinic).await;
    asker.left(&[(Audited::LocateAsked, "amy", None)]).await;
    holder.left(&[(Audited::Located, "", about)]).await;

    let denied = fetch(urgent, handle, document).await;
    assert_eq!(code(denied), Some(Code::Denied));
    asker.left(&[(Audited::Received, "amy", None)]).await;
    holder.left(&[(Audited::Denied, "", about)]).await;

    grant(clinic, rosa, urgent).await;
    holder
        .left(&[(Audited::ConsentRecorded, "amy", about)])
        .await;

    let (wanted, until) = (Wanted::default(), Timestamp(u64::MAX));
    let listed = urgent
        .list(&clinician(), handle, Purpose::Treat, &wanted, until)
        .await;
    assert!(listed.is_ok());
    asker.left(&[(Audited::ListAsked, "amy", None)]).await;
    holder.left(&[(Audited::Listed, "", about)]).await;

    assert_eq!(fetch(urgent, handle, document).await.unwrap(), TEXT);
    asker.left(&[(Audited::Received, "amy", None)]).await;
    let given = [Audited::Fetched, Audited::Disclosed];
    holder.left(&given.map(|kind| (kind, "", about))).await;
}
