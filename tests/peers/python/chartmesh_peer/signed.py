"""Signatures over canonical bodies (3, 4, 5)."""

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from .protos import body as proto, encode

DOMAINS = {
    "Charter": "charter", "Credential": "credential", "KeySet": "key-set", "NodeRecord": "node-record",
    "Hello": "hello", "JoinRequest": "join", "JoinAnswer": "join-answer", "MembersRequest": "members",
    "MembersAnswer": "members-answer", "LocateRequest": "locate", "LocateAnswer": "locate-answer",
    "ListRequest": "list", "ListAnswer": "list-answer", "FetchRequest": "fetch", "FetchHead": "fetch-head",
    "ReleaseRequest": "release-request", "ReleaseAnswer": "release-answer", "Refused": "refused",
    "Manifest": "manifest", "Release": "release", "RevocationList": "revocation-list", "Heartbeat": "heartbeat",
    "TrustRequest": "trust", "TrustAnswer": "trust-answer", "CharterRequest": "charters", "CharterAnswer": "charters-answer",
}


class Malformed(Exception):
    """No message of this type in canonical form."""


class Forged(Exception):
    """A signature does not hold, or somebody else signed."""


def domain(name: str) -> str:
    return "chartmesh/1/" + DOMAINS[name]


def signed_bytes(domain: str, network: bytes, body: bytes) -> bytes:
    d = domain.encode()
    return b"chartmesh-sig\0" + bytes([len(d)]) + d + network + len(body).to_bytes(4, "big") + body


def sign_bytes(key: SigningKey, domain: str, network: bytes, body: bytes):
    value = key.sign(signed_bytes(domain, network, body)).signature
    return proto.Signed(body=body, signature=[proto.Signature(key=bytes(key.verify_key), value=value)])


def sign(key: SigningKey, network: bytes, message):
    return sign_bytes(key, domain(type(message).__name__), network, encode(message))


def canonical(kind, data: bytes):
    """Reads a message; its bytes must be the ones its encoding gives (4.2)."""
    try:
        message = kind.FromString(data)
    except Exception as error:  # The runtime raises its own DecodeError.
        raise Malformed(kind.DESCRIPTOR.name) from error
    if encode(message) != data:
        raise Malformed(kind.DESCRIPTOR.name)
    return message


def verify(envelope, kind, network: bytes, signer: bytes):
    """A body that one key signed, and nobody else."""
    if [one.key for one in envelope.signature] != [signer]:
        raise Forged("signer")
    return verify_all(envelope, kind, network)


def verify_all(envelope, kind, network: bytes):
    """A body whose every signature holds; who signed is for the caller to judge."""
    keys = [one.key for one in envelope.signature]
    if not 1 <= len(keys) <= 64 or len(set(keys)) != len(keys):
        raise Forged("signatures")
    message = signed_bytes(domain(kind.DESCRIPTOR.name), network, envelope.body)
    for one in envelope.signature:
        # libsodium refuses what 3.3 refuses: small order, a second form of a key, S beyond the order.
        try:
            VerifyKey(one.key).verify(message, one.value)
        except BadSignatureError as error:
            raise Forged(kind.DESCRIPTOR.name) from error
    return canonical(kind, envelope.body)
