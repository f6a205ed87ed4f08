"""X-Wing, the part of HPKE that a session needs, and the seal of one message (6).

No published library for Python exports secrets from an HPKE context with X-Wing, so the KEM is put
together here from ML-KEM-768, X25519 and SHA-3, and checked against the draft's vectors.
"""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .text import mac, sha256

SUITE = 0x647A
ENC_BYTES = 1120
PUBLIC_BYTES = 1216
SUITE_ID = b"HPKE" + bytes.fromhex("647a00010003")
QUESTION, ANSWER = 1, 2


class Unopened(Exception):
    """A seal does not open."""


def _combine(ss_m: bytes, ss_x: bytes, ct_x: bytes, pk_x: bytes) -> bytes:
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + b"\\.//^\\").digest()


class OpeningKey:
    """The private half: a seed of 32 bytes."""

    def __init__(self, seed: bytes):
        expanded = hashlib.shake_256(seed).digest(96)
        self._m = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self._x = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._pk_x = self._x.public_key().public_bytes_raw()
        self.public = self._m.public_key().public_bytes_raw() + self._pk_x

    @classmethod
    def generate(cls):
        return cls(os.urandom(32))

    @property
    def id(self) -> bytes:
        return key_id(self.public)

    def decapsulate(self, enc: bytes) -> bytes:
        ct_m, ct_x = enc[:1088], enc[1088:]
        ss_x = self._x.exchange(X25519PublicKey.from_public_bytes(ct_x))
        return _combine(self._m.decapsulate(ct_m), ss_x, ct_x, self._pk_x)


def encapsulate(public: bytes) -> tuple:
    pk_m, pk_x = public[:1184], public[1184:]
    ss_m, ct_m = MLKEM768PublicKey.from_public_bytes(pk_m).encapsulate()
    ephemeral = X25519PrivateKey.generate()
    ct_x = ephemeral.public_key().public_bytes_raw()
    ss_x = ephemeral.exchange(X25519PublicKey.from_public_bytes(pk_x))
    return _combine(ss_m, ss_x, ct_x, pk_x), ct_m + ct_x


def key_id(public: bytes) -> bytes:
    return sha256(public)[:8]


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return mac(salt or bytes(32), b"HPKE-v1" + SUITE_ID + label + ikm)


def _expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    out, block = b"", b""
    while len(out) < length:
        block = mac(prk, block + labeled + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def exporter_secret(shared_secret: bytes, info: bytes) -> bytes:
    """RFC 9180, 5.1, base mode."""
    context = b"\0" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    secret = _extract(shared_secret, b"secret", b"")
    return _expand(secret, b"exp", context, 32)


def export(secret: bytes, context: bytes, length: int) -> bytes:
    """RFC 9180, 5.3."""
    return _expand(secret, b"sec", context, length)


def session_info(network: bytes, recipient: bytes, key_id: bytes) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in (b"chartmesh/1/seal", b"chartmesh/1/session"))
    return labels + network + recipient + key_id


class SessionKeys:
    """Both keys of a session (6.4)."""

    def __init__(self, shared_secret: bytes, info: bytes):
        secret = exporter_secret(shared_secret, info)
        self._keys = {
            QUESTION: export(secret, b"chartmesh/1/session/to", 32),
            ANSWER: export(secret, b"chartmesh/1/session/from", 32),
        }

    def seal(self, direction: int, sealed, plain: bytes, part: int = 0) -> bytes:
        nonce, aad = _around(direction, sealed, part)
        return ChaCha20Poly1305(self._keys[direction]).encrypt(nonce, plain, aad)

    def open(self, direction: int, sealed, part: int = 0) -> bytes:
        nonce, aad = _around(direction, sealed, part)
        try:
            return ChaCha20Poly1305(self._keys[direction]).decrypt(nonce, sealed.ciphertext, aad)
        except InvalidTag as error:
            raise Unopened() from error


def _around(direction: int, sealed, part: int) -> tuple:
    counter = sealed.counter.to_bytes(8, "big")
    aad = bytes([direction]) + sealed.suite.to_bytes(4, "big") + sealed.key_id + sealed.session
    aad += counter + len(sealed.enc).to_bytes(2, "big") + sealed.enc
    return part.to_bytes(4, "big") + counter, aad
