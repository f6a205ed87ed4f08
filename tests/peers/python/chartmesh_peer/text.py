"""Ids as text, tickets, six words (1, 9)."""

import base64
import hashlib
import hmac

import base58
from mnemonic import Mnemonic

PEER_ID_PREFIX = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def to_base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def from_base32(text: str) -> bytes:
    padding = "=" * (-len(text) % 8)
    return base64.b32decode(text.upper() + padding)


def id_text(prefix: str, data: bytes) -> str:
    return prefix + to_base32(data)


def id_bytes(prefix: str, text: str) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(f"no {prefix} id")
    return from_base32(text[len(prefix):])


def node_text(node_key: bytes) -> str:
    return base58.b58encode(PEER_ID_PREFIX + node_key).decode()


class Ticket:
    """A ticket's text (9.1) and what follows from it (9.2)."""

    def __init__(self, text: str):
        text = text.strip().lower()
        if not text.startswith("chartmesh1"):
            raise ValueError("no ticket")
        data = from_base32(text[len("chartmesh1"):])
        if int.from_bytes(data[:2], "big") != len(data):
            raise ValueError("cut off")
        content, checksum = data[:-5], data[-5:]
        if sha256(b"chartmesh/1/ticket-text", content)[:5] != checksum:
            raise ValueError("mistyped")
        self.network = content[2:34]
        self.inviter = content[34:66]
        self.expiry_ms = int.from_bytes(content[66:74], "big")
        self.secret = content[74:90]
        self.addresses = []
        rest = content[91:]
        for _ in range(content[90]):
            self.addresses.append(rest[1:1 + rest[0]])
            rest = rest[1 + rest[0]:]
        if rest:
            raise ValueError("bytes left over")
        self.key = sha256(b"chartmesh/1/ticket", self.secret)
        self.name = sha256(self.key)


def six_words(node_key: bytes, audit_key: bytes, publics: list, member: bytes, organization: bytes) -> str:
    """What two people read to each other (9.5)."""
    keys = sha256(audit_key, *publics)
    digest = sha256(b"chartmesh/1/join-words", node_key, keys, member, organization)
    bits = int.from_bytes(digest, "big")
    words = Mnemonic("english").wordlist
    return "_".join(words[bits >> (256 - 11 * (place + 1)) & 0x7FF] for place in range(6))
