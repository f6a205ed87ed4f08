"""What must be refused, with the code that sections 10, 12, 13 and 15 promise.

Each case first makes the same call succeed with one fact changed.
"""

import os

from . import signed, story, text
from .cases import Cases, equal, holds
from .member import Applicant, Identity, Other, Session
from .protos import body as proto, encode, peer as calls
from .transport import Refused

CLOCK_WINDOW_MS = 300_000
UNKNOWN_FIELD = bytes.fromhex("c03e01")


def refused(code: str, sealed: bool, call, *arguments):
    try:
        answer = call(*arguments)
    except Refused as refusal:
        equal((refusal.code, refusal.sealed), (code, sealed))
        return refusal
    raise AssertionError(f"answered {type(answer).__name__}, wanted {code}")


def run(cases: Cases, world, spoken, host_of):
    me, host, kept = spoken
    hospital = kept["hospital"]
    hospital.hello()
    _bodies(cases, hospital, kept)
    _heads(cases, hospital, kept)
    _seals(cases, hospital, kept)
    _hellos(cases, hospital)
    _policy(cases, world, hospital, kept)
    _release(cases, hospital, kept)
    _strangers(cases, world, hospital, kept, host_of)
    _transport(cases, hospital, host)
    _revoked(cases, world, hospital, kept)
    _charters(cases, world, hospital, kept)
    _expelled(cases, world, hospital, kept)


def _listing(hospital, kept, **changed):
    """A list question that succeeds as it is."""
    return hospital.list_request(hospital.head(**changed), kept["handle"])


def _sends(hospital, message, domain: str = ""):
    return hospital.send("List", hospital.sign(message, domain))


def _bodies(cases, hospital, kept):
    with cases.case("a body with an unknown field is MALFORMED"):
        body = encode(_listing(hospital, kept))
        _sends(hospital, body, "chartmesh/1/list")
        refused("MALFORMED", True, _sends, hospital, body + UNKNOWN_FIELD, "chartmesh/1/list")

    with cases.case("a body whose fields stand twice is MALFORMED"):
        body = encode(_listing(hospital, kept))
        head_len = 2 + body[1] if body[1] < 0x80 else 3 + (body[1] & 0x7F) + (body[2] << 7)
        _sends(hospital, body, "chartmesh/1/list")
        refused("MALFORMED", True, _sends, hospital, body[:head_len] + body, "chartmesh/1/list")

    with cases.case("a default that is written out is MALFORMED"):
        body = encode(_listing(hospital, kept))
        refused("MALFORMED", True, _sends, hospital, body + bytes([9 << 3, 0]), "chartmesh/1/list")

    with cases.case("a signature over another domain string is UNAUTHENTICATED"):
        body = encode(_listing(hospital, kept))
        _sends(hospital, body, "chartmesh/1/list")
        refused("UNAUTHENTICATED", True, _sends, hospital, body, "chartmesh/1/locate")

    with cases.case("a question of another call is UNAUTHENTICATED"):
        envelope = hospital.sign(_listing(hospital, kept))
        hospital.send("List", envelope)
        refused("UNAUTHENTICATED", True, hospital.send, "Members", hospital.sign(_listing(hospital, kept)))

    with cases.case("a signature by another key, or a second one, is UNAUTHENTICATED"):
        other = Identity(story.organization("Somebody Else"))
        message = _listing(hospital, kept)
        own = hospital.sign(message)
        foreign = signed.sign(other.node, hospital.network.id, message)
        hospital.send("List", own)
        refused("UNAUTHENTICATED", True, hospital.send, "List", foreign)
        own.signature.extend(foreign.signature)
        refused("UNAUTHENTICATED", True, hospital.send, "List", own)

    with cases.case("a text, a list or a term beyond its limit is MALFORMED"):
        def asked(**changed):
            return _sends(hospital, hospital.list_request(hospital.head(), kept["handle"], **changed))

        asked(type=["1" * 256], limit=500)
        refused("MALFORMED", True, lambda: asked(type=["1" * 257]))
        refused("MALFORMED", True, lambda: asked(limit=501))
        refused("MALFORMED", True, lambda: asked(type=["18842-5"] * 65))
        refused("MALFORMED", True, lambda: asked(purpose=99))
        refused("MALFORMED", True, lambda: asked(role=0))
        refused("MALFORMED", True, lambda: asked(user=bytes(15)))
        refused("MALFORMED", True, lambda: asked(since="2020-1-1"))

    with cases.case("demographics beyond their limits are MALFORMED"):
        def asked(**changed):
            return hospital.send("Locate", hospital.sign(hospital.locate_request(hospital.head(), story.rosa(**changed))))

        asked(phone=["5" * 256] * 16)
        refused("MALFORMED", True, lambda: asked(phone=["5" * 257]))
        refused("MALFORMED", True, lambda: asked(phone=["5"] * 17))
        refused("MALFORMED", True, lambda: asked(birth_date="1953-13-14"))


def _heads(cases, hospital, kept):
    def asked(**changed):
        return _sends(hospital, _listing(hospital, kept, **changed))

    with cases.case("a question to somebody else, or to nobody, is UNAUTHENTICATED"):
        asked()
        refused("UNAUTHENTICATED", True, lambda: asked(audience=os.urandom(16)))
        refused("UNAUTHENTICATED", True, lambda: asked(audience=bytes(16)))

    with cases.case("a head of another member, key or network is UNAUTHENTICATED"):
        asked()
        refused("UNAUTHENTICATED", True, lambda: asked(member=os.urandom(16)))
        refused("UNAUTHENTICATED", True, lambda: asked(key=os.urandom(32)))
        refused("UNAUTHENTICATED", True, lambda: asked(network=os.urandom(32)))

    with cases.case("another challenge, or none, is STALE"):
        asked()
        refused("STALE", True, lambda: asked(challenge=os.urandom(16)))
        refused("STALE", True, lambda: asked(challenge=b""))

    with cases.case("a clock beyond the window is CLOCK_SKEW, and is told the time"):
        at = hospital.head().sent_at_ms
        near, far = at - CLOCK_WINDOW_MS + 10_000, at - CLOCK_WINDOW_MS - 10_000
        asked(sent_at_ms=near, expiry_ms=near + 60_000)
        refusal = refused("CLOCK_SKEW", True, lambda: asked(sent_at_ms=far, expiry_ms=far + 60_000))
        holds(abs(refusal.now_ms - at) < 10_000, "its time")
        ahead = at + CLOCK_WINDOW_MS + 10_000
        refused("CLOCK_SKEW", True, lambda: asked(sent_at_ms=ahead, expiry_ms=ahead + 60_000))

    with cases.case("a life of more than 120 s, or of less than none, is UNAUTHENTICATED"):
        at = hospital.head().sent_at_ms
        asked(sent_at_ms=at, expiry_ms=at + 120_000)
        refused("UNAUTHENTICATED", True, lambda: asked(sent_at_ms=at, expiry_ms=at + 120_001))
        refused("UNAUTHENTICATED", True, lambda: asked(sent_at_ms=at, expiry_ms=at - 1))


def _seals(cases, hospital, kept):
    def question():
        return hospital.seal(hospital.sign(_listing(hospital, kept)))

    def sent(sealed):
        return hospital.calls.call("List", sealed)

    with cases.case("a question that comes twice is UNAUTHENTICATED"):
        sealed = question()
        sent(sealed)
        refused("UNAUTHENTICATED", False, sent, sealed)

    with cases.case("counters may come in any order, within 1,024"):
        early, late = question(), question()
        sent(late)
        sent(early)
        hospital.session.counter += 1_024
        sent(question())
        hospital.session.counter = late.counter + 1
        refused("UNAUTHENTICATED", False, sent, question())
        hospital.session.counter = late.counter + 1_027

    with cases.case("a changed ciphertext or header is UNAUTHENTICATED"):
        for change in ("ciphertext", "counter"):
            sealed = question()
            changed = calls.Sealed.FromString(encode(sealed))
            if change == "counter":
                changed.counter += 500
            else:
                changed.ciphertext = sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1])
            refused("UNAUTHENTICATED", False, sent, changed)
            sent(sealed)

    with cases.case("a session that is not known is STALE, also under a key that is not the receiver's"):
        sealed = question()
        sent(sealed)
        holds(not sealed.enc, "the session was answered before")
        unknown = calls.Sealed.FromString(encode(question()))
        unknown.session = os.urandom(16)
        refused("STALE", False, sent, unknown)
        other = Session(hospital.network.id, hospital.member, hospital.key_set.key[0])
        other.key_id = os.urandom(8)
        refused("STALE", False, sent, other.question(encode(hospital.sign(_listing(hospital, kept)))))

    with cases.case("another suite, and a session for somebody else, are UNAUTHENTICATED"):
        plain = encode(hospital.sign(_listing(hospital, kept)))
        key = hospital.key_set.key[0]
        sent(Session(hospital.network.id, hospital.member, key).question(plain))
        sealed = Session(hospital.network.id, hospital.member, key).question(plain)
        sealed.suite = 0x20
        refused("UNAUTHENTICATED", False, sent, sealed)
        refused("UNAUTHENTICATED", False, sent, Session(hospital.network.id, os.urandom(16), key).question(plain))
        refused("UNAUTHENTICATED", False, sent, Session(os.urandom(32), hospital.member, key).question(plain))

    with cases.case("a seal with fields of other lengths is MALFORMED"):
        for field, value in (("key_id", bytes(7)), ("session", bytes(15)), ("enc", bytes(3)), ("ciphertext", b"")):
            sealed = question()
            setattr(sealed, field, value)
            refused("MALFORMED", False, sent, sealed)
        sent(question())

    with cases.case("what a seal opens to must be a canonical Signed"):
        envelope = hospital.sign(_listing(hospital, kept))
        sent(hospital.session.question(encode(envelope)))
        again = encode(hospital.sign(_listing(hospital, kept))) + UNKNOWN_FIELD
        refused("MALFORMED", False, sent, hospital.session.question(again))

    with cases.case("a fifth session ends the oldest"):
        plain = lambda: encode(hospital.sign(_listing(hospital, kept)))  # noqa: E731
        sessions = [Session(hospital.network.id, hospital.member, hospital.key_set.key[0]) for _ in range(5)]
        for one in sessions:
            sent(one.question(plain()))
        refused("STALE", False, sent, sessions[0].question(plain()))
        sent(sessions[1].question(plain()))
        hospital.hello()


def _hellos(cases, hospital):
    def hello(**changed):
        return hospital.hello(hospital.own_hello(**changed))

    with cases.case("a Hello of an older version is VERSION_TOO_OLD"):
        hello()
        refused("VERSION_TOO_OLD", False, lambda: hello(version=0))

    with cases.case("a Hello of a later version, or to somebody else, is UNAUTHENTICATED"):
        hello()
        refused("UNAUTHENTICATED", False, lambda: hello(version=2))
        refused("UNAUTHENTICATED", False, lambda: hello(head=hospital.head(challenge=b"", audience=os.urandom(16))))
        hello(head=hospital.head(challenge=b"", audience=bytes(16)))

    with cases.case("a Hello by a clock beyond the window is CLOCK_SKEW"):
        at = hospital.head().sent_at_ms - CLOCK_WINDOW_MS - 10_000
        head = hospital.head(challenge=b"", sent_at_ms=at, expiry_ms=at + 60_000)
        refused("CLOCK_SKEW", False, lambda: hello(head=head))

    with cases.case("a Hello with a key set that does not hold is NOT_MEMBER"):
        other = Identity(story.organization("Somebody Else"))
        hello()
        refused("NOT_MEMBER", False, lambda: hello(key_set=other.key_set(hospital.network.id)))
        hospital.hello()


def _policy(cases, world, hospital, kept):
    handle = kept["handle"]

    with cases.case("an unknown handle, and a purpose the handle does not cover, are HANDLE_UNKNOWN"):
        hospital.list(handle)
        hospital.list(handle, purpose=proto.PURPOSE_ETREAT)
        refused("HANDLE_UNKNOWN", True, lambda: hospital.list(os.urandom(20)))
        refused("DENIED", True, lambda: hospital.list(handle, purpose=proto.PURPOSE_HPAYMT))
        consent = world.hospital.run("consent", "grant", "--patient", world.patient, "--to", "any", "--purpose", "HPAYMT",
                                     "--by", "patient")["consent"]
        refused("HANDLE_UNKNOWN", True, lambda: hospital.list(handle, purpose=proto.PURPOSE_HPAYMT))
        equal(hospital.locate(story.rosa(), purpose=proto.PURPOSE_HPAYMT).outcome, proto.OUTCOME_MATCH)
        world.hospital.run("consent", "revoke", consent, "--yes")

    with cases.case("an unknown document is HANDLE_UNKNOWN, and the stream ends with the head"):
        refused("HANDLE_UNKNOWN", True, lambda: hospital.fetch(handle, os.urandom(16)))

    with cases.case("a role that does not treat, and break-glass, are DENIED before any look-up"):
        equal(hospital.locate(story.rosa()).outcome, proto.OUTCOME_MATCH)
        for changed in ({"role": proto.ROLE_FRONT_DESK}, {"purpose": proto.PURPOSE_BTG}):
            answer = hospital.locate(story.rosa(), **changed)
            equal((answer.outcome, answer.code), (proto.OUTCOME_REFUSED, proto.PEER_CODE_DENIED))
            nobody = story.rosa(name=[proto.Name(family="Nobody", given=["Known"])])
            answer = hospital.locate(nobody, **changed)
            equal((answer.outcome, answer.code), (proto.OUTCOME_REFUSED, proto.PEER_CODE_DENIED))

    with cases.case("a patient who is concealed is answered like nobody, byte for byte"):
        def told(patient):
            answer = hospital.locate(patient, purpose=proto.PURPOSE_HPAYMT)
            answer.ClearField("head")
            return encode(answer)

        equal(hospital.locate(story.rosa()).outcome, proto.OUTCOME_MATCH)
        concealed = told(story.rosa())
        equal(concealed, told(story.rosa(name=[proto.Name(family="Nobody", given=["Known"])], identifier=[])))
        equal(proto.LocateAnswer.FromString(concealed).outcome, proto.OUTCOME_NONE)


def _release(cases, hospital, kept):
    handle, id = kept["handle"], kept["documents"]["18842-5"].id

    with cases.case("a release is given once for one fetch"):
        received = hospital.fetch(handle, id)
        hospital.release(handle, id, received)
        refused("HANDLE_UNKNOWN", True, lambda: hospital.release(handle, id, received))

    with cases.case("a release of another root is MALFORMED, of another manifest or disclosure HANDLE_UNKNOWN"):
        received = hospital.fetch(handle, id)
        refused("MALFORMED", True, lambda: hospital.release(handle, id, received, root=os.urandom(32)))
        refused("HANDLE_UNKNOWN", True, lambda: hospital.release(handle, id, received, manifest_hash=os.urandom(32)))
        refused("HANDLE_UNKNOWN", True, lambda: hospital.release(handle, id, received, disclosure=os.urandom(16)))
        equal(hospital.release(handle, id, received)[0], story.SUMMARY)


def _strangers(cases, world, hospital, kept, host_of):
    other = Identity(story.organization("Quay Pharmacy"))
    host = host_of(other)
    network, known = hospital.network, kept["hospital_known"]
    # It holds somebody else's credential, as anybody may.
    other.credential = hospital.identity.credential
    stranger = Other(other, network, host, known)

    with cases.case("a stranger's Hello and questions are NOT_MEMBER"):
        hospital.hello()
        refused("NOT_MEMBER", False, stranger.hello)
        stranger.challenge, stranger.key_set = os.urandom(16), hospital.key_set
        refused("NOT_MEMBER", False, lambda: stranger.list(kept["handle"]))

    with cases.case("a ticket serves one applicant, by its own key, and its proof must hold"):
        ticket = text.Ticket(world.clinic.run("network", "invite")["ticket"])
        applicant = Applicant(other, ticket, host)
        body = encode(applicant.request())
        answer = applicant.ask()
        equal(answer.state, proto.JOIN_STATE_PENDING)
        thief = Identity(story.organization("Thief"))
        refused("DENIED", False, Applicant(thief, ticket, host_of(thief)).ask)
        request = applicant.request()
        request.mac = os.urandom(32)
        refused("DENIED", False, applicant.send, signed.sign(other.node, ticket.network, request))
        refused("MALFORMED", False, applicant.send, proto.Signed(body=body[:-1]))
        late = applicant.request()
        late.sent_at_ms -= CLOCK_WINDOW_MS + 10_000
        late.mac = bytes(32)
        late.mac = text.mac(ticket.key, b"chartmesh/1/join\0", ticket.inviter, encode(late))
        refused("CLOCK_SKEW", False, applicant.send, signed.sign(other.node, ticket.network, late))
        story.collect(world, applicant, other.words())

    with cases.case("a stranger has one stream of calls, a member more"):
        ticket = text.Ticket(world.clinic.run("network", "invite")["ticket"])
        fourth = Identity(story.organization("Oak Urgent Care"))
        fourth_host = host_of(fourth)
        equal(Applicant(fourth, ticket, fourth_host).ask().state, proto.JOIN_STATE_PENDING)
        try:
            Applicant(fourth, ticket, fourth_host).ask()
            holds(False, "a second stream was served")
        except ConnectionError:
            pass
        Other(hospital.identity, network, hospital.host, known).hello()

    with cases.case("another member's handle is HANDLE_UNKNOWN"):
        ticket = text.Ticket(world.clinic.run("network", "invite")["ticket"])
        third = Identity(story.organization("Elm Urgent Care"))
        third_host = host_of(third)
        applicant = Applicant(third, ticket, third_host)
        equal(applicant.ask().state, proto.JOIN_STATE_PENDING)
        own_network, _ = story.collect(world, applicant, third.words())
        member = Other(third, own_network, third_host, known)
        kept["third"] = member
        hospital.list(kept["handle"])
        refused("HANDLE_UNKNOWN", True, lambda: member.list(kept["handle"]))
        own = member.locate(story.rosa()).match[0].handle
        refused("DENIED", True, lambda: member.list(own))

    with cases.case("one member's seal is nothing over another's connection"):
        sealed = hospital.seal(hospital.sign(_listing(hospital, kept)))
        refused("STALE", False, member.calls.call, "List", sealed)
        hospital.calls.call("List", sealed)


def _transport(cases, hospital, host):
    own = f"/chartmesh/{hospital.network.id[:8].hex()}/grpc/1"

    with cases.case("another network's stream protocol is not spoken"):
        holds(host.try_protocol(hospital.node_key, hospital.addresses, own), "the own protocol")
        holds(not host.try_protocol(hospital.node_key, hospital.addresses, "/chartmesh/0000000000000000/grpc/1"), "foreign")

    with cases.case("a message above 1 MiB is refused below the protocol, without a code"):
        sealed = hospital.seal(hospital.sign(hospital.locate_request(hospital.head(), story.rosa())))
        sealed.ciphertext = bytes(1 << 20)
        try:
            hospital.calls.call("Locate", sealed)
            holds(False, "a message of 1 MiB was read")
        except ConnectionError as error:
            holds("OUT_OF_RANGE" in str(error), str(error))


def _charters(cases, world, hospital, kept):
    with cases.case("a charter that follows is handed out, and a Hello may go by it"):
        equal(hospital.charters(0), [])
        world.clinic.run("network", "amend", "--policy", "us-treatment", "--yes")
        later = story.wait_for(lambda: hospital.charters(0))
        equal(len(later), 1)
        hospital.network.follow(later[0])
        equal(hospital.network.charter.template, proto.TEMPLATE_US_TREATMENT)
        equal(hospital.own_hello().charter_version, 1)
        hospital.hello()
        equal(hospital.charters(1), [])

    with cases.case("a credential that no known charter's authorities signed is NOT_MEMBER, under an unknown charter UNAUTHENTICATED"):
        me = hospital.identity
        credential = signed.canonical(proto.Credential, me.credential.body)
        forged = signed.sign(me.node, hospital.network.id, credential)
        hospital.hello()
        refused("NOT_MEMBER", False, lambda: hospital.hello(hospital.own_hello(credential=forged)))
        unknown = hospital.own_hello(credential=forged, charter_hash=os.urandom(32))
        refused("UNAUTHENTICATED", False, lambda: hospital.hello(unknown))
        hospital.hello()


def _expelled(cases, world, hospital, kept):
    with cases.case("a member that was revoked is NOT_MEMBER, or has no connection, and the list names it"):
        third = kept["third"]
        third.hello()
        before = hospital.trust()
        equal(before[0], [])
        world.clinic.run("network", "revoke", text.id_text("mem_", third.identity.member), "--reason", "closed", "--yes")
        revoked, head, at_ms = story.wait_for(lambda: (told := hospital.trust())[0] and told)
        equal((revoked, head[0]), ([third.identity.member], 1))
        holds(at_ms >= before[2], "the heartbeat is of the new list")
        try:
            refused("NOT_MEMBER", False, third.hello)
        except ConnectionError:
            pass
        hospital.hello()


def _revoked(cases, world, hospital, kept):
    with cases.case("after a revocation the next release is DENIED, and no key leaves"):
        handle, id = kept["handle"], kept["documents"]["34133-9"].id
        received = hospital.fetch(handle, id)
        world.hospital.run("consent", "revoke", kept["consent"], "--yes")
        refused("DENIED", True, lambda: hospital.release(handle, id, received))
        refused("DENIED", True, lambda: hospital.fetch(handle, id))
        refused("DENIED", True, lambda: hospital.list(handle))

    with cases.case("the holder wrote down what was disclosed, and its log holds"):
        holds(world.hospital.status("audit", "verify") == 0, "the log")
        entries = world.hospital.run("audit", "accounting", "--patient", world.patient)
        holds("Harbor Urgent Care" in str(entries), "the disclosures name who received them")
