"""Samples both daemons while documents are fetched, and draws what they did; called by `flame.sh`.

The share of a cost is the share of the samples in whose stack it is named first in `COSTS`, so that the shares add up.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import speed

INFERNO = Path(os.environ["INFERNO"])
BYTES = int(os.environ.get("CHARTMESH_FLAME_BYTES", speed.SMALL))
COUNT = int(os.environ.get("CHARTMESH_FLAME_COUNT", "2000"))
WORKERS = int(os.environ.get("CHARTMESH_FLAME_WORKERS", str(speed.WORKERS)))
FREQUENCY = 399
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")

COSTS = [
    ("journal: the sync of a group", r"sync_data|fdatasync|do_fsync"),
    ("journal: sealing, writing, applying", r"journal::Writer"),
    ("index (sled)", r"sled"),
    ("signatures verified", r"verify_signature|verifying::"),
    ("signatures made", r"sign_raw|signing::SigningKey"),
    ("key encapsulation", r"ml_kem|hpke|x25519|x_wing"),
    ("document: AEAD", r"crypto::file|FileOpener|FileSealer"),
    ("document and messages: SHA-256", r"sha2::sha256|crypto::hash"),
    ("connection: Noise", r"snow|ring::aead|ring_core"),
    ("connection: socket", r"tcp_|TcpStream|sock_|__send|__recv"),
    ("connection: Yamux, libp2p", r"yamux|libp2p|multistream"),
    ("admin socket", r"UnixStream|unix_stream"),
    ("gRPC: HTTP/2, tonic", r"h2::|hyper|tonic|tower|axum"),
    ("files", r"store::files|DirDisk"),
    ("node: decisions, encoding, state", r"chartmesh_core|prost|chartmesh_node"),
    ("threads: waiting and waking", r"park|futex|epoll_wait|finish_task_switch|condvar"),
]


def processor_ms(daemon):
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


def piped(source, *command):
    return subprocess.run([str(part) for part in command], input=source, capture_output=True, check=True).stdout


def costs(folded):
    """Share of the samples by cost, of stacks as inferno folds them."""
    named = [(name, re.compile(pattern)) for name, pattern in COSTS]
    counts, total = {}, 0
    for line in folded.decode(errors="replace").splitlines():
        stack, _, count = line.rpartition(" ")
        name = next((name for name, pattern in named if pattern.search(stack)), "other")
        counts[name] = counts.get(name, 0) + int(count)
        total += int(count)
    return {name: count / total for name, count in counts.items()}


def main():
    files = {BYTES: speed.WORK / "document.txt"}
    files[BYTES].write_text(os.urandom(BYTES // 2).hex())
    daemons, patients = speed.nodes(files)

    def fetch(count):
        return speed.fetches(patients, count, BYTES, WORKERS)

    fetch(max(1, COUNT // 10))
    sampling = {}
    for name, daemon in daemons.items():
        command = ["perf", "record", "--quiet", "--freq", str(FREQUENCY), "--call-graph", "dwarf,65528",
                   "--pid", str(daemon.pid), "--output", str(speed.WORK / f"{name}.data")]
        sampling[name] = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(2)
    before = {name: processor_ms(daemon) for name, daemon in daemons.items()}
    took = fetch(COUNT)
    each = {name: (processor_ms(daemon) - before[name]) / COUNT for name, daemon in daemons.items()}
    for sampler in sampling.values():
        sampler.send_signal(signal.SIGINT)
        sampler.wait()

    shares = {}
    for name in daemons:
        script = piped(None, "perf", "script", "--no-inline", "--input", speed.WORK / f"{name}.data")
        folded = piped(script, INFERNO / "inferno-collapse-perf")
        shares[name] = costs(folded)
        title = f"{name}: {COUNT} fetches of {BYTES} bytes, {WORKERS} at a time, {each[name]:.2f} ms each"
        drawn = piped(folded, INFERNO / "inferno-flamegraph", "--title", title)
        speed.OUT.joinpath(f"{name}.svg").write_bytes(drawn)
    report(each, shares, COUNT / took["seconds"])


def report(each, shares, rate):
    who = {"hospital": "holder", "harbor": "asker"}
    lines = [
        f"{COUNT} fetches of {BYTES} bytes, {WORKERS} at a time: {rate:.0f} a second; processor time a fetch "
        + ", ".join(f"{who[name]} {ms:.2f} ms" for name, ms in each.items()),
        "",
        "| cost, µs a fetch | " + " | ".join(who[name] for name in each) + " |",
        "|---|" + "---|" * len(each),
    ]
    total = {cost: sum(shares[name].get(cost, 0) * each[name] for name in each) for cost in [*dict(COSTS), "other"]}
    for cost in sorted(total, key=total.get, reverse=True):
        if total[cost] > 0:
            cells = (f"{1000 * shares[name].get(cost, 0) * each[name]:.0f}" for name in each)
            lines.append(f"| {cost} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    speed.OUT.joinpath("costs.md").write_text(text + "\n")
    print(f"{text}\n\nflame graphs: {speed.OUT}")


speed.ended_with(main)
