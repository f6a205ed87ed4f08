"""Document files and the trees over them (13)."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .text import sha256

MAGIC = bytes.fromhex("434d444f43000001")
HEADER_BYTES = 56
CHUNK_BYTES = 65_536
SEALED_CHUNK_BYTES = CHUNK_BYTES + 16


class Damaged(Exception):
    """The bytes are not what was sealed or signed."""


def padded_len(size: int) -> int:
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    kept = exponent.bit_length()
    mask = (1 << (exponent - kept)) - 1
    return (size + mask) & ~mask


def chunk_count(sealed_size: int) -> int:
    """The header, and each sealed chunk."""
    return 1 + max(1, -(-(sealed_size - HEADER_BYTES) // SEALED_CHUNK_BYTES))


def split(file: bytes) -> list:
    payload = file[HEADER_BYTES:]
    parts = [payload[at:at + SEALED_CHUNK_BYTES] for at in range(0, len(payload), SEALED_CHUNK_BYTES)]
    return [file[:HEADER_BYTES], *parts]


def leaf_hash(content: bytes) -> bytes:
    return sha256(b"\0", content)


def root(leaves: list) -> bytes:
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\1", root(leaves[:middle]), root(leaves[middle:]))


def root_by_proof(leaf: bytes, index: int, size: int, proof: list) -> bytes:
    """RFC 9162, 2.1.3.2."""
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if node & 1 or node == last:
            value = sha256(b"\1", sibling, value)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            value = sha256(b"\1", value, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise Damaged("the proof is too short")
    return value


def _derive(key: bytes, nonce: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=nonce, info=info).derive(key)


def open_file(key: bytes, file: bytes, size: int) -> bytes:
    """Commitment, every chunk, length, padding; in this order."""
    if file[:8] != MAGIC or len(file) < HEADER_BYTES + 16:
        raise Damaged("no document file")
    nonce, commitment = file[8:24], file[24:56]
    if _derive(key, nonce, b"chartmesh/1/commit") != commitment:
        raise Damaged("another key")
    cipher = ChaCha20Poly1305(_derive(key, nonce, b"payload"))
    chunks, plain = split(file)[1:], b""
    for number, chunk in enumerate(chunks):
        is_last = number == len(chunks) - 1
        try:
            content = cipher.decrypt(number.to_bytes(11, "big") + bytes([is_last]), chunk, None)
        except InvalidTag as error:
            raise Damaged(f"chunk {number + 1}") from error
        if is_last and not content and number > 0:
            raise Damaged("an empty chunk")
        plain += content
    if len(plain) != padded_len(size) or any(plain[size:]):
        raise Damaged("padding")
    return plain[:size]
