//! Decoders of the daemon's own crate: its files, the addresses of other nodes, what a proxy answers, and what
//! its own people ask it over the admin socket.

use std::{
    cell::RefCell,
    io::Cursor,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chartmesh_core::{membership::Organization, types::Kind};
use chartmesh_node::{
    api::admin::Admin,
    boot::{self, Making},
    config::Config,
    daemon::{Daemon, Reach},
    net::{Proxy, ReachConfig, address_bytes, address_text, give_up, sticky},
    store::key,
};
use http_body_util::{BodyExt, Full};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// A name, and what is done with an input.
type Target = (&'static str, fn(&[u8]));

/// The targets of this file.
pub(crate) const TARGETS: &[Target] = &[
    ("config", config),
    ("address", address),
    ("files", files),
    ("proxy", proxy),
    ("admin", admin),
];

fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let folder = Path::new("node");
    let plain = Config::read(folder, "", None).expect("defaults");
    if let Ok(config) = Config::read(folder, text, None) {
        let lines = plain.values().len();
        assert_eq!(config.values().len(), lines, "every value has its line");
        // Files that the configuration names are opened; here none is.
        if config.reach.proxy_credentials.0.is_none() {
            let _either = ReachConfig::read(&config.reach).map(drop);
        }
    }
}

fn address(data: &[u8]) {
    if let Ok(text) = address_text(data) {
        assert!(
            address_bytes(&text).is_ok_and(|again| again == data),
            "an address reads back"
        );
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(bytes) = address_bytes(text)
        && let Ok(again) = address_text(&bytes)
    {
        assert!(address_bytes(&again).is_ok_and(|again| again == bytes));
    }
}

/// The small files of a node's directory: its key, the parameters of its passphrase, the ports it had.
fn files(data: &[u8]) {
    if let Ok(key) = key::parse_file(data) {
        let digits = data.trim_ascii_end();
        assert!(digits.len() == 2 * key.len(), "a key is its digits");
    }
    // The key is not derived: that takes long by design.
    let _either = key::parse_parameters(data).map(drop);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let wanted = ["/ip4/0.0.0.0/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"].map(str::to_owned);
    let mut asked = sticky(&wanted, text);
    assert_eq!(asked.len(), wanted.len());
    assert!(
        asked.iter().all(|asked| address_bytes(asked).is_ok()),
        "what is asked for is an address"
    );
    let mut tries = 0;
    while give_up(&mut asked, &wanted, 7420) {
        tries += 1;
        assert!(tries <= wanted.len(), "each try gives one up");
    }
}

/// The first line is how the proxy and the credentials are written, the rest is what the proxy answers.
fn proxy(data: &[u8]) {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (said, line) = (data.get(line.len() + 1..), String::from_utf8_lossy(line));
    let (url, credentials) = line.split_once(' ').unwrap_or((&line, ""));
    let Ok(mut proxy) = Proxy::new(url) else {
        return;
    };
    if let Ok(known) = proxy.clone().with_credentials(credentials) {
        proxy = known;
        assert!(!credentials.contains(['\n', '\0']), "one line");
    }
    let said = said.unwrap_or_default();
    let stream = tokio::io::join(Cursor::new(said.to_vec()), tokio::io::sink());
    let asked = waiting(async { proxy.ask(stream, "hospital.example", 443).await });
    if asked.is_ok() {
        assert!(said.starts_with(b"HTTP/1."), "a proxy speaks HTTP");
        assert!(said.contains(&b'2'), "and says that it is connected");
    }
}

/// Runs a future to its end, on a runtime of one thread that is made once.
fn waiting<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = runtime();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread")
}

/// Every call of the admin service; a test compares them with its description.
pub(crate) const CALLS: &[&str] = &[
    "Init",
    "Status",
    "Peers",
    "Doctor",
    "NetworkFound",
    "NetworkRules",
    "NetworkInvite",
    "NetworkJoin",
    "NetworkRequests",
    "NetworkApprove",
    "NetworkMembers",
    "NetworkRevoke",
    "NetworkAuthority",
    "NetworkProposals",
    "NetworkCosign",
    "NetworkAmend",
    "NetworkReissue",
    "NetworkRekey",
    "NetworkRecoveryKey",
    "NetworkAdopt",
    "Import",
    "PatientList",
    "PatientShow",
    "PatientAdd",
    "DocumentAdd",
    "Locate",
    "Documents",
    "Fetch",
    "ConsentGrant",
    "ConsentDeny",
    "ConsentRevoke",
    "ConsentOptOut",
    "ConsentOptIn",
    "ConsentList",
    "ConsentExplain",
    "AuditList",
    "AuditAccess",
    "AuditAccounting",
    "AuditVerify",
    "AuditCheckpoint",
    "AuditProve",
    "AuditPromise",
    "AuditKey",
    "ConfigShow",
    "Backup",
    "RecoverySheet",
    "Restore",
    "AuditExport",
];

/// Inputs after which the node is made anew, since each may leave something in it.
const INPUTS_MAX: u32 = 500;
/// Longest call: one that waits for a member that is not there is given up, as a user would.
const CALL_MAX: Duration = Duration::from_millis(500);

thread_local! {
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// A node with an admin service and no network.
pub(crate) struct Desk {
    runtime: Runtime,
    admin: Arc<Daemon>,
    pub(crate) folder: TempDir,
    used: u32,
}

/// What a call came to: the code of its refusal, and its first answer.
pub(crate) type Told = (Option<String>, Bytes);

/// The first byte chooses the call; what follows are its messages, each behind its length in two bytes.
fn admin(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    DESK.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|desk| desk.used >= INPUTS_MAX)
            && let Some(desk) = slot.take()
        {
            desk.close();
        }
        let desk = slot.get_or_insert_with(Desk::founded);
        desk.used += 1;
        let call = CALLS[usize::from(*first) % CALLS.len()];
        let _either = desk.call(call, frames(rest));
        if call == "RecoverySheet" {
            // With a sheet a backup would be written wherever the next input says.
            desk.used = INPUTS_MAX;
        }
    });
}

impl Desk {
    /// With a network of its own.
    pub(crate) fn founded() -> Self {
        let desk = Self::open();
        let founding = b"\x0a\x04Fuzz\x12\x0cus-treatment\x28\x01\x30\x01";
        let (code, _) = desk.call("NetworkFound", framed(&[founding]));
        assert_eq!(code, None, "a network is founded");
        desk
    }

    pub(crate) fn open() -> Self {
        let runtime = runtime();
        let folder = tempfile::tempdir().expect("a folder for a node");
        let admin = runtime.block_on(async {
            let organization = Organization {
                name: "Fuzz".to_owned(),
                kind: Kind::Clinic,
                npi: String::new(),
                oid: String::new(),
                address: "1 Main Street".to_owned(),
                contact: String::new(),
                phone: String::new(),
                hours: String::new(),
                state: "CO".to_owned(),
                part2: false,
                test: true,
            };
            let making = Making {
                organization,
                listen: Vec::new(),
                passphrase: None,
                key_file: None,
                member: None,
            };
            boot::make(folder.path(), making).await.expect("a node");
            let booted = boot::open(folder.path(), None).await.expect("the node");
            Daemon::new(folder.path(), booted, Reach::Alone, Instant::now())
        });
        Self {
            runtime,
            admin,
            folder,
            used: 0,
        }
    }

    fn close(self) {
        self.runtime.block_on(self.admin.stop());
    }

    /// Calls the admin service with messages as gRPC frames them.
    pub(crate) fn call(&self, name: &str, messages: Bytes) -> Told {
        let request = http::Request::post(format!("/chartmesh.admin.v1.Admin/{name}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(messages))
            .expect("a request");
        let service = Admin::new(self.admin.clone(), "fuzz".to_owned()).server();
        let called = self.runtime.block_on(async {
            let answering = async {
                let answer = service.oneshot(request).await.expect("it never fails");
                let (head, body) = answer.into_parts();
                let body = body.collect().await.expect("an answer ends");
                let trailers = body.trailers().cloned().unwrap_or_default();
                (head.headers, trailers, body.to_bytes())
            };
            tokio::time::timeout(CALL_MAX, answering).await
        });
        let Ok((headers, trailers, answer)) = called else {
            return (Some("given up".to_owned()), Bytes::new());
        };
        let code = headers.get("chartmesh-code");
        let code = code.or_else(|| trailers.get("chartmesh-code"));
        let code = code.map(|code| code.to_str().expect("a code is ASCII").to_owned());
        // A task that panics is told so; a fuzzer stops at the panic itself.
        assert!(code.as_deref() != Some("INTERNAL"), "{name}");
        (code, answer.slice(answer.len().min(FRAME_BYTES)..))
    }
}

/// Bytes in front of a message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

/// Messages, framed.
pub(crate) fn framed(messages: &[&[u8]]) -> Bytes {
    let mut framed = Vec::new();
    for message in messages {
        framed.push(0);
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(message);
    }
    framed.into()
}

/// The messages of an input, framed.
fn frames(mut data: &[u8]) -> Bytes {
    let mut messages = Vec::new();
    loop {
        let (len, rest) = match data {
            [low, high, rest @ ..] => (u16::from_le_bytes([*low, *high]), rest),
            _ => (0, &data[..0]),
        };
        let (message, rest) = rest.split_at(usize::from(len).min(rest.len()));
        messages.push(message);
        if rest.is_empty() {
            return framed(&messages);
        }
        data = rest;
    }
}
