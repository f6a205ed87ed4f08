//! The binary against an admin service with canned replies: what it prints and how it ends.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use chartmesh_proto::admin::{
    AccountingReply, AdoptRequest, AmendRequest, ApproveReply, ApproveRequest, AuditExportReply,
    AuditExportRequest, AuditKeyReply, AuditKeyRequest, AuditListReply, AuditListRequest,
    AuditPromiseReply, AuditPromiseRequest, AuditProveReply, AuditProveRequest, AuthorityReply,
    BackupReply, BackupRequest, CheckpointReply, ConfigReply, ConsentListReply, ConsentReply,
    ConsentRequest, ConsentRevokeRequest, CosignRequest, DoctorReply, DoctorRequest,
    DocumentAddReply, DocumentPart, DocumentsReply, DocumentsRequest, Empty, ExplainReply,
    ExplainRequest, FetchEvent, FetchReply, FetchRequest, ImportEvent, ImportPart, ImportReply,
    ImportReport, InForceReply, InitReply, InitRequest, InviteReply, InviteRequest,
    JoinNetworkRequest, JoinReply, LedgerLine, LocateReply, LocateRequest, MemberLine,
    MembersReply, NetworkFoundRequest, NetworkReply, OptRequest, PatientAddRequest, PatientDetail,
    PatientListReply, PatientListRequest, PatientShowRequest, PatientSummary, PeersReply,
    ProposalsReply, RecoveryKeyReply, RecoverySheetReply, ReissueRequest, RekeyReply,
    RequestsReply, RestoreReply, RestoreRequest, RevokeMemberReply, RevokeMemberRequest,
    RulesReply, StatusReply, VerifyReply,
    admin_server::{Admin, AdminServer},
    fetch_event, import_event, import_part,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap};

type Reply<T> = Result<Response<T>, Status>;
type Events<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

/// A document that `fetch` hands over.
const DOCUMENT: &[u8] = b"%PDF-1.7 INR 2.9";

#[test]
fn a_reply_is_exactly_one_json_object_with_the_fields_of_the_contract() {
    let room = serve();

    let members = chartmesh(&room, "network members --output json", b"");
    let patients = chartmesh(&room, "patient list --output json", b"");

    assert_eq!(members.status.code(), Some(0));
    let reply = object(&members);
    for field in [
        "node",
        "organization",
        "kind",
        "status",
        "expires",
        "phone",
        "hours",
        "self",
    ] {
        assert!(!reply["members"][0][field].is_null(), "{field}");
    }
    let reply = object(&patients);
    for field in [
        "id",
        "name",
        "birth_date",
        "sex",
        "resources",
        "discoverability",
    ] {
        assert!(reply["patients"][0].get(field).is_some(), "{field}");
    }
    assert_eq!(reply["patients"][0]["birth_date"], Value::Null);
}

#[test]
fn a_ledger_is_printed_however_the_question_ends() {
    let room = serve();
    for (family, code, error) in [
        ("match", 0, None),
        ("no-match", 4, Some("NO_MATCH")),
        ("unreachable", 5, Some("INCOMPLETE")),
        ("more-needed", 8, Some("MORE_NEEDED")),
    ] {
        let words = format!("locate --family {family} --purpose TREAT --output json");

        let ended = chartmesh(&room, &words, b"");

        assert_eq!(ended.status.code(), Some(code), "{family}");
        assert_eq!(object(&ended)["nodes"][0]["answer"], family);
        if let Some(error) = error {
            assert_eq!(failure(&ended)["error"]["code"], error);
        }
    }
}

#[test]
fn locate_reads_a_patient_from_standard_input() {
    let room = serve();

    let ended = chartmesh(
        &room,
        "locate - --purpose TREAT --output json",
        br#"{"resourceType":"Patient"}"#,
    );
    let empty = chartmesh(&room, "locate - --purpose TREAT --output json", b"");

    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(empty.status.code(), Some(2));
}

#[test]
fn a_status_becomes_an_exit_code_with_code_and_hint() {
    let room = serve();
    for (handle, code, text) in [
        ("hdl_denied", 3, "DENIED"),
        ("hdl_unknown", 4, "HANDLE_UNKNOWN"),
        ("hdl_full", 6, "STORAGE_FULL"),
    ] {
        let words = format!("documents --handle {handle} --purpose TREAT --output json");

        let ended = chartmesh(&room, &words, b"");

        assert_eq!(ended.status.code(), Some(code), "{handle}");
        assert!(ended.stdout.is_empty());
        let failure = failure(&ended);
        assert_eq!(failure["error"]["code"], text);
        assert_eq!(failure["error"]["hint"], "do this next");
    }
    let fine = chartmesh(&room, "documents --handle hdl_a --purpose TREAT", b"");
    assert_eq!(fine.status.code(), Some(0));
}

#[test]
fn one_refused_input_does_not_stop_the_rest() {
    let room = serve();
    let inputs = tempfile::tempdir().expect("a folder");
    fs::write(inputs.path().join("a.json"), "good").expect("written");
    fs::write(inputs.path().join("b.json"), "bad").expect("written");
    fs::write(inputs.path().join("notes.txt"), "text").expect("written");
    let words = format!("import {} --output json", inputs.path().display());

    let ended = chartmesh(&room, &words, b"");

    assert_eq!(ended.status.code(), Some(6));
    let reply = object(&ended);
    assert_eq!(
        (&reply["imported"], &reply["refused"], &reply["skipped"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(reply["reports"][2]["status"], "skipped");
    fs::write(inputs.path().join("b.json"), "good").expect("written");
    assert_eq!(chartmesh(&room, &words, b"").status.code(), Some(0));
}

#[test]
fn a_fetched_document_is_written_whole_or_not_at_all() {
    let room = serve();
    let out = room.path().join("out.pdf");
    let words = |document: &str| {
        format!(
            "fetch --handle hdl_a --document {document} --purpose TREAT --out {} --output json",
            out.display()
        )
    };

    let broken = chartmesh(&room, &words("doc_broken"), b"");
    assert!(!out.exists());
    let lying = chartmesh(&room, &words("doc_unverified"), b"");
    assert!(!out.exists());
    let good = chartmesh(&room, &words("doc_good"), b"");

    assert_eq!(broken.status.code(), Some(6));
    assert_eq!(lying.status.code(), Some(70));
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(object(&good)["verified"], true);
    assert_eq!(fs::read(&out).expect("read"), DOCUMENT);
    let mode = fs::metadata(&out).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn view_writes_the_document_alone() {
    let room = serve();
    let words = "fetch --handle hdl_a --document doc_good --purpose TREAT --view";

    let ended = chartmesh(&room, words, b"");
    let both = chartmesh(&room, &format!("{words} --output json"), b"");

    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stdout, DOCUMENT);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_backup_that_misses_a_document_is_printed_and_ends_with_6() {
    let room = serve();
    let words = |folder: &str| format!("backup --to /{folder} --keep 2 --output json");

    let whole = chartmesh(&room, &words("whole"), b"");
    let damaged = chartmesh(&room, &words("damaged"), b"");

    assert_eq!(whole.status.code(), Some(0));
    let reply = object(&whole);
    for field in [
        "file",
        "bytes",
        "sha256",
        "position",
        "documents",
        "verified",
    ] {
        assert!(reply.get(field).is_some(), "{field}");
    }
    assert_eq!(damaged.status.code(), Some(6));
    assert_eq!(object(&damaged)["absent"][0], "doc_a");
    assert_eq!(failure(&damaged)["error"]["code"], "INTEGRITY");
}

#[test]
fn a_log_that_does_not_hold_is_printed_and_ends_with_6() {
    let room = serve();

    let ended = chartmesh(&room, "audit verify --output json", b"");

    assert_eq!(ended.status.code(), Some(6));
    assert_eq!(object(&ended)["verified"], false);
    assert_eq!(failure(&ended)["error"]["code"], "INTEGRITY");
}

#[test]
fn purposes_come_as_a_list_in_any_case_and_a_note_goes_to_standard_error() {
    let room = serve();
    let words = "consent grant --patient pat_a --to org:Nobody --output json --purpose";

    let list = chartmesh(&room, &format!("{words} treat,Etreat"), b"");
    let several = chartmesh(&room, &format!("{words} TREAT ETREAT"), b"");
    let quiet = chartmesh(&room, &format!("{words} TREAT ETREAT --quiet"), b"");

    for ended in [&list, &several, &quiet] {
        assert_eq!(ended.status.code(), Some(0));
        assert_eq!(object(ended)["consent"], "TREAT ETREAT");
        assert_eq!(object(ended)["notes"][0], "nobody matches");
    }
    assert_eq!(list.stderr, b"note: nobody matches\n");
    assert!(quiet.stderr.is_empty());
}

#[test]
fn tables_of_a_test_network_say_so_and_json_has_its_own_field() {
    let room = serve();

    for words in [
        "status",
        "network members",
        "locate --family match --purpose TREAT",
    ] {
        let table = chartmesh(&room, words, b"");
        let json = chartmesh(&room, &format!("{words} --output json"), b"");

        assert!(table.stdout.starts_with(b"TEST network\n"), "{words}");
        object(&json);
    }
    assert_eq!(
        object(&chartmesh(&room, "status --output json", b""))["test"],
        true
    );
}

#[test]
fn a_question_to_nobody_is_wrong_usage() {
    let room = serve();
    let words = "locate --family not-asked --purpose TREAT --output json";

    let all = chartmesh(&room, words, b"");
    let nobody = chartmesh(&room, &format!("{words} --only 12D3Koo"), b"");

    assert_eq!(all.status.code(), Some(4));
    assert_eq!(nobody.status.code(), Some(2));
    assert!(nobody.stdout.is_empty());
}

#[test]
fn names_from_elsewhere_command_no_terminal() {
    let room = serve();

    let table = chartmesh(&room, "patient list", b"");
    let json = chartmesh(&room, "patient list --output json", b"");

    for bytes in [&table.stdout, &json.stdout] {
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert!(
            !text
                .chars()
                .any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
        );
    }
    assert_eq!(
        object(&json)["patients"][0]["name"],
        "Rosa\u{1b}[2J\u{202e}"
    );
}

#[test]
fn wrong_words_end_with_2_in_the_format_that_was_asked_for() {
    let room = serve();

    let plain = chartmesh(&room, "locate --purpose TREAT", b"");
    let json = chartmesh(&room, "locate --purpose TREAT --output json", b"");
    let later = chartmesh(&room, "import x --format ccda --output json", b"");
    let help = chartmesh(&room, "locate --help", b"");

    assert_eq!(plain.status.code(), Some(2));
    assert!(plain.stderr.starts_with(b"error: "));
    assert_eq!(json.status.code(), Some(2));
    assert_eq!(failure(&json)["error"]["code"], "USAGE");
    assert_eq!(later.status.code(), Some(2));
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("Example"));
}

#[test]
fn without_a_daemon_most_commands_end_with_7() {
    let nobody = tempfile::tempdir().expect("a folder");

    for words in [
        "status",
        "locate - --purpose TREAT",
        "audit list",
        "network invite",
    ] {
        let ended = chartmesh(&nobody, &format!("{words} --output json"), b"{}");

        assert_eq!(ended.status.code(), Some(7), "{words}");
        assert_eq!(failure(&ended)["error"]["code"], "DAEMON_UNREACHABLE");
    }
    assert_eq!(chartmesh(&serve(), "status", b"").status.code(), Some(0));
}

#[test]
fn what_can_work_alone_starts_a_daemon_and_passes_on_why_it_failed() {
    let nobody = tempfile::tempdir().expect("a folder");
    let bin = tempfile::tempdir().expect("a folder");
    for (status, code) in [(2, 2), (6, 6), (75, 7), (70, 70)] {
        let script = format!("#!/bin/sh\necho \"refused $*\" >&2\nexit {status}\n");
        program(bin.path(), &script);

        for words in [
            "doctor",
            "audit verify",
            "network found --name N",
            "init --name N --kind lab",
        ] {
            let ended = command(&nobody, words)
                .env("CHARTMESH_BIN", bin.path())
                .output()
                .expect("run");

            assert_eq!(ended.status.code(), Some(code), "{words}");
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(told.contains("--once"), "{told}");
            let json = command(&nobody, &format!("{words} --output json"))
                .env("CHARTMESH_BIN", bin.path())
                .output()
                .expect("run");
            let log = failure(&json)["error"]["log"].to_string();
            assert!(log.contains("--once"), "{log}");
        }
    }
}

#[test]
fn a_missing_daemon_is_said_so() {
    let nobody = tempfile::tempdir().expect("a folder");

    let ended = command(&nobody, "doctor --output json")
        .env("CHARTMESH_BIN", nobody.path())
        .output()
        .expect("run");

    assert_eq!(ended.status.code(), Some(7));
    assert_eq!(failure(&ended)["error"]["code"], "DAEMON_NOT_FOUND");
}

/// A node's directory whose socket is served until the process ends.
fn serve() -> TempDir {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("admin.sock");
    let (ready, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::UnixListener::bind(path).expect("bound");
            ready.send(()).expect("somebody waits");
            tonic::transport::Server::builder()
                .add_service(AdminServer::new(Canned))
                .serve_with_incoming(UnixListenerStream::new(listener))
                .await
                .expect("served");
        });
    });
    wait.recv().expect("the server is up");
    room
}

fn command(node: &TempDir, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartmesh"));
    command
        .arg("--node")
        .arg(node.path())
        .args(words.split_whitespace())
        .stdin(Stdio::null());
    command
}

fn chartmesh(node: &TempDir, words: &str, input: &[u8]) -> Output {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), input).expect("written");
    command(node, words)
        .stdin(file.reopen().expect("opened"))
        .output()
        .expect("run")
}

fn object(ended: &Output) -> Value {
    assert_eq!(
        ended.stdout.iter().filter(|&&byte| byte == b'\n').count(),
        1
    );
    serde_json::from_slice(&ended.stdout).expect("one JSON object")
}

fn failure(ended: &Output) -> Value {
    serde_json::from_slice(&ended.stderr).expect("one JSON object")
}

fn program(folder: &Path, script: &str) {
    let path = folder.join("chartmeshd");
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made runnable");
}

fn coded(status: Code, code: &'static str) -> Status {
    let mut trailers = MetadataMap::new();
    trailers.insert("chartmesh-code", code.parse().expect("ASCII"));
    trailers.insert("chartmesh-hint", "do this next".parse().expect("ASCII"));
    Status::with_metadata(status, "what happened", trailers)
}

fn ok<T>(reply: T) -> Reply<T> {
    Ok(Response::new(reply))
}

fn absent<T>() -> Reply<T> {
    Err(Status::unimplemented("not canned"))
}

fn events<T>(all: Vec<Result<T, Status>>) -> Response<Events<T>> {
    Response::new(tokio_stream::iter(all))
}

/// An admin service whose replies depend on the request alone.
struct Canned;

#[tonic::async_trait]
impl Admin for Canned {
    type ImportStream = Events<ImportEvent>;
    type FetchStream = Events<FetchEvent>;

    async fn status(&self, _: Request<Empty>) -> Reply<StatusReply> {
        ok(StatusReply {
            test: true,
            ..StatusReply::default()
        })
    }

    async fn network_members(&self, _: Request<Empty>) -> Reply<MembersReply> {
        ok(MembersReply {
            members: vec![MemberLine::default()],
            ..MembersReply::default()
        })
    }

    async fn patient_list(&self, _: Request<PatientListRequest>) -> Reply<PatientListReply> {
        ok(PatientListReply {
            patients: vec![PatientSummary {
                name: "Rosa\u{1b}[2J\u{202e}".to_owned(),
                ..PatientSummary::default()
            }],
        })
    }

    async fn locate(&self, request: Request<LocateRequest>) -> Reply<LocateReply> {
        let request = request.into_inner();
        let answer = if request.resource.is_empty() {
            request.family
        } else {
            "match".to_owned()
        };
        ok(LocateReply {
            complete: answer != "unreachable",
            nodes: vec![LedgerLine {
                answer,
                ..LedgerLine::default()
            }],
            ..LocateReply::default()
        })
    }

    async fn documents(&self, request: Request<DocumentsRequest>) -> Reply<DocumentsReply> {
        match request.into_inner().handle.as_str() {
            "hdl_denied" => Err(coded(Code::PermissionDenied, "DENIED")),
            "hdl_unknown" => Err(coded(Code::NotFound, "HANDLE_UNKNOWN")),
            "hdl_full" => Err(coded(Code::ResourceExhausted, "STORAGE_FULL")),
            _ => ok(DocumentsReply::default()),
        }
    }

    async fn import(&self, request: Request<Streaming<ImportPart>>) -> Reply<Self::ImportStream> {
        let mut parts = request.into_inner();
        let mut reply = ImportReply::default();
        let (mut name, mut bytes) = (String::new(), Vec::new());
        while let Some(part) = parts.message().await? {
            match part.part {
                Some(import_part::Part::Start(start)) => name = start.name,
                Some(import_part::Part::Data(data)) => bytes.extend(data),
                Some(import_part::Part::End(_)) | None => {
                    let good = std::mem::take(&mut bytes) == b"good";
                    reply.imported += u64::from(good);
                    reply.refused += u64::from(!good);
                    reply.reports.push(ImportReport {
                        input: std::mem::take(&mut name),
                        status: if good { "imported" } else { "refused" }.to_owned(),
                        ..ImportReport::default()
                    });
                }
            }
        }
        Ok(events(vec![Ok(ImportEvent {
            event: Some(import_event::Event::Result(reply)),
        })]))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Reply<Self::FetchStream> {
        let event = |event| Ok(FetchEvent { event: Some(event) });
        let data = || event(fetch_event::Event::Data(DOCUMENT.to_vec()));
        let result = |verified| {
            event(fetch_event::Event::Result(FetchReply {
                bytes: DOCUMENT.len() as u64,
                verified,
                ..FetchReply::default()
            }))
        };
        Ok(events(match request.into_inner().document.as_str() {
            "doc_good" => vec![data(), result(true)],
            "doc_broken" => vec![data(), Err(coded(Code::DataLoss, "INTEGRITY"))],
            _ => vec![data(), result(false)],
        }))
    }

    async fn audit_verify(&self, _: Request<Empty>) -> Reply<VerifyReply> {
        ok(VerifyReply::default())
    }

    async fn backup(&self, request: Request<BackupRequest>) -> Reply<BackupReply> {
        let request = request.into_inner();
        let absent = request.folder.ends_with("damaged");
        ok(BackupReply {
            file: request.file,
            verified: true,
            absent: absent.then(|| "doc_a".to_owned()).into_iter().collect(),
            ..BackupReply::default()
        })
    }
    async fn recovery_sheet(&self, _: Request<Empty>) -> Reply<RecoverySheetReply> {
        absent()
    }
    async fn restore(&self, _: Request<RestoreRequest>) -> Reply<RestoreReply> {
        absent()
    }
    async fn init(&self, _: Request<InitRequest>) -> Reply<InitReply> {
        absent()
    }
    async fn peers(&self, _: Request<Empty>) -> Reply<PeersReply> {
        absent()
    }
    async fn doctor(&self, _: Request<DoctorRequest>) -> Reply<DoctorReply> {
        absent()
    }
    async fn network_found(&self, _: Request<NetworkFoundRequest>) -> Reply<NetworkReply> {
        absent()
    }
    async fn network_rules(&self, _: Request<Empty>) -> Reply<RulesReply> {
        absent()
    }
    async fn network_invite(&self, _: Request<InviteRequest>) -> Reply<InviteReply> {
        absent()
    }
    async fn network_join(&self, _: Request<JoinNetworkRequest>) -> Reply<JoinReply> {
        absent()
    }
    async fn network_requests(&self, _: Request<Empty>) -> Reply<RequestsReply> {
        absent()
    }
    async fn network_approve(&self, _: Request<ApproveRequest>) -> Reply<ApproveReply> {
        absent()
    }
    async fn network_revoke(&self, _: Request<RevokeMemberRequest>) -> Reply<RevokeMemberReply> {
        absent()
    }
    async fn network_authority(&self, _: Request<Empty>) -> Reply<AuthorityReply> {
        absent()
    }
    async fn network_proposals(&self, _: Request<Empty>) -> Reply<ProposalsReply> {
        absent()
    }
    async fn network_cosign(&self, _: Request<CosignRequest>) -> Reply<ProposalsReply> {
        absent()
    }
    async fn network_amend(&self, _: Request<AmendRequest>) -> Reply<ProposalsReply> {
        absent()
    }
    async fn network_recovery_key(&self, _: Request<Empty>) -> Reply<RecoveryKeyReply> {
        absent()
    }
    async fn network_reissue(&self, _: Request<ReissueRequest>) -> Reply<ApproveReply> {
        absent()
    }
    async fn network_rekey(&self, _: Request<Empty>) -> Reply<RekeyReply> {
        absent()
    }
    async fn network_adopt(&self, _: Request<AdoptRequest>) -> Reply<RulesReply> {
        absent()
    }
    async fn patient_show(&self, _: Request<PatientShowRequest>) -> Reply<PatientDetail> {
        absent()
    }
    async fn patient_add(&self, _: Request<PatientAddRequest>) -> Reply<PatientSummary> {
        absent()
    }
    async fn document_add(&self, _: Request<Streaming<DocumentPart>>) -> Reply<DocumentAddReply> {
        absent()
    }
    async fn consent_grant(&self, request: Request<ConsentRequest>) -> Reply<ConsentReply> {
        ok(ConsentReply {
            consent: request.into_inner().purpose.join(" "),
            notes: vec!["nobody matches".to_owned()],
            ..ConsentReply::default()
        })
    }
    async fn consent_deny(&self, _: Request<ConsentRequest>) -> Reply<ConsentReply> {
        absent()
    }
    async fn consent_revoke(&self, _: Request<ConsentRevokeRequest>) -> Reply<InForceReply> {
        absent()
    }
    async fn consent_opt_out(&self, _: Request<OptRequest>) -> Reply<InForceReply> {
        absent()
    }
    async fn consent_opt_in(&self, _: Request<OptRequest>) -> Reply<InForceReply> {
        absent()
    }
    async fn consent_list(&self, _: Request<PatientShowRequest>) -> Reply<ConsentListReply> {
        absent()
    }
    async fn consent_explain(&self, _: Request<ExplainRequest>) -> Reply<ExplainReply> {
        absent()
    }
    async fn audit_list(&self, _: Request<AuditListRequest>) -> Reply<AuditListReply> {
        absent()
    }
    async fn audit_access(&self, _: Request<PatientShowRequest>) -> Reply<AuditListReply> {
        absent()
    }
    async fn audit_accounting(&self, _: Request<PatientShowRequest>) -> Reply<AccountingReply> {
        absent()
    }
    async fn audit_checkpoint(&self, _: Request<Empty>) -> Reply<CheckpointReply> {
        absent()
    }
    async fn audit_prove(&self, _: Request<AuditProveRequest>) -> Reply<AuditProveReply> {
        absent()
    }
    async fn audit_promise(&self, _: Request<AuditPromiseRequest>) -> Reply<AuditPromiseReply> {
        absent()
    }
    async fn audit_export(&self, _: Request<AuditExportRequest>) -> Reply<AuditExportReply> {
        absent()
    }
    async fn audit_key(&self, _: Request<AuditKeyRequest>) -> Reply<AuditKeyReply> {
        absent()
    }
    async fn config_show(&self, _: Request<Empty>) -> Reply<ConfigReply> {
        absent()
    }
}
