"""Every vector of section 19 that concerns a peer, read by this implementation."""

import json
import os
import pathlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.signing import SigningKey

from . import document, seal, signed, text
from .cases import Cases, equal, holds
from .protos import ROOT, body as proto, encode, peer as calls

FOLDER = ROOT / "tests/vectors"


def read(name: str):
    return json.loads((FOLDER / name).read_text())


def unhex(data: dict, *names: str) -> list:
    return [bytes.fromhex(data[name]) for name in names]


def hpke():
    """RFC 9180 with X-Wing, against the vectors of the draft's working group where they are here."""
    name = "data/crypto/hpke-xwing-hkdfsha256-chacha20poly1305.json"
    folders = [pathlib.Path(named) for named in [os.environ.get("CHARTMESH_SHARED")] if named]
    folders += [parent / "shared" for parent in ROOT.parents]
    path = next((folder / name for folder in folders if (folder / name).exists()), None)
    if path is None:
        holds("CHARTMESH_DEMAND_SHARED" not in os.environ, f"no {name}, and it is demanded")
        print(f"        (skipped: no {name})")
        return
    for one in json.loads(path.read_text()):
        if one["mode"] != 0:
            continue
        key, enc, info = seal.OpeningKey(bytes.fromhex(one["skRm"])), *unhex(one, "enc", "info")
        equal(key.public.hex(), one["pkRm"])
        shared = key.decapsulate(enc)
        equal(shared.hex(), one["shared_secret"])
        secret = seal.exporter_secret(shared, info)
        equal(secret.hex(), one["exporter_secret"])
        for exported in one["exports"]:
            context = bytes.fromhex(exported["exporter_context"])
            equal(seal.export(secret, context, exported["L"]).hex(), exported["exported_value"])


def signatures():
    one = read("crypto-signed.json")
    network, body = unhex(one, "network", "body")
    equal(text.sha256(body).hex(), one["hash"])
    for signature in one["signatures"]:
        key = SigningKey(bytes.fromhex(signature["seed"]))
        equal(bytes(key.verify_key).hex(), signature["public"])
        made = key.sign(signed.signed_bytes(one["domain"], network, body)).signature
        equal(made.hex(), signature["value"])
        # OpenSSL agrees with libsodium.
        openssl = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(signature["seed"]))
        equal(openssl.sign(signed.signed_bytes(one["domain"], network, body)), made)


def bodies():
    every = read("wire-bodies.json")
    about = every.pop("_key")
    key, network = SigningKey(bytes.fromhex(about["seed"])), bytes.fromhex(about["network"])
    for name, one in every.items():
        body = bytes.fromhex(one["body"])
        equal(encode(signed.canonical(getattr(proto, name), body)), body)
        if name != "Organization":
            equal(signed.domain(name), one["domain"])
        equal(key.sign(signed.signed_bytes(one["domain"], network, body)).signature.hex(), one["signature"])
    equal(len(bytes.fromhex(every["LocateAnswer"]["body"])), 4_096)
    return every


def tickets():
    one = read("wire-outer.json")
    ticket = text.Ticket(one["ticket"])
    equal((ticket.key.hex(), ticket.name.hex()), (one["ticket_key"], one["ticket_name"]))
    charter = proto.Signed.FromString(bytes.fromhex(one["Signed"]))
    equal(text.sha256(charter.body).hex(), one["network_id"])
    equal(encode(calls.Sealed.FromString(bytes.fromhex(one["Sealed"]))).hex(), one["Sealed"])


def words_of(request) -> str:
    keys = signed.canonical(proto.KeySet, request.key_set.body)
    publics = [key.public for key in keys.key]
    return text.six_words(request.node_key, keys.audit_key, publics, request.member, encode(request.organization))


def words():
    request = proto.JoinRequest.FromString(bytes.fromhex(read("wire-bodies.json")["JoinRequest"]["body"]))
    equal(words_of(request), read("wire-join.json")["join_id"])


def session():
    one = read("crypto-session.json")
    network, recipient, id, enc = unhex(one, "network", "recipient", "session", "enc")
    key = seal.OpeningKey(bytes.fromhex(one["opening_key"]))
    equal((key.public.hex(), key.id.hex()), (one["public"], one["key_id"]))
    keys = seal.SessionKeys(key.decapsulate(enc), seal.session_info(network, recipient, key.id))
    outer = {"suite": seal.SUITE, "key_id": key.id, "session": id}
    question, answer = one["question"], one["answer_without_enc"]
    sealed = calls.Sealed(**outer, counter=question["counter"], enc=enc, ciphertext=bytes.fromhex(question["ciphertext"]))
    equal(keys.open(seal.QUESTION, sealed).hex(), question["plain"])
    equal(keys.seal(seal.QUESTION, sealed, bytes.fromhex(question["plain"])), sealed.ciphertext)
    sealed = calls.Sealed(**outer, counter=answer["counter"], ciphertext=bytes.fromhex(answer["ciphertext"]))
    equal(keys.open(seal.ANSWER, sealed, answer["part"]).hex(), answer["plain"])


def files():
    every = read("crypto-file.json")
    key = bytes.fromhex(every["content_key"])
    for one in every["files"]:
        leaves = [bytes.fromhex(leaf) for leaf in one["leaves"]]
        equal(document.root(leaves).hex(), one["root"])
        equal(document.chunk_count(one["sealed_size"]), len(leaves))
        size = one["size"]
        equal(document.padded_len(size) + 16 * (len(leaves) - 1) + 56, one["sealed_size"])
        if "file" in one:
            file = bytes.fromhex(one["file"])
            equal([document.leaf_hash(chunk) for chunk in document.split(file)], leaves)
            equal(document.open_file(key, file, size), bytes(index % 251 for index in range(size)))


def trees():
    for one in read("spec-tree.json")["trees"]:
        leaves = [bytes.fromhex(leaf) for leaf in one["leaves"]]
        equal(leaves, [document.leaf_hash(bytes([index])) for index in range(one["size"])])
        equal(document.root(leaves).hex(), one["root"])
        for index, proof in enumerate(one["inclusion"]):
            proof = [bytes.fromhex(hash) for hash in proof]
            equal(document.root_by_proof(leaves[index], index, one["size"], proof).hex(), one["root"])


def labels():
    one = read("crypto-row.json")
    handle = bytes.fromhex(one["subject"]["handle"])
    equal(text.sha256(b"chartmesh/1/subject", handle)[:16].hex(), one["subject"]["subject"])
    salt, manifest = unhex(one["receipt"], "salt", "manifest_hash")
    equal(text.sha256(salt, manifest).hex(), one["receipt"]["receipt"])


def checkpoints():
    import base64

    one = read("crypto-checkpoint.json")
    network, member, public = unhex(one, "network", "member", "public")
    origin = f"chartmesh/{network.hex()}/{text.id_text('mem_', member)}"
    journal = one["journal"]
    chain = base64.b64encode(bytes.fromhex(journal["chain"])).decode()
    root = base64.b64encode(bytes.fromhex(one["root"])).decode()
    plain = f"{origin}\n{one['size']}\n{root}\n"
    for lines, note in ((plain, one["note"]),
                        (f"{plain}chartmesh-journal {journal['position']} {chain}\n", one["note_with_journal"])):
        key_id = text.sha256(origin.encode(), b"\n\x01", public)[:4]
        signature = SigningKey(bytes.fromhex(one["seed"])).sign(lines.encode()).signature
        equal(f"{lines}\n— {origin} {base64.b64encode(key_id + signature).decode()}\n", note)


def conversation():
    one = read("spec-conversation.json")
    network = bytes.fromhex(one["network"])
    asker, holder = one["members"]["asker"], one["members"]["holder"]
    nodes = {name: bytes.fromhex(one["members"][name]["node_key"]) for name in ("asker", "holder")}
    equal(text.node_text(nodes["holder"]), holder["node"])
    of = lambda data: proto.Signed.FromString(bytes.fromhex(data))  # noqa: E731
    authority = bytes.fromhex(one["members"]["authority"]["public"])

    charter = signed.verify(of(one["statements"]["charter"]), proto.Charter, network, authority)
    equal(text.sha256(of(one["statements"]["charter"]).body), network)
    for name, key in nodes.items():
        statements = one["statements"][name]
        credential = signed.verify(of(statements["credential"]), proto.Credential, network, authority)
        equal(credential.node_key, key)
        signed.verify(of(statements["key_set"]), proto.KeySet, network, key)
        signed.verify(of(statements["node_record"]), proto.NodeRecord, network, key)

    join = one["join"]
    ticket = text.Ticket(join["ticket"])
    equal((ticket.secret.hex(), ticket.key.hex(), ticket.name.hex()), (join["secret"], join["key"], join["name"]))
    equal((ticket.network, ticket.inviter, ticket.expiry_ms), (network, nodes["holder"], join["expiry_ms"]))
    request = signed.verify(of(join["request"]), proto.JoinRequest, network, nodes["asker"])
    equal(words_of(request), join["words"])
    proof, request.mac = request.mac, bytes(32)
    equal(proof, text.mac(ticket.key, b"chartmesh/1/join\0", nodes["holder"], encode(request)))
    for name in ("pending", "approved"):
        answer = signed.verify(of(join[name]), proto.JoinAnswer, network, nodes["holder"])
        proof, answer.mac = answer.mac, bytes(32)
        asked = text.sha256(of(join["request"]).body)
        equal(proof, text.mac(ticket.key, b"chartmesh/1/join-answer\0", asked, encode(answer)))

    question, answer = of(one["hello"]["question"]), of(one["hello"]["answer"])
    signed.verify(question, proto.Hello, network, nodes["asker"])
    hello = signed.verify(answer, proto.Hello, network, nodes["holder"])
    equal(hello.head.answers, text.sha256(question.body))
    equal(charter.threshold, 1)
    _sealed(one, network, nodes, bytes.fromhex(holder["opening_key"]), bytes.fromhex(holder["member"]))
    holds(asker["member"] != holder["member"], "two members")


def _sealed(one, network, nodes, opening, recipient):
    key = seal.OpeningKey(opening)
    enc = bytes.fromhex(one["session"]["enc"])
    keys = seal.SessionKeys(key.decapsulate(enc), seal.session_info(network, recipient, key.id))
    kinds = {
        "members_exchange": (proto.MembersRequest, proto.MembersAnswer), "locate": (proto.LocateRequest, proto.LocateAnswer),
        "list": (proto.ListRequest, proto.ListAnswer), "refused": (proto.ListRequest, proto.Refused),
        "fetch": (proto.FetchRequest, proto.FetchHead), "release": (proto.ReleaseRequest, proto.ReleaseAnswer),
    }
    said = {}
    for name, (asked, told) in kinds.items():
        question, answer = one[name]["question"], one[name]["answer"]
        for direction, half, kind, who in ((seal.QUESTION, question, asked, "asker"), (seal.ANSWER, answer, told, "holder")):
            sealed = calls.Sealed.FromString(bytes.fromhex(half["sealed"]))
            plain = keys.open(direction, sealed)
            equal(plain.hex(), half["signed"])
            equal(keys.seal(direction, sealed, plain), sealed.ciphertext)
            inside = signed.canonical(proto.Signed, plain)
            said[name, direction] = signed.verify(inside, kind, network, nodes[who])
        equal(said[name, seal.ANSWER].head.answers, text.sha256(bytes.fromhex(question["body"])))
    head = said["fetch", seal.ANSWER]
    manifest = signed.verify(head.manifest, proto.Manifest, network, nodes["holder"])
    chunks = [bytes.fromhex(chunk) for chunk in one["fetch"]["chunks"]]
    hashes = b"".join(document.leaf_hash(chunk) for chunk in chunks)
    equal(hashes.hex(), one["fetch"]["leaves"])
    equal(document.root([document.leaf_hash(chunk) for chunk in chunks]), manifest.root)
    answer = said["release", seal.ANSWER]
    release = signed.verify(answer.release, proto.Release, network, nodes["holder"])
    equal(release.receipt, text.sha256(release.salt, text.sha256(head.manifest.body)))
    equal(release.query_hash, text.sha256(said["locate", seal.QUESTION].query))
    plain = document.open_file(answer.content_key, b"".join(chunks), manifest.size)
    equal(plain.hex(), one["document"]["plain"])


def run(cases: Cases):
    for check in (hpke, signatures, bodies, tickets, words, session, files, trees, labels, checkpoints, conversation):
        with cases.case(f"vectors: {check.__name__}"):
            check()
