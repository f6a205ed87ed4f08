"""The way of a member: invite, join, approve, Hello, members, locate, documents, fetch, release."""

import dataclasses
import os
import threading
import time

from . import document, signed, text
from .cases import Cases, equal, holds
from .daemons import Daemons, Node
from .member import Applicant, Identity, Other, now_ms
from .protos import body as proto
from .transport import Host, Refused

PATIENT = """{ "resourceType": "Patient", "id": "rosa",
  "identifier": [ { "system": "https://brigid.example/mrn", "value": "A-17" } ],
  "name": [ { "family": "Delgado", "given": [ "Rosa" ] } ], "gender": "female", "birthDate": "1953-03-14",
  "address": [ { "line": [ "12 Elm Street" ], "city": "Springfield", "state": "IL", "postalCode": "62704" } ] }"""
SUMMARY = b"Discharge summary: anaphylaxis after penicillin.\n"
# Five chunks of ciphertext and a padding that is not nothing.
SCAN = bytes(index * 7 % 251 for index in range(300_001))


@dataclasses.dataclass
class World:
    """What the cases share."""

    clinic: Node
    hospital: Node
    network_text: str
    patient: str = ""


def organization(name: str):
    return proto.Organization(name=name, kind=proto.KIND_URGENT_CARE, address="3 Quay Rd, Springfield IL",
                              phone="+1 217 555 0103", state="IL", test=True)


def rosa(**changed):
    fields = {
        "name": [proto.Name(family="Delgado", given=["Rosa"])], "birth_date": "1953-03-14", "sex": proto.SEX_FEMALE,
        "identifier": [proto.Identifier(system="https://brigid.example/mrn", value="A-17")],
    }
    return proto.Demographics(**{**fields, **changed})


def prepare(daemons: Daemons) -> World:
    """A clinic that founded the network, and a hospital with a patient and two documents."""
    clinic = daemons.start("clinic", "Maple Family Clinic", "clinic")
    hospital = daemons.start("hospital", "St. Brigid Hospital", "hospital")
    founded = clinic.run("network", "found", "--name", "Springfield exchange", "--policy", "opt-in")
    ticket = clinic.run("network", "invite")["ticket"]
    hospital.run("network", "join", "-", stdin=ticket + "\n")
    approve(clinic, wait_for(lambda: clinic.run("network", "requests")["requests"])[0]["id"])
    wait_for(lambda: hospital.run("status").get("network"))
    file = daemons.folder / "rosa.json"
    file.write_text(PATIENT)
    patient = hospital.run("patient", "add", str(file))["id"]
    for name, code, content in (("summary.txt", "18842-5", SUMMARY), ("scan.txt", "34133-9", SCAN)):
        (daemons.folder / name).write_bytes(content)
        hospital.run("document", "add", "--patient", patient, "--type", code, str(daemons.folder / name))
    return World(clinic, hospital, founded["network"], patient)


def wait_for(found, seconds: float = 20):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        holds(time.monotonic() < deadline, "it did not come about in time")
        time.sleep(0.1)
    return value


def approve(clinic: Node, id: str):
    return clinic.run("network", "approve", id, "--yes")


def collect(world: World, applicant: Applicant, words: str) -> tuple:
    """Is approved at the clinic, and asks until it hears of it."""
    def answered():
        answer = applicant.ask()
        return answer if answer.state != proto.JOIN_STATE_PENDING else None

    # The command returns once the applicant has its credential, or after a while.
    approving = threading.Thread(target=approve, args=(world.clinic, words))
    approving.start()
    try:
        return applicant.admitted(wait_for(answered))
    finally:
        approving.join()


def run(cases: Cases, world: World, seed_host) -> tuple:
    """Returns who speaks to whom, for the cases that come after."""
    me = Identity(organization("Harbor Urgent Care"))
    host = seed_host(me)
    kept = {}

    with cases.case("joins by a ticket, under six words that both ends show"):
        ticket = text.Ticket(world.clinic.run("network", "invite")["ticket"])
        equal(ticket.network.hex(), world.network_text)
        applicant = Applicant(me, ticket, host)
        equal(applicant.ask().state, proto.JOIN_STATE_PENDING)
        shown = world.clinic.run("network", "requests")["requests"]
        equal([one["id"] for one in shown], [me.words()])
        equal(shown[0]["node"], text.node_text(me.node_key))
        equal(applicant.ask().state, proto.JOIN_STATE_PENDING)
        kept["network"], answer = collect(world, applicant, me.words())
        kept["clinic"] = Other(me, kept["network"], host, answer.peer[0])

    with cases.case("says Hello to the inviter, who answers with its own"):
        kept["clinic"].hello()
        equal(len(kept["clinic"].challenge), 16)

    with cases.case("is told that nobody was revoked, and when that was known"):
        revoked, head, at_ms = kept["clinic"].trust()
        equal((revoked, head), ([], (0, bytes(32))))
        holds(abs(at_ms - now_ms()) < 60_000, "a heartbeat of this minute")

    with cases.case("learns of the hospital from the clinic"):
        known = kept["clinic"].members()
        names = {}
        for one in known:
            credential = signed.canonical(proto.Credential, one.credential.body)
            names[credential.organization.name] = one
        equal(sorted(names), ["Harbor Urgent Care", "Maple Family Clinic", "St. Brigid Hospital"])
        kept["hospital_known"] = names["St. Brigid Hospital"]
        kept["hospital"] = Other(me, kept["network"], host, kept["hospital_known"])

    hospital = kept["hospital"]
    with cases.case("is told of one certain match, in 4,096 bytes at a tick"):
        hospital.hello()
        begun = time.monotonic()
        query = os.urandom(16)
        answer = hospital.locate(rosa(), query=query)
        holds(time.monotonic() - begun >= 0.1, "before the tick")
        equal(answer.outcome, proto.OUTCOME_MATCH)
        match = answer.match[0]
        equal((match.grade, match.score_permille, len(match.handle)), (proto.GRADE_CERTAIN, 1_000, 20))
        agreed = {one.attribute for one in match.mirror if one.agreement == proto.AGREEMENT_AGREES}
        holds({proto.ATTRIBUTE_FAMILY, proto.ATTRIBUTE_IDENTIFIER} <= agreed, "the mirror")
        shown = match.demographics
        equal((shown.name[0].family, list(shown.name[0].given)), ("Delgado", ["Rosa"]))
        equal((shown.birth_date, shown.sex), ("1953-03-14", proto.SEX_FEMALE))
        kept["handle"], kept["query"] = match.handle, query

    handle = kept["handle"]
    with cases.case("is told of nobody, in as many bytes"):
        nobody = rosa(name=[proto.Name(family="Nobody", given=["Known"])], identifier=[])
        equal(hospital.locate(nobody).outcome, proto.OUTCOME_NONE)

    with cases.case("is asked for more where less than the least was sent"):
        answer = hospital.locate(rosa(birth_date="", identifier=[]))
        equal(answer.outcome, proto.OUTCOME_MORE_NEEDED)
        holds(proto.ATTRIBUTE_BIRTH_DATE in answer.requested, "the birth date is asked for")

    with cases.case("is denied documents until the patient agrees"):
        try:
            hospital.list(handle)
            holds(False, "the list came without consent")
        except Refused as refusal:
            equal((refusal.code, refusal.sealed), ("DENIED", True))
        consent = world.hospital.run("consent", "grant", "--patient", world.patient, "--to", text.node_text(me.node_key),
                                     "--purpose", "TREAT", "--by", "patient")
        kept["consent"] = consent["consent"]

    with cases.case("lists what the consent opens"):
        listed = hospital.list(handle)
        holds(listed.complete and len(listed.leaf) == 32, "the list is whole")
        equal([one.type.code for one in listed.entry], ["11503-0", "34133-9", "18842-5"])
        kept["documents"] = {one.type.code: one for one in listed.entry}
        only = hospital.list(handle, type=["18842-5"], limit=1)
        equal([(one.size_bytes, one.sha256) for one in only.entry], [(len(SUMMARY), text.sha256(SUMMARY))])
        holds(only.complete, "the narrowed list is whole")
        holds(not hospital.list(handle, limit=1).complete, "a list that was cut says so")

    def fetched(code: str):
        id = kept["documents"][code].id
        received = hospital.fetch(handle, id)
        return hospital.release(handle, id, received)

    with cases.case("fetches a small document, is given its key, opens it"):
        plain, release = fetched("18842-5")
        equal(plain, SUMMARY)
        equal(release.query_hash, text.sha256(kept["query"]))
        equal(text.id_text("con_", release.consent), kept["consent"])
        equal((release.rule, len(release.audit_leaf)), (1, 32))

    with cases.case("fetches a document of several chunks"):
        equal(fetched("34133-9")[0], SCAN)

    with cases.case("fetches the on-demand record"):
        plain, _ = fetched("11503-0")
        holds(b'"resourceType":"Bundle"' in plain.replace(b" ", b""), "a FHIR bundle")

    with cases.case("resumes a fetch where it was cut"):
        id = kept["documents"]["34133-9"].id
        head, parts = hospital.open_fetch(handle, id)
        root = signed.canonical(proto.Manifest, head.manifest.body).root
        had = [part.chunk.data for part in parts if part.WhichOneof("part") == "chunk"][:3]
        received = hospital.fetch(handle, id, had, root)
        equal(received.head.from_chunk, 3)
        equal(hospital.release(handle, id, received)[0], SCAN)
        again = hospital.fetch(handle, id, had, bytes(32))
        equal((again.head.from_chunk, len(again.chunks)), (0, document.chunk_count(again.manifest.sealed_size)))

    return me, host, kept
