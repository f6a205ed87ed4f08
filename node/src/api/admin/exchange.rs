//! Locating, listing and fetching at other nodes.

use bytes::Bytes;
use chartmesh_core::{
    flows::{Fetch, Fetched, Recipient, Search, Wanted},
    locator::{Answer, Ledger},
    matching::{Agreement, Attribute},
    records::{Address, Demographics, Identifier, Name},
    types::{
        Code, MemberId, NodeKey, PatientId, Span, is_date,
        limits::{ADMIN_PART_MAX_BYTES, CHUNK_BYTES, FETCH_STEP_CHUNKS, LOCATE_DEADLINE},
    },
    wire::{DocumentEntry, Match, bounded_demographics},
};
use chartmesh_proto::admin::{
    Contact, DocumentView, DocumentsReply, DocumentsRequest, FetchEvent, FetchReply, FetchRequest,
    LedgerLine, LocateReply, LocateRequest, MatchView, Progress, fetch_event,
};
use data_encoding::HEXLOWER;
use futures::{StreamExt, stream::BoxStream};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    Admin,
    error::{flow, status, usage},
    records::summary,
    text,
};
use crate::daemon::Daemon;

/// How long a list may take.
const LIST_DEADLINE: Span = Span::seconds(10);
const EVENTS_WAITING: usize = 16;

impl Admin {
    pub(super) async fn locate(&self, request: LocateRequest) -> Result<LocateReply, Status> {
        let (daemon, actor) = self.acting()?;
        no_session(&request.break_glass)?;
        let purpose = text::purpose(&request.purpose)?;
        let patient = text::non_empty(request.patient.clone())
            .map(|id| text::id::<PatientId>(&id))
            .transpose()?;
        let demographics = sought(&daemon, patient, &request)?;
        let only = members(&daemon, &request.only)?;
        let search = Search {
            demographics,
            patient,
            purpose,
            deadline: if request.deadline_ms == 0 {
                LOCATE_DEADLINE
            } else {
                Span(request.deadline_ms)
            },
            only,
        };
        let node = daemon.node.clone();
        let (ledger, local) = self
            .spawned(async move {
                let ledger = node.locate(&actor, &search).await?;
                Ok((ledger, node.local_matches(&search.demographics)))
            })
            .await?;
        let local = local
            .into_iter()
            .filter_map(|id| daemon.node.patient(id).ok())
            .map(|patient| summary(&daemon, &patient))
            .collect();
        Ok(reply(&daemon, &ledger, local))
    }

    pub(super) async fn documents(
        &self,
        request: DocumentsRequest,
    ) -> Result<DocumentsReply, Status> {
        let (daemon, actor) = self.acting()?;
        no_session(&request.break_glass)?;
        let handle = text::handle(&request.handle)?;
        let purpose = text::purpose(&request.purpose)?;
        text::time(&request.since)?;
        text::time(&request.until)?;
        let wanted = Wanted {
            types: request.r#type,
            since: text::non_empty(request.since),
            until: text::non_empty(request.until),
            limit: request.limit,
        };
        let node = daemon.node.clone();
        let until = daemon.now().plus(LIST_DEADLINE);
        let (entries, complete) = self
            .spawned(async move { node.list(&actor, handle, purpose, &wanted, until).await })
            .await?;
        Ok(DocumentsReply {
            documents: entries.into_iter().map(document).collect(),
            complete,
        })
    }

    pub(super) fn fetch(
        &self,
        request: FetchRequest,
    ) -> Result<BoxStream<'static, Result<FetchEvent, Status>>, Status> {
        let (daemon, actor) = self.acting()?;
        no_session(&request.break_glass)?;
        let fetch = Fetch {
            handle: text::handle(&request.handle)?,
            document: text::id(&request.document)?,
            purpose: text::purpose(&request.purpose)?,
        };
        let (events, waiting) = mpsc::channel(EVENTS_WAITING);
        self.tasks.spawn(async move {
            let told = events.clone();
            let progress = move |done: u64, total: u64| {
                // Each event wakes the user's program: a document that comes at once needs none.
                if !done.is_multiple_of(FETCH_STEP_CHUNKS) {
                    return;
                }
                let event = fetch_event::Event::Progress(Progress {
                    done,
                    total,
                    unit: "chunks".to_owned(),
                });
                // A user that reads slowly misses some of the progress and none of the document.
                let _full = told.try_send(Ok(FetchEvent { event: Some(event) }));
            };
            // Nobody waits for it any more: the user went away, or the daemon is to stop.
            let reader = events.clone();
            let stop = daemon.shutdown().clone();
            let wanted = move || !reader.is_closed() && !stop.is_cancelled();
            let told = (&progress as _, &wanted as _);
            let mut recipient = Reader {
                events: events.clone(),
                waiting: Vec::new(),
            };
            let fetched = daemon.node.fetch(&actor, fetch, told, &mut recipient).await;
            let event = match fetched {
                Ok(fetched) if recipient.flush().await => Ok(result(fetched)),
                Ok(_user_gone) => return,
                Err(error) => Err(flow(error)),
            };
            let _user_gone = events.send(event).await;
        });
        Ok(ReceiverStream::new(waiting).boxed())
    }
}

/// Gathers a verified document into parts of the size the socket takes best.
struct Reader {
    events: mpsc::Sender<Result<FetchEvent, Status>>,
    waiting: Vec<u8>,
}

impl Reader {
    async fn flush(&mut self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        let event = fetch_event::Event::Data(std::mem::take(&mut self.waiting));
        let sent = self.events.send(Ok(FetchEvent { event: Some(event) }));
        sent.await.is_ok()
    }
}

impl Recipient for Reader {
    async fn take(&mut self, bytes: Bytes) -> bool {
        if self.waiting.capacity() == 0 && bytes.len() == CHUNK_BYTES {
            // One of many: room for all of a part at once.
            self.waiting
                .reserve_exact(ADMIN_PART_MAX_BYTES / 2 + CHUNK_BYTES);
        }
        self.waiting.extend_from_slice(&bytes);
        self.waiting.len() < ADMIN_PART_MAX_BYTES / 2 || self.flush().await
    }
}

fn result(fetched: Fetched) -> FetchEvent {
    let received = fetched.received;
    let result = fetch_event::Event::Result(FetchReply {
        bytes: received.manifest.size,
        sha256: HEXLOWER.encode(&received.manifest.plain_sha256),
        verified: true,
        source: fetched.node.to_string(),
        disclosure: received.disclosure.to_string(),
        content_type: received.manifest.content_type,
    });
    FetchEvent {
        event: Some(result),
    }
}

fn no_session(break_glass: &str) -> Result<(), Status> {
    if break_glass.is_empty() {
        return Ok(());
    }
    Err(status(
        tonic::Code::PermissionDenied,
        Code::NoSession,
        "there is no such break-glass session",
    ))
}

/// Whom the question is about: a local patient, a FHIR Patient, or the attributes given.
fn sought(
    daemon: &Daemon,
    patient: Option<PatientId>,
    request: &LocateRequest,
) -> Result<Demographics, Status> {
    if let Some(patient) = patient {
        return Ok(daemon.node.patient(patient).map_err(flow)?.demographics);
    }
    if !request.resource.is_empty() {
        return daemon
            .node
            .read_demographics(&request.resource)
            .map_err(flow);
    }
    said(request)
}

/// The attributes that were given one by one.
fn said(request: &LocateRequest) -> Result<Demographics, Status> {
    let mut demographics = Demographics::default();
    if !request.family.is_empty() || !request.given.is_empty() {
        demographics.names.push(Name {
            family: request.family.clone(),
            given: request.given.clone(),
        });
    }
    if !request.birth_date.is_empty() {
        if !is_date(&request.birth_date) {
            return Err(usage(
                Code::Usage,
                "the birth date is no day of the calendar of the form YYYY-MM-DD",
            ));
        }
        demographics.birth_date = Some(request.birth_date.clone());
    }
    demographics.sex = text::non_empty(request.sex.clone())
        .map(|sex| {
            sex.parse()
                .map_err(|_| usage(Code::Usage, "the sex is no FHIR code, nor M, F, U or O"))
        })
        .transpose()?;
    for identifier in &request.identifier {
        // A system may hold an equals sign; a value hardly ever does.
        let (system, value) = identifier
            .rsplit_once('=')
            .ok_or_else(|| usage(Code::Usage, "an identifier is given as SYSTEM=VALUE"))?;
        demographics.identifiers.push(Identifier {
            system: system.to_owned(),
            value: value.to_owned(),
        });
    }
    let address = Address {
        line: text::non_empty(request.line.clone()).into_iter().collect(),
        city: request.city.clone(),
        state: request.state.clone(),
        postal_code: request.postal_code.clone(),
        country: String::new(),
    };
    if address != Address::default() {
        demographics.addresses.push(address);
    }
    demographics.phones.clone_from(&request.phone);
    demographics.emails.clone_from(&request.email);
    if demographics == Demographics::default() {
        return Err(usage(Code::Usage, "nothing was said of the patient"));
    }
    // Cut in silence, the question would be another one.
    if bounded_demographics(&demographics) != demographics {
        return Err(usage(
            Code::Usage,
            "a value has more than 256 characters, or there are more than 16 of one kind",
        ));
    }
    Ok(demographics)
}

/// The members that were named, by node or member id.
pub(super) fn members(daemon: &Daemon, named: &[String]) -> Result<Vec<MemberId>, Status> {
    let views = daemon.node.member_views();
    named
        .iter()
        .map(|name| {
            let node = name.parse::<NodeKey>().ok();
            let member = name.parse::<MemberId>().ok();
            views
                .iter()
                .map(|view| &view.credential)
                .find(|known| Some(known.node_key) == node || Some(known.member) == member)
                .map(|known| known.member)
                .ok_or_else(|| usage(Code::MemberUnknown, "no member has that node id"))
        })
        .collect()
}

fn reply(
    daemon: &Arc<Daemon>,
    ledger: &Ledger,
    local: Vec<chartmesh_proto::admin::PatientSummary>,
) -> LocateReply {
    let views: BTreeMap<MemberId, _> = daemon
        .node
        .member_views()
        .into_iter()
        .map(|view| (view.credential.member, view))
        .collect();
    let nodes = ledger
        .lines
        .iter()
        .map(|line| {
            let view = views.get(&line.member);
            let organization = view.map(|view| view.credential.organization.clone());
            let mut shown = LedgerLine {
                node: view.map_or_else(String::new, |view| view.credential.node_key.to_string()),
                organization: organization
                    .as_ref()
                    .map_or_else(String::new, |o| o.name.clone()),
                answer: line.answer.term().to_owned(),
                revealed: line.revealed.term().to_owned(),
                contact: organization.map(|organization| Contact {
                    phone: organization.phone,
                    hours: text::non_empty(organization.hours),
                }),
                last_seen: view
                    .and_then(|view| view.last_seen)
                    .map(|at| at.to_string()),
                elapsed_ms: line.elapsed.0,
                ..LedgerLine::default()
            };
            describe(&line.answer, &mut shown);
            shown
        })
        .collect();
    LocateReply {
        complete: ledger.complete(),
        elapsed_ms: ledger.elapsed.0,
        nodes,
        local,
    }
}

fn describe(answer: &Answer, line: &mut LedgerLine) {
    match answer {
        Answer::Match(found) => {
            let found = match_view(found);
            line.grade = Some(found.grade);
            line.score = Some(found.score);
            line.handle = Some(found.handle);
            line.mirror = found.mirror;
            line.demographics = found.demographics;
        }
        Answer::Matches(found) => line.matches = found.iter().map(match_view).collect(),
        Answer::MoreNeeded(requested) => {
            line.requested = requested.iter().map(|a| a.code().to_owned()).collect();
        }
        Answer::Refused(code) => line.code = Some(code.to_string()),
        Answer::NoMatch
        | Answer::OverBudget
        | Answer::TimedOut
        | Answer::Unreachable
        | Answer::NotAsked
        | Answer::Incompatible => {}
    }
}

fn match_view(found: &Match) -> MatchView {
    MatchView {
        handle: found.handle.to_string(),
        grade: found.grade.code().to_owned(),
        score: f64::from(found.score_permille) / 1_000.0,
        mirror: found
            .mirror
            .iter()
            .map(|(attribute, agreement): &(Attribute, Agreement)| {
                (attribute.code().to_owned(), agreement.code().to_owned())
            })
            .collect(),
        demographics: found.demographics.as_ref().map(text::demographics),
    }
}

fn document(entry: DocumentEntry) -> DocumentView {
    DocumentView {
        id: entry.id.to_string(),
        r#type: Some(text::coding(entry.coding)),
        title: entry.title,
        status: entry.status,
        date: entry.date.to_string(),
        author: entry.author,
        author_organization: entry.author_organization,
        content_type: entry.content_type,
        format: entry.format,
        on_demand: entry.on_demand,
        size_bytes: entry.size,
        sha256: entry.sha256.map(|hash| HEXLOWER.encode(&hash)),
        labels: entry.labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(birth_date: &str, line: &str) -> LocateRequest {
        LocateRequest {
            family: "Portillo".to_owned(),
            birth_date: birth_date.to_owned(),
            line: line.to_owned(),
            ..LocateRequest::default()
        }
    }

    fn refused(request: &LocateRequest) -> Option<tonic::Code> {
        said(request).err().map(|status| status.code())
    }

    #[tokio::test]
    async fn a_document_goes_to_the_user_in_parts_of_admin_part_max_bytes_at_most() {
        let (events, mut told) = mpsc::channel(64);
        let mut reader = Reader {
            events,
            waiting: Vec::new(),
        };
        let chunk = Bytes::from(vec![7; chartmesh_core::types::limits::CHUNK_BYTES]);
        for _ in 0..100 {
            assert!(reader.take(chunk.clone()).await);
        }
        assert!(reader.flush().await);
        drop(reader);

        let mut bytes = 0;
        while let Some(Ok(FetchEvent { event })) = told.recv().await {
            let Some(fetch_event::Event::Data(part)) = event else {
                panic!("a part");
            };
            assert!(part.len() <= ADMIN_PART_MAX_BYTES);
            bytes += part.len();
        }
        assert_eq!(bytes, 100 * chunk.len());
    }

    #[test]
    fn a_birth_date_is_a_day_of_the_calendar() {
        for date in ["1937-02-13", "2024-02-29"] {
            assert_eq!(refused(&request(date, "")), None, "{date}");
        }
        for text in ["2026-02-31", "1937-02-29", "1970-01-01T00:00:00Z", "1937"] {
            let told = refused(&request(text, ""));
            assert_eq!(told, Some(tonic::Code::InvalidArgument), "{text}");
        }
    }

    #[test]
    fn a_value_that_no_holder_would_read_is_refused() {
        let date = "1937-02-13";

        assert_eq!(refused(&request(date, &"x".repeat(256))), None);
        let told = refused(&request(date, &"x".repeat(257)));
        assert_eq!(told, Some(tonic::Code::InvalidArgument));
        let mut many = request(date, "");
        many.phone = vec!["555".to_owned(); 16];
        assert_eq!(refused(&many), None);
        many.phone.push("556".to_owned());
        assert_eq!(refused(&many), Some(tonic::Code::InvalidArgument));
    }
}
