"""A member that asks: joining, Hello, sessions and the calls (7 to 13)."""

import os
import time

from nacl.signing import SigningKey

from . import document, seal, signed, text
from .network import Network, expect
from .protos import body as proto, encode, peer as calls
from .transport import Host, Refused

DAY_MS = 86_400_000
MINUTE_MS = 60_000
ANSWERS = {
    "Members": proto.MembersAnswer, "Locate": proto.LocateAnswer, "List": proto.ListAnswer,
    "Fetch": proto.FetchHead, "Release": proto.ReleaseAnswer, "Trust": proto.TrustAnswer,
}
NO_LIST = (0, bytes(32))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Identity:
    """What a node draws once: its keys and member id."""

    def __init__(self, organization):
        self.node = SigningKey.generate()
        self.audit = SigningKey.generate()
        self.opening = seal.OpeningKey.generate()
        self.member = os.urandom(16)
        self.organization = organization
        # Signed by authorities, once this node is admitted.
        self.credential = proto.Signed()

    @property
    def node_key(self) -> bytes:
        return bytes(self.node.verify_key)

    def key_set(self, network: bytes):
        begin = now_ms() - 5 * MINUTE_MS
        key = proto.HpkeKey(id=self.opening.id, suite=seal.SUITE, public=self.opening.public)
        return signed.sign(self.node, network, proto.KeySet(
            member=self.member, sequence=now_ms(), key=[key], audit_key=bytes(self.audit.verify_key),
            valid_from_ms=begin, valid_until_ms=begin + 7 * DAY_MS))

    def words(self) -> str:
        return text.six_words(self.node_key, bytes(self.audit.verify_key), [self.opening.public], self.member,
                              encode(self.organization))


class Applicant:
    """Asks to join with a ticket (9)."""

    def __init__(self, identity: Identity, ticket: text.Ticket, host: Host):
        self._identity, self._ticket = identity, ticket
        self._calls = host.node(ticket.inviter, ticket.addresses, ticket.network)

    def request(self):
        me = self._identity
        request = proto.JoinRequest(
            ticket=self._ticket.name, mac=bytes(32), node_key=me.node_key, member=me.member,
            key_set=me.key_set(self._ticket.network), organization=me.organization, sent_at_ms=now_ms())
        request.mac = text.mac(self._ticket.key, b"chartmesh/1/join\0", self._ticket.inviter, encode(request))
        return request

    def send(self, envelope):
        """Sends a signed request and checks the answer (9.7)."""
        ticket = self._ticket
        reply = self._calls.call("Join", envelope)
        answer = signed.verify(reply, proto.JoinAnswer, ticket.network, ticket.inviter)
        blank = proto.JoinAnswer()
        blank.CopyFrom(answer)
        blank.mac = bytes(32)
        proof = text.mac(ticket.key, b"chartmesh/1/join-answer\0", text.sha256(envelope.body), encode(blank))
        expect(answer.mac == proof, "the inviter does not prove the ticket")
        expect(answer.node_key == ticket.inviter, "another node answered")
        return answer

    def ask(self):
        return self.send(signed.sign(self._identity.node, self._ticket.network, self.request()))

    def admitted(self, answer):
        """What an approval brings, checked."""
        ticket, me = self._ticket, self._identity
        expect(answer.state == proto.JOIN_STATE_APPROVED, "not approved")
        network = Network(ticket.network, answer.charter, answer.later_charter)
        credential = network.credential(answer.credential, now_ms())
        expect((credential.member, credential.node_key) == (me.member, me.node_key), "somebody else's credential")
        me.credential = answer.credential
        return network, answer


class Session:
    """One encapsulation, a counter for each question (6)."""

    def __init__(self, network: bytes, member: bytes, key):
        self.id, self.key_id, self.counter = os.urandom(16), key.id, 0
        shared, self.enc = seal.encapsulate(key.public)
        self.keys = seal.SessionKeys(shared, seal.session_info(network, member, key.id))

    def question(self, plain: bytes):
        sealed = calls.Sealed(suite=seal.SUITE, key_id=self.key_id, session=self.id, counter=self.counter, enc=self.enc)
        self.counter += 1
        sealed.ciphertext = self.keys.seal(seal.QUESTION, sealed, plain)
        return sealed

    def open(self, question, answer) -> bytes:
        for field in ("suite", "key_id", "session", "counter"):
            expect(getattr(question, field) == getattr(answer, field), f"the answer has another {field}")
        expect(not answer.enc, "an answer with an encapsulated key")
        plain = self.keys.open(seal.ANSWER, answer)
        self.enc = b""
        return plain


class Other:
    """Another member, as this one speaks to it: greeted, then in a session (10.6)."""

    def __init__(self, identity: Identity, network: Network, host: Host, known):
        self.identity, self.network, self.host = identity, network, host
        credential = network.credential(known.credential, now_ms())
        self.member, self.node_key = credential.member, credential.node_key
        record = signed.verify(known.node_record, proto.NodeRecord, network.id, self.node_key)
        expect(record.member == self.member, "somebody else's record")
        self.addresses = list(record.address)
        self.calls = host.node(self.node_key, self.addresses, network.id)
        self.challenge, self.session, self.key_set = b"", None, None
        self.user, self.role, self.purpose = os.urandom(16), proto.ROLE_CLINICIAN, proto.PURPOSE_TREAT

    # ------------------------------------------------------------------ Hello

    def head(self, **changed):
        at = now_ms()
        fields = {
            "member": self.identity.member, "key": self.identity.node_key, "network": self.network.id,
            "audience": self.member, "challenge": self.challenge, "sent_at_ms": at, "expiry_ms": at + MINUTE_MS,
        }
        return proto.Head(**{**fields, **changed})

    def own_hello(self, **changed):
        fields = {
            "head": self.head(challenge=b""), "version": 1, "credential": self.identity.credential,
            "key_set": self.identity.key_set(self.network.id), "charter_version": self.network.charter.version,
            "charter_hash": self.network.charter_hash,
        }
        return proto.Hello(**{**fields, **changed})

    def hello(self, message=None):
        question = signed.sign(self.identity.node, self.network.id, message or self.own_hello())
        reply = self.calls.call("Hello", question)
        answer = signed.verify(reply, proto.Hello, self.network.id, self.node_key)
        self._check_answer(answer.head, question)
        credential = self.network.credential(answer.credential, now_ms())
        expect((credential.member, credential.node_key) == (self.member, self.node_key), "somebody else's credential")
        keys = signed.verify(answer.key_set, proto.KeySet, self.network.id, self.node_key)
        expect(keys.member == self.member and keys.valid_from_ms <= now_ms() < keys.valid_until_ms, "key set")
        expect(keys.key[0].suite == seal.SUITE and seal.key_id(keys.key[0].public) == keys.key[0].id, "key")
        self.challenge, self.key_set, self.session = answer.head.next_challenge, keys, None
        return answer

    def _check_answer(self, head, question):
        named = (head.key, head.member, head.network, head.audience)
        expect(named == (self.node_key, self.member, self.network.id, self.identity.member), "the answer's head")
        expect(head.answers == text.sha256(question.body), "the answer is to another question")
        expect(not head.challenge, "an answer with a challenge")

    # ------------------------------------------------------------------ sealed calls

    def sign(self, message, domain: str = ""):
        name = domain or signed.domain(type(message).__name__)
        data = message if isinstance(message, bytes) else encode(message)
        return signed.sign_bytes(self.identity.node, name, self.network.id, data)

    def seal(self, envelope):
        if not self.challenge:
            self.hello()
        if self.session is None:
            self.session = Session(self.network.id, self.member, self.key_set.key[0])
        return self.session.question(encode(envelope))

    def open(self, name: str, envelope, question, answer):
        """The answer inside, or the refusal raised."""
        plain = signed.canonical(proto.Signed, self.session.open(question, answer))
        try:
            message = signed.verify(plain, ANSWERS[name], self.network.id, self.node_key)
        except signed.Forged:
            message = signed.verify(plain, proto.Refused, self.network.id, self.node_key)
        self._check_answer(message.head, envelope)
        self.challenge = message.head.next_challenge
        if isinstance(message, proto.Refused):
            code = proto.PeerCode.Name(message.code).removeprefix("PEER_CODE_")
            raise Refused(code, sealed=True, now_ms=message.now_ms)
        self.last_body = plain.body
        return message

    def send(self, name: str, envelope):
        question = self.seal(envelope)
        return self.open(name, envelope, question, self.calls.call(name, question))

    def ask(self, name: str, build):
        """Asks; where the other end has forgotten us, says Hello and asks once more (15.5)."""
        if not self.challenge:
            self.hello()
        try:
            return self.send(name, self.sign(build(self.head())))
        except Refused as refusal:
            if refusal.code != "STALE":
                raise
        self.hello()
        return self.send(name, self.sign(build(self.head())))

    # ------------------------------------------------------------------ the calls

    def members(self) -> list:
        known, after = [], b""
        while True:
            page = self.ask("Members", lambda head: proto.MembersRequest(head=head, after=after))
            known += page.known
            if not page.more or not page.known:
                return known
            after = signed.canonical(proto.Credential, page.known[-1].credential.body).member

    def trust(self) -> tuple:
        """Who was thrown out, the head of that list, and when that was known to be all (11.4)."""
        answer = self.ask("Trust", lambda head: proto.TrustRequest(head=head))
        revoked, head = [], NO_LIST
        if answer.HasField("revocations"):
            known = self.network.revocations(answer.revocations)
            revoked, head = list(known.member), (known.version, text.sha256(answer.revocations.body))
            expect((answer.list.version, answer.list.hash) == head, "the list's head")
        at_ms = self.network.heartbeat(answer.heartbeat, head, now_ms()) if answer.HasField("heartbeat") else 0
        expect(answer.heartbeat_at_ms == at_ms, "the heartbeat's time")
        return revoked, head, at_ms

    def charters(self, after: int) -> list:
        """The versions of the charter above one (8.6)."""
        request = proto.CharterRequest(head=self.head(audience=bytes(16), challenge=b""), after=after)
        question = signed.sign(self.identity.node, self.network.id, request)
        reply = self.calls.call("Charters", question)
        answer = signed.verify(reply, proto.CharterAnswer, self.network.id, self.node_key)
        self._check_answer(answer.head, question)
        return list(answer.charter)

    def locate_request(self, head, demographics, **changed):
        fields = {
            "head": head, "query": os.urandom(16), "purpose": self.purpose, "user": self.user, "role": self.role,
            "demographics": demographics, "deadline_ms": 10_000,
        }
        return proto.LocateRequest(**{**fields, **changed})

    def locate(self, demographics, **changed):
        answer = self.ask("Locate", lambda head: self.locate_request(head, demographics, **changed))
        expect(len(self.last_body) == 4_096 and not any(answer.padding), "a locate answer of another size")
        return answer

    def _about(self, head, handle: bytes) -> dict:
        return {"head": head, "handle": handle, "purpose": self.purpose, "user": self.user, "role": self.role}

    def list_request(self, head, handle: bytes, **changed):
        return proto.ListRequest(**{**self._about(head, handle), **changed})

    def list(self, handle: bytes, **changed):
        return self.ask("List", lambda head: self.list_request(head, handle, **changed))

    def open_fetch(self, handle: bytes, id: bytes, resume: tuple = (b"", 0)):
        """The head of a fetch, and what follows it."""
        if not self.challenge:
            self.hello()
        request = proto.FetchRequest(**self._about(self.head(), handle), document=id, resume_root=resume[0],
                                     resume_chunk=resume[1])
        envelope = self.sign(request)
        question = self.seal(envelope)
        parts = self.calls.fetch(question)
        first = next(parts)
        expect(first.WhichOneof("part") == "head", "a fetch without a head")
        return self.open("Fetch", envelope, question, first.head), parts

    def fetch(self, handle: bytes, id: bytes, part: list = (), root: bytes = b""):
        """Ciphertext, checked chunk by chunk (13.5); with the chunks of an earlier try, the rest."""
        head, parts = self.open_fetch(handle, id, (root, len(part)) if part else (b"", 0))
        return self.receive(handle, head, parts, list(part), root)

    def receive(self, handle, head, parts, part, root):
        manifest = signed.verify(head.manifest, proto.Manifest, self.network.id, self.node_key)
        expect(manifest.member == self.member, "another holder's manifest")
        expect(head.subject == text.sha256(b"chartmesh/1/subject", handle)[:16], "about somebody else")
        expect(head.chunks == document.chunk_count(manifest.sealed_size), "chunks")
        expect(head.from_chunk in (0, len(part)), "from_chunk")
        expect(head.from_chunk == 0 or manifest.root == root, "resumed another file")
        chunks, leaves = part[:head.from_chunk], b""
        for one in parts:
            kind = one.WhichOneof("part")
            if kind == "leaves":
                expect(not chunks[head.from_chunk:] and 0 < len(one.leaves) <= 32_768, "leaves")
                leaves += one.leaves
                continue
            expect(kind == "chunk" and len(leaves) == 32 * head.chunks, "a chunk before its leaf")
            expect(one.chunk.index == len(chunks), "chunks out of order")
            chunks.append(one.chunk.data)
            expect(document.leaf_hash(chunks[-1]) == leaves[32 * len(chunks) - 32:32 * len(chunks)], "a chunk's hash")
        hashes = [leaves[at:at + 32] for at in range(0, len(leaves), 32)]
        expect(document.root(hashes) == manifest.root, "the root")
        expect([document.leaf_hash(chunk) for chunk in chunks] == hashes, "the part file's hashes")
        return Received(head, manifest, chunks)

    def release_request(self, head, handle, id, received, **changed):
        fields = {
            **self._about(head, handle), "document": id, "disclosure": received.head.disclosure,
            "manifest_hash": text.sha256(received.head.manifest.body), "root": received.manifest.root,
        }
        return proto.ReleaseRequest(**{**fields, **changed})

    def release(self, handle: bytes, id: bytes, received, **changed):
        """The key, and with it the document (13.7)."""
        answer = self.ask("Release", lambda head: self.release_request(head, handle, id, received, **changed))
        release = signed.verify(answer.release, proto.Release, self.network.id, self.node_key)
        named = (release.holder, release.asker, release.disclosure)
        expect(named == (self.member, self.identity.member, received.head.disclosure), "another disclosure")
        manifest_hash = text.sha256(received.head.manifest.body)
        expect(release.receipt == text.sha256(release.salt, manifest_hash), "the receipt")
        plain = document.open_file(answer.content_key, b"".join(received.chunks), received.manifest.size)
        expect(text.sha256(plain) == received.manifest.plain_sha256, "the plaintext's hash")
        return plain, release


class Received:
    """Ciphertext that is all here."""

    def __init__(self, head, manifest, chunks):
        self.head, self.manifest, self.chunks = head, manifest, chunks
