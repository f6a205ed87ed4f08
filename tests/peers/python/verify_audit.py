#!/usr/bin/env python3
"""Verifies what an audit log proves of itself, with exported files and nothing else.

  verify_audit.py entry   --key LOG.vkey [--leaf HEX] PROOF...
  verify_audit.py growth  --key LOG.vkey --earlier CHECKPOINT PROOF
  verify_audit.py promise --key LOG.vkey --promise PROMISE PROOF
  verify_audit.py fork    --key LOG.vkey CHECKPOINT CHECKPOINT

LOG.vkey is what `chartmesh audit key` prints, CHECKPOINT what `chartmesh audit checkpoint` prints, PROOF what
`chartmesh audit prove` writes, PROMISE what `chartmesh audit promise` writes at whoever received a document. Prints a line a
proof; ends with 0 if all hold, 1 if one proves nothing, 2 for wrong usage, 3 if it is proved that the log broke a promise or
has two states.

Written from c2sp.org/tlog-proof, tlog-checkpoint, tlog-witness and signed-note, RFC 9162 and proto/README.md alone; needs PyNaCl
for Ed25519.
"""

import argparse
import base64
import binascii
import hashlib
import pathlib
import re
import sys

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

ED25519 = b"\x01"
DASH = "— "
PROMISE = "chartmesh-promise/1"
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class Rejected(Exception):
    """What was offered proves nothing."""


def need(holds, why):
    if not holds:
        raise Rejected(why)


def decoded(text, length=None):
    """Base64 in its one form: what is decoded must encode to the same text."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("not base64") from None
    need(base64.b64encode(value).decode() == text, "base64 in another form")
    need(length is None or len(value) == length, "a value of another length")
    return value


def number(text):
    need(NUMBER.fullmatch(text), "not a number in its one form")
    return int(text)


class Log:
    """A log as its verifier key names it."""

    def __init__(self, line):
        parts = line.rstrip("\n").split("+", 2)
        need(len(parts) == 3, "not a verifier key")
        self.name, key_id, value = parts
        value = decoded(value, 33)
        need(value[:1] == ED25519, "not an Ed25519 key")
        digest = hashlib.sha256(self.name.encode() + b"\n" + value).digest()
        self.key_id, self.key = digest[:4], VerifyKey(value[1:])
        need(self.key_id.hex() == key_id, "the key id is another key's")

    def note(self, note):
        """The lines of a text that this log signed."""
        text, gap, signatures = note.rpartition("\n\n")
        need(gap and signatures.endswith("\n"), "not a signed note")
        text += "\n"
        own = []
        for line in signatures[:-1].split("\n"):
            need(line.startswith(DASH), "not a signature line")
            name, space, value = line[len(DASH):].partition(" ")
            need(space and name, "not a signature line")
            value = decoded(value)
            if name == self.name and value[:4] == self.key_id:
                own.append(value[4:])
        need(len(own) == 1 and len(own[0]) == 64, "the log has not signed it")
        try:
            self.key.verify(text.encode(), own[0])
        except BadSignatureError:
            raise Rejected("the signature does not hold") from None
        return text[:-1].split("\n")

    def checkpoint(self, note):
        """Size and root of a checkpoint that this log signed."""
        lines = self.note(note)
        need(len(lines) >= 3 and lines[0] == self.name, "the checkpoint of another log")
        return number(lines[1]), decoded(lines[2], 32)

    def promise(self, note):
        """Index and leaf of an entry that this log promised."""
        lines = self.note(note)
        need(len(lines) == 5 and lines[:2] == [PROMISE, self.name], "no promise of this log")
        number(lines[4])
        return number(lines[2]), decoded(lines[3], 32)


def leaf_hash(record):
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def included(leaf, index, size, path, root):
    """RFC 9162, 2.1.3.2."""
    need(index < size, "no entry under this checkpoint")
    node, last, value = index, size - 1, leaf
    for sibling in path:
        need(last != 0, "a path that is too long")
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0, "a path that is too short")
    need(value == root, "the path leads to another root")


def grown(earlier, earlier_root, size, root, path):
    """RFC 9162, 2.1.4.2."""
    need(0 < earlier <= size, "no earlier size of this log")
    if earlier == size:
        need(not path and earlier_root == root, "one size and two roots")
        return
    path = list(path)
    if earlier & (earlier - 1) == 0:
        path.insert(0, earlier_root)
    need(path, "a path that is too short")
    node, last = earlier - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        need(last != 0, "a path that is too long")
        if node & 1 or node == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0, "a path that is too short")
    need(before == earlier_root, "the log did not grow out of the earlier checkpoint")
    need(after == root, "the path leads to another root")


def hashes(lines):
    """The hashes up to the empty line, and what stands behind it."""
    end = lines.index("") if "" in lines else -1
    need(0 <= end <= 63, "no end of the path")
    return [decoded(line, 32) for line in lines[:end]], "\n".join(lines[end + 1:])


def text_of(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Rejected("not UTF-8") from None


def entry(log, data, leaf=None):
    """The leaf of the entry that a proof proves to stand in a log, its index, and the checkpoint's size."""
    lines = text_of(data).split("\n")
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a proof")
    enclosed = None
    if lines and lines[0].startswith("extra "):
        enclosed = leaf_hash(decoded(lines.pop(0)[len("extra "):]))
    need(lines and lines[0].startswith("index "), "no index")
    index = number(lines.pop(0)[len("index "):])
    path, note = hashes(lines)
    need(enclosed or leaf, "no record enclosed and no leaf given")
    need(not enclosed or not leaf or enclosed == leaf, "the record is another than the leaf's")
    size, root = log.checkpoint(note)
    included(enclosed or leaf, index, size, path, root)
    return enclosed or leaf, index, size


def growth(log, data, earlier_note):
    """The sizes between which a log is proved to have only grown."""
    earlier, earlier_root = log.checkpoint(text_of(earlier_note))
    lines = text_of(data).split("\n")
    need(lines[0].startswith("old "), "not a proof of growth")
    need(number(lines.pop(0)[len("old "):]) == earlier, "it starts at another size")
    path, note = hashes(lines)
    size, root = log.checkpoint(note)
    grown(earlier, earlier_root, size, root, path)
    return earlier, size


def promised(log, data, promise):
    """Whether a log kept a promise: it is proved to have the promised leaf in the promised place, or another."""
    wanted, leaf = log.promise(text_of(promise))
    found, index, _ = entry(log, data)
    need(index == wanted, "the proof is about another entry than the promise")
    return found == leaf


def forked(log, one, other):
    """Whether two checkpoints of one size are of two logs."""
    sizes, roots = zip(*(log.checkpoint(text_of(note)) for note in (one, other)))
    need(sizes[0] == sizes[1], "two sizes: only a proof of growth can tell")
    return roots[0] != roots[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_entry = commands.add_parser("entry")
    of_entry.add_argument("--leaf", type=bytes.fromhex)
    of_growth = commands.add_parser("growth")
    of_growth.add_argument("--earlier", type=pathlib.Path, required=True)
    of_promise = commands.add_parser("promise")
    of_promise.add_argument("--promise", type=pathlib.Path, required=True)
    of_fork = commands.add_parser("fork")
    for command in (of_entry, of_growth, of_promise, of_fork):
        command.add_argument("--key", type=pathlib.Path, required=True)
        command.add_argument("proof", type=pathlib.Path, nargs=2 if command is of_fork else "+")
    words = parser.parse_args()
    files = [words.proof] if words.command == "fork" else [[path] for path in words.proof]
    return max(judge(words, paths) for paths in files)


def judge(words, paths):
    """Says what one proof comes to: 0, 1 or 3."""
    name = " ".join(map(str, paths))
    try:
        log = Log(text_of(words.key.read_bytes()))
        data = [path.read_bytes() for path in paths]
        if words.command == "promise" and not promised(log, data[0], words.promise.read_bytes()):
            print(f"{name}: BROKEN: the log {log.name} promised another entry in this place")
            return 3
        if words.command == "fork" and forked(log, *data):
            print(f"{name}: FORKED: the log {log.name} signed two states of one size")
            return 3
        if words.command == "growth":
            earlier, size = growth(log, data[0], words.earlier.read_bytes())
            said = f"grew from {earlier} to {size}"
        elif words.command == "fork":
            said = "one state"
        else:
            leaf, index, size = entry(log, data[0], getattr(words, "leaf", None))
            said = f"entry {index} of {size}, leaf {leaf.hex()}"
        print(f"{name}: holds: {said}, log {log.name}")
        return 0
    except Rejected as why:
        print(f"{name}: REJECTED: {why}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
