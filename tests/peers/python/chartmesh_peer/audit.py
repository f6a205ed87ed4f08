"""Proofs of a thousand disclosures at both ends, judged by the verifier that has nothing but the exported files."""

import base64
import pathlib
import random
import subprocess
import sys

import verify_audit
from verify_audit import Log, Rejected

from .cases import Cases, equal, holds

DISCLOSURES = 1_000
CHANGES = 1_000
PROGRAM = pathlib.Path(verify_audit.__file__)


def rejected(judge, *files):
    try:
        judge(*files)
    except Rejected:
        return True
    return False


def changed(random_bits, data):
    """The bytes with one bit turned over, anywhere in them."""
    bit = random_bits.randrange(8 * len(data))
    other = bytearray(data)
    other[bit // 8] ^= 1 << bit % 8
    return bytes(other)


def reworded(proof):
    """The proof with the unused bits of its last hash set, which decodes to the same bytes."""
    head, gap, note = proof.partition(b"\n\n")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = letters[letters.index(chr(head[-2])) + 1]
    other = head[:-2] + last.encode() + head[-1:]
    equal(base64.b64decode(other.splitlines()[-1]), base64.b64decode(head.splitlines()[-1]))
    return other + gap + note


def judge_entry(key, proof):
    return verify_audit.entry(Log(verify_audit.text_of(key)), proof)


def judge_growth(key, earlier, proof):
    return verify_audit.growth(Log(verify_audit.text_of(key)), proof, earlier)


def end(cases, folder, seed):
    key = (folder / "log.vkey").read_bytes()
    proofs = [path.read_bytes() for path in sorted(folder.glob("*.tlog-proof"))]
    bits = random.Random(seed)
    with cases.case(f"{folder.name}: {DISCLOSURES} disclosures are proved"):
        equal(len(proofs), DISCLOSURES)
        indices = [judge_entry(key, proof)[1] for proof in proofs]
        equal(len(set(indices)), DISCLOSURES)
    with cases.case(f"{folder.name}: {CHANGES} changes of one bit are rejected"):
        for number in range(CHANGES):
            proof = proofs[number % len(proofs)]
            turned = changed(bits, proof)
            holds(rejected(judge_entry, key, turned), f"change {number} was accepted")
    with cases.case(f"{folder.name}: a hash in another form of base64 is rejected, though it is the same hash"):
        holds(rejected(judge_entry, key, reworded(proofs[0])), "two texts of one proof were accepted")
    with cases.case(f"{folder.name}: another key, a changed key and a leaf of another entry are rejected"):
        for _ in range(100):
            holds(rejected(judge_entry, changed(bits, key), proofs[0]), "a changed key was accepted")
        other = judge_entry(key, proofs[1])[0]
        log = Log(verify_audit.text_of(key))
        holds(not rejected(verify_audit.entry, log, proofs[1], other), "its own leaf was rejected")
        holds(rejected(verify_audit.entry, log, proofs[0], other), "another leaf was accepted")
    with cases.case(f"{folder.name}: that the log only grew is proved, and no change of one bit is accepted"):
        earlier, growth = (folder / "earlier.txt").read_bytes(), (folder / "growth.txt").read_bytes()
        before, after = judge_growth(key, earlier, growth)
        holds(before < after, "it did not grow")
        for _ in range(100):
            holds(rejected(judge_growth, key, changed(bits, earlier), growth), "another beginning was accepted")
            holds(rejected(judge_growth, key, earlier, changed(bits, growth)), "a changed proof was accepted")
    with cases.case(f"{folder.name}: the program ends with 0 for what holds and 1 for what does not"):
        run(folder, key, proofs, bits)
    return key, proofs


def run(folder, key, proofs, bits):
    command = [sys.executable, str(PROGRAM), "entry", "--key", str(folder / "log.vkey")]
    whole = [str(path) for path in sorted(folder.glob("*.tlog-proof"))[:3]]
    equal(subprocess.run(command + whole, capture_output=True, check=False).returncode, 0)
    bad = folder / "changed.bin"
    bad.write_bytes(changed(bits, proofs[0]))
    equal(subprocess.run(command + [*whole, str(bad)], capture_output=True, check=False).returncode, 1)
    bad.unlink()


def promises(cases, key, holder, asker):
    log = Log(verify_audit.text_of(key))
    kept = {path.stem: path.read_bytes() for path in sorted((asker / "promises").glob("*.promise"))}
    proofs = {path.stem: path.read_bytes() for path in holder.glob("*.tlog-proof")}
    bits = random.Random(2)
    with cases.case(f"{DISCLOSURES} promises that the asker holds were kept by the holder"):
        equal(set(kept), set(proofs))
        holds(all(verify_audit.promised(log, proofs[name], kept[name]) for name in kept), "a promise was broken")
    with cases.case(f"{CHANGES} promises with one bit changed are rejected"):
        for name, promise in kept.items():
            holds(rejected(verify_audit.promised, log, proofs[name], changed(bits, promise)), f"{name} was accepted")


def evidence(cases, folder):
    log = Log((folder / "log.vkey").read_text())
    read = lambda name: (folder / name).read_bytes()
    promise = read("disclosure.promise")
    with cases.case("a log that was cut, changed or reordered is convicted by the promise it gave"):
        holds(verify_audit.promised(log, read("kept.tlog-proof"), promise), "the whole log was convicted")
        for name in ["cut", "changed", "reordered"]:
            holds(not verify_audit.promised(log, read(f"{name}.tlog-proof"), promise), f"{name} was not convicted")
    with cases.case("a forked log is convicted by two of its checkpoints"):
        whole, other = read("whole.checkpoint"), read("forked.checkpoint")
        holds(not verify_audit.forked(log, whole, whole), "one state was called two")
        holds(verify_audit.forked(log, whole, other), "two states were called one")
    with cases.case("the program ends with 3 for a promise that was broken and for a fork"):
        program = [sys.executable, str(PROGRAM)]
        key = ["--key", str(folder / "log.vkey")]
        judged = lambda *words: subprocess.run([*program, *words], capture_output=True, check=False).returncode
        of = ["promise", *key, "--promise", str(folder / "disclosure.promise")]
        equal([judged(*of, str(folder / f"{name}.tlog-proof")) for name in ["kept", "cut"]], [0, 3])
        notes = [str(folder / f"{name}.checkpoint") for name in ["whole", "forked"]]
        equal([judged("fork", *key, notes[0], notes[0]), judged("fork", *key, *notes)], [0, 3])


def judge(cases: Cases, folder: pathlib.Path):
    keys, proofs = zip(*(end(cases, folder / name, seed) for seed, name in enumerate(["holder", "asker"])))
    promises(cases, keys[0], folder / "holder", folder / "asker")
    evidence(cases, folder.with_name("audit-evidence"))
    with cases.case("no proof of one end is one of the other's"):
        holds(rejected(judge_entry, keys[0], proofs[1][0]), "the asker's proof holds under the holder's key")
        holds(rejected(judge_entry, keys[1], proofs[0][0]), "the holder's proof holds under the asker's key")
