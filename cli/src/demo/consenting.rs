//! Denied, permitted, read, denied again.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::exit::Failure;

use super::{
    actor::Actor,
    asking::Ledger,
    chart::Chart,
    people,
    seen::{Seen, count, ensure, list, text, unlike},
    stage::Stage,
};

/// Rosa at one holder: her id there, and the consent.
pub(super) struct Held {
    /// Her id at the holder.
    pub(super) patient: String,
    /// The consent; empty before it is granted.
    pub(super) consent: String,
}

/// What Harbor read.
pub(super) struct Read {
    /// Disclosures, one a fetch, at Maple.
    pub(super) maple: BTreeSet<String>,
    /// Disclosures at St. Brigid.
    pub(super) brigid: BTreeSet<String>,
    /// A document of St. Brigid's.
    pub(super) summary: String,
}

/// Harbor may not list nor fetch.
///
/// # Errors
/// Something leaves.
pub(super) async fn denied(stage: &Stage, ledger: &Ledger) -> Result<Seen<()>, Failure> {
    let out = stage.file("never.json");
    for (actor, handle) in [
        (stage.maple(), &ledger.maple),
        (stage.brigid(), &ledger.brigid),
    ] {
        let patient = rosa_at(actor).await?;
        let detail = actor.does(&["patient", "show", &patient]).await?;
        let document = list(&detail, "documents")?
            .first()
            .ok_or_else(|| unlike(format!("{} stores no document", actor.place.name)))?;
        let document = text(document, "id")?;
        stage.harbor().is_denied(&list_words(handle)).await?;
        let path = out.to_string_lossy();
        stage
            .harbor()
            .is_denied(&fetch_words(handle, document, &path))
            .await?;
        ensure!(!out.exists(), "a denied fetch left a file");
    }
    Ok(Seen::new(
        "list and fetch denied by both holders (exit 3), no file written",
        (),
    ))
}

/// Rosa consents at both holders.
///
/// # Errors
/// The consent is not in force.
pub(super) async fn granted(stage: &Stage) -> Result<Seen<(Held, Held)>, Failure> {
    let form = stage.file("signed-form.txt");
    fs::write(&form, people::signed_form(stage.calendar))
        .map_err(|error| Failure::file("written", &form, &error))?;
    let maple = grant(stage, stage.maple()).await?;
    let brigid = grant(stage, stage.brigid()).await?;
    Ok(Seen::new(
        "recorded at both holders with the signed form: permit for Harbor, TREAT",
        (maple, brigid),
    ))
}

async fn grant(stage: &Stage, holder: &Actor) -> Result<Held, Failure> {
    let patient = rosa_at(holder).await?;
    let form = stage.file("signed-form.txt");
    let form = form.to_string_lossy();
    let harbor = &stage.harbor().node;
    let words = [
        "consent",
        "grant",
        "--patient",
        &patient,
        "--to",
        harbor,
        "--purpose",
        "TREAT",
        "--by",
        "patient",
        "--form",
        &form,
    ];
    let reply = holder.does(&words).await?;
    let consent = text(&reply, "consent")?.to_owned();
    let explained = holder
        .does(&[
            "consent",
            "explain",
            "--patient",
            &patient,
            "--to",
            harbor,
            "--purpose",
            "TREAT",
        ])
        .await?;
    let because = list(&explained, "because")?;
    let named = because.iter().any(|line| line["consent"] == consent);
    ensure!(
        explained["decision"] == "permit" && named,
        format!("{} explains: {explained}", holder.place.name)
    );
    Ok(Held { patient, consent })
}

/// Harbor lists and reads, and finds what it needs to know.
///
/// # Errors
/// A document is missing or not byte-exact, or the records do not say what they should.
pub(super) async fn read(stage: &Stage, ledger: &Ledger) -> Result<Seen<Read>, Failure> {
    let mut bytes = 0;
    let (mut maple, mut brigid) = (BTreeSet::new(), BTreeSet::new());

    let listed = stage.harbor().does(&list_words(&ledger.maple)).await?;
    let record = on_demand(&listed)?;
    let at_maple = fetch(stage, &ledger.maple, record, "maple-record.json").await?;
    bytes += at_maple.take(&mut maple);
    let clinic = Chart::read(&at_maple.content)?;

    let listed = stage.harbor().does(&list_words(&ledger.brigid)).await?;
    let record = on_demand(&listed)?;
    let at_brigid = fetch(stage, &ledger.brigid, record, "brigid-record.json").await?;
    bytes += at_brigid.take(&mut brigid);
    let hospital = Chart::read(&at_brigid.content)?;

    let summary = of_type(&listed, people::DISCHARGE_SUMMARY)?;
    let fetched = fetch(stage, &ledger.brigid, summary, "summary.txt").await?;
    bytes += fetched.take(&mut brigid);
    let written = people::discharge_summary(stage.calendar).into_bytes();
    ensure!(
        fetched.content == written,
        "the discharge summary differs from what St. Brigid wrote"
    );

    let saw = format!(
        "{} (St. Brigid {}) · {} (Maple), INR {} · eGFR {}\n\
         3 documents, {bytes} bytes, each verified; the discharge summary byte by byte",
        hospital.allergy()?,
        hospital.allergy_year()?,
        clinic.medication("warfarin 5 mg")?,
        clinic.latest(people::INR)?,
        hospital.latest(people::EGFR)?,
    );
    ensure!(saw.starts_with(
            "penicillin: anaphylaxis (St. Brigid 2019) · warfarin 5 mg (Maple), INR 2.9 · eGFR 41\n",
        ), saw.clone());
    let summary = summary.to_owned();
    Ok(Seen::new(
        saw,
        Read {
            maple,
            brigid,
            summary,
        },
    ))
}

/// Rosa takes it back at St. Brigid.
///
/// # Errors
/// The next request is not denied.
pub(super) async fn revoked(
    stage: &Stage,
    ledger: &Ledger,
    held: &Held,
    read: &Read,
) -> Result<Seen<()>, Failure> {
    let brigid = stage.brigid();
    let reply = brigid.does(&["consent", "revoke", &held.consent]).await?;
    let now = &reply["now"];
    ensure!(
        now["decision"] == "deny",
        format!("after the revocation: {now}")
    );
    let out = stage.file("after-revocation.txt");
    let path = out.to_string_lossy();
    stage
        .harbor()
        .is_denied(&fetch_words(&ledger.brigid, &read.summary, &path))
        .await?;
    stage
        .harbor()
        .is_denied(&list_words(&ledger.brigid))
        .await?;
    stage.harbor().does(&list_words(&ledger.maple)).await?;
    Ok(Seen::new(
        format!(
            "returned in {} ms; the next fetch is denied; in force: deny, {}\n\
             Maple's consent still stands",
            count(&reply, "elapsed_ms")?,
            text(now, "because")?
        ),
        (),
    ))
}

/// Rosa's id at a holder, where nobody else may be taken for her.
async fn rosa_at(holder: &Actor) -> Result<String, Failure> {
    let whole = format!("{} {}", people::GIVEN, people::FAMILY);
    let found = holder.does(&["patient", "search", people::FAMILY]).await?;
    let mut named = list(&found, "patients")?
        .iter()
        .filter(|patient| patient["name"] == whole.as_str());
    match (named.next(), named.next()) {
        (Some(rosa), None) => Ok(text(rosa, "id")?.to_owned()),
        (Some(_), Some(_)) => Err(unlike(format!("{} has her twice", holder.place.name))),
        (None, _) => Err(unlike(format!("{} does not find her", holder.place.name))),
    }
}

/// A document with the proof of its arrival.
struct Fetched {
    content: Vec<u8>,
    disclosure: String,
}

impl Fetched {
    /// Notes the disclosure, and returns the size in bytes.
    fn take(&self, disclosures: &mut BTreeSet<String>) -> usize {
        disclosures.insert(self.disclosure.clone());
        self.content.len()
    }
}

async fn fetch(
    stage: &Stage,
    handle: &str,
    document: &str,
    name: &str,
) -> Result<Fetched, Failure> {
    let path = stage.file(name);
    let words = path.to_string_lossy();
    let reply = stage
        .harbor()
        .does(&fetch_words(handle, document, &words))
        .await?;
    ensure!(
        reply["verified"] == true,
        format!("{name} was not verified")
    );
    let content = fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
    ensure!(
        usize::try_from(count(&reply, "bytes")?) == Ok(content.len()),
        format!("{name} has another size than reported")
    );
    Ok(Fetched {
        content,
        disclosure: text(&reply, "disclosure")?.to_owned(),
    })
}

fn list_words(handle: &str) -> [&str; 5] {
    ["documents", "--handle", handle, "--purpose", "TREAT"]
}

fn fetch_words<'a>(handle: &'a str, document: &'a str, out: &'a str) -> [&'a str; 9] {
    [
        "fetch",
        "--handle",
        handle,
        "--document",
        document,
        "--purpose",
        "TREAT",
        "--out",
        out,
    ]
}

fn on_demand(listed: &Value) -> Result<&str, Failure> {
    let made = |document: &&Value| document["on_demand"] == true;
    let found = list(listed, "documents")?.iter().find(made);
    text(
        found.ok_or_else(|| unlike("the record as a whole is not offered"))?,
        "id",
    )
}

fn of_type<'a>(listed: &'a Value, code: &str) -> Result<&'a str, Failure> {
    let is = |document: &&Value| document["type"]["code"] == code && document["on_demand"] != true;
    let found = list(listed, "documents")?.iter().find(is);
    text(
        found.ok_or_else(|| unlike(format!("no document of type {code} is offered")))?,
        "id",
    )
}
