"""What a member believes of its network: charters, credentials, who was revoked (8)."""

from . import signed, text
from .protos import body as proto

CLOCK_WINDOW_MS = 300_000


class Broken(Exception):
    """The other end broke a rule of the protocol."""


def expect(holds: bool, what: str):
    if not holds:
        raise Broken(what)


def _ascending(keys) -> bool:
    return all(earlier < later for earlier, later in zip(keys, keys[1:]))


class Network:
    """A network, by the chain of its charters (8.1)."""

    def __init__(self, id: bytes, genesis, later=()):
        expect(text.sha256(genesis.body) == id, "another network's charter")
        charter = signed.verify_all(genesis, proto.Charter, id)
        expect(charter.version == 0 and not charter.network and not charter.previous, "no genesis")
        self._check_terms(charter)
        expect(self._signed_by(charter, _signers(genesis)), "too few signed the genesis")
        self.id, self.chain, self.envelopes = id, [charter], [genesis]
        for envelope in later:
            self.follow(envelope)

    @property
    def charter(self):
        return self.chain[-1]

    @property
    def charter_hash(self) -> bytes:
        return text.sha256(self.envelopes[-1].body)

    def follow(self, envelope):
        """Takes the next version, signed by the authorities in force or by recovery keys."""
        before, after = self.charter, signed.verify_all(envelope, proto.Charter, self.id)
        self._check_terms(after)
        named = (after.version, after.network, after.previous)
        expect(named == (before.version + 1, self.id, self.charter_hash), "not the next version")
        fixed = (list(after.recovery_key), after.test) == (list(before.recovery_key), before.test)
        expect(fixed and before.counts_from <= after.counts_from <= after.version, "what may not change")
        signers, new = _signers(envelope), set(after.authority) - set(before.authority)
        expect(new <= signers, "an authority that comes in did not sign")
        recovering = signers & set(before.recovery_key)
        if recovering:
            expect(2 * len(recovering) > len(before.recovery_key), "too few recovery keys signed")
            allowed = set(before.recovery_key) | set(before.authority) | new
        else:
            expect(len(signers & set(before.authority)) >= before.threshold, "too few signed the charter")
            allowed = set(before.authority) | new
        expect(signers <= allowed, "somebody signed who may not")
        self.chain.append(after)
        self.envelopes.append(envelope)

    def _check_terms(self, charter):
        for keys in (charter.authority, charter.recovery_key, charter.status_key):
            expect(_ascending(list(keys)), "keys out of order")
        count = len(charter.authority)
        expect(0 < count <= 64 and count < 2 * charter.threshold <= 2 * count, "no quorum")

    def _signed_by(self, charter, signers: set) -> bool:
        return signers <= set(charter.authority) and len(signers) >= charter.threshold

    def _check_quorum(self, envelope):
        counting = [charter for charter in self.chain if charter.version >= self.charter.counts_from]
        expect(any(self._signed_by(charter, _signers(envelope)) for charter in counting), "no quorum signed")

    def credential(self, envelope, now: int):
        self._check_quorum(envelope)
        credential = signed.verify_all(envelope, proto.Credential, self.id)
        expect(credential.network == self.id, "another network's credential")
        expect(credential.valid_from_ms <= now < credential.valid_until_ms, "not valid now")
        return credential

    def revocations(self, envelope):
        """Who was thrown out (8.8)."""
        self._check_quorum(envelope)
        revoked = signed.verify_all(envelope, proto.RevocationList, self.id)
        expect(revoked.network == self.id and _ascending(list(revoked.member)), "a malformed list")
        return revoked

    def heartbeat(self, envelope, list_head: tuple, now: int) -> int:
        """When a list was known to be the newest (8.9)."""
        status, threshold = set(self.charter.status_key), self.charter.status_threshold
        if not status:
            status, threshold = set(self.charter.authority), self.charter.threshold
        expect(_signers(envelope) <= status and len(envelope.signature) >= threshold, "no quorum of status keys")
        beat = signed.verify_all(envelope, proto.Heartbeat, self.id)
        expect((beat.version, beat.hash) == list_head and beat.at_ms <= now + CLOCK_WINDOW_MS, "about another list")
        return beat.at_ms


def _signers(envelope) -> set:
    return {one.key for one in envelope.signature}
