"""One interleaved run of the transfers of `performance.md` 8 and 9; called by `speed.sh`.

Every transfer is checked (bytes and hash, or exit code) once before anything is timed. Each round runs every
peer after the other, so that a slow minute of the machine is everybody's. Reported: median and range.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

WORK = Path(os.environ["WORK"])
BIN = Path(os.environ["CHARTMESH_BIN"])
LOAD = os.environ["LOAD"]
OUT = Path(sys.argv[1])
ROUNDS = int(os.environ.get("CHARTMESH_SPEED_ROUNDS", "5"))
SMALL = 20 << 10
BIG = 64 << 20
WORKERS = 16
SMALL_COUNT = 640
# Of one patient one release is made at a time, which would measure nothing but the disk.
GIVEN = "Allegra Brio Calma Dolce Elegia Fermata Gavotta Humora Intrada Jota Kora Lenta Mesta Nona Ottava Piena".split()

children = []


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} {command[1:4]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def start(*command, ready, **options):
    """Starts a server and waits until `ready` says that it serves."""
    child = subprocess.Popen([str(part) for part in command], **options)
    children.append(child)
    deadline = time.monotonic() + 30
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{command[0]} did not start")
        time.sleep(0.05)
    return child


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# ------------------------------------------------------------------ the two nodes


def node(name, *words):
    return json.loads(run(BIN / "chartmesh", "--node", WORK / name, "--output", "json", *words))


def serves(name):
    command = [str(BIN / "chartmesh"), "--node", str(WORK / name), "status"]
    return subprocess.run(command, capture_output=True).returncode == 0


def nodes(files):
    """A hospital that holds the files of a patient for each worker, and an urgent care that may read them."""
    daemons = {}
    for name, kind in (("hospital", "hospital"), ("harbor", "urgent-care")):
        node(name, "init", "--name", name.title(), "--kind", kind, "--listen", "/ip4/127.0.0.1/tcp/0")
        log = (WORK / f"{name}.log").open("w")
        daemons[name] = start(BIN / "chartmeshd", "--node", WORK / name, ready=lambda: serves(name), stderr=log)
    node("hospital", "network", "found", "--name", "speed", "--policy", "opt-in")
    node("harbor", "network", "join", node("hospital", "network", "invite")["ticket"])
    node("hospital", "network", "approve", node("hospital", "network", "requests")["requests"][0]["id"])
    found = []
    for number in range(WORKERS if SMALL in files else 1):
        of = files if number == 0 else {SMALL: files[SMALL]}
        found.append(patient(number, of, node("harbor", "status")["node"]))
    return daemons, found


def patient(number, files, to):
    """A patient of the hospital whom the urgent care may read: the handle, and a document for each file."""
    identifier = {"system": "https://speed.example/mrn", "value": f"S-{number}"}
    person = {
        "resourceType": "Patient",
        "identifier": [identifier],
        "name": [{"family": "Tempo", "given": [GIVEN[number]]}],
        "gender": "female",
        "birthDate": f"{1940 + number}-04-05",
    }
    (WORK / "patient.json").write_text(json.dumps(person))
    known = {one["id"] for one in node("hospital", "patient", "list")["patients"]}
    node("hospital", "import", WORK / "patient.json")
    patient = next(one["id"] for one in node("hospital", "patient", "list")["patients"] if one["id"] not in known)
    added = {
        size: node("hospital", "document", "add", "--patient", patient, "--type", "18842-5", path)["document"]
        for size, path in files.items()
    }
    node("hospital", "consent", "grant", "--patient", patient, "--to", to, "--purpose", "TREAT", "--by", "patient")
    deadline = time.monotonic() + 30
    while True:
        ledger = node(
            "harbor", "locate", "--family", "Tempo", "--given", GIVEN[number], "--birth-date", person["birthDate"],
            "--sex", "F", "--identifier", f"{identifier['system']}={identifier['value']}", "--purpose", "TREAT",
        )
        handles = [line["handle"] for line in ledger["nodes"] if line["answer"] == "match"]
        if handles:
            return handles[0], added
        if time.monotonic() > deadline:
            sys.exit("the hospital does not know the patient")


def fetches(patients, count, size, workers):
    """Fetches through the asking daemon: each worker reads a patient of its own, as far as patients have such a document."""
    words = ["--socket", WORK / "harbor/admin.sock", "--count", count, "--workers", workers, "--bytes", size]
    for handle, documents in patients:
        if size in documents:
            words += ["--handle", handle, "--document", documents[size]]
    return load("fetch", *words)


# ------------------------------------------------------------------ the peers


def certificates():
    keys = WORK / "keys"
    keys.mkdir()
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    run("openssl", "req", "-x509", *curve, "-keyout", keys / "ca.key", "-out", keys / "ca.pem", "-days", "2",
        "-subj", "/CN=speed authority", "-addext", "basicConstraints=critical,CA:TRUE")
    for end in ("server", "client"):
        run("openssl", "req", *curve, "-keyout", keys / f"{end}.key", "-out", keys / f"{end}.csr", "-subj", f"/CN={end}")
        extra = keys / f"{end}.ext"
        extra.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        run("openssl", "x509", "-req", "-in", keys / f"{end}.csr", "-CA", keys / "ca.pem", "-CAkey", keys / "ca.key",
            "-CAcreateserial", "-out", keys / f"{end}.pem", "-days", "2", "-extfile", extra)
        both = (keys / f"{end}.pem").read_text() + (keys / f"{end}.key").read_text()
        (keys / f"{end}-both.pem").write_text(both)
    return keys


def nginx(keys, served):
    port = free_port()
    (WORK / "nginx.conf").write_text(f"""
user root; worker_processes auto; pid {WORK}/nginx.pid; error_log {WORK}/nginx.log; daemon off;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {WORK}/n1; proxy_temp_path {WORK}/n2; fastcgi_temp_path {WORK}/n3;
  uwsgi_temp_path {WORK}/n4; scgi_temp_path {WORK}/n5;
  server {{
    listen 127.0.0.1:{port} ssl; root {served};
    ssl_protocols TLSv1.3; ssl_certificate {keys}/server.pem; ssl_certificate_key {keys}/server.key;
    ssl_client_certificate {keys}/ca.pem; ssl_verify_client on;
  }}
}}
""")
    start("nginx", "-c", WORK / "nginx.conf", ready=lambda: listens(port), stderr=subprocess.DEVNULL)
    return port


def sshd():
    port = free_port()
    for name in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", WORK / f"ssh-{name}")
    (WORK / "authorized").write_text((WORK / "ssh-user.pub").read_text())
    (WORK / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {WORK}/ssh-host\nAuthorizedKeysFile {WORK}/authorized\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    start(shutil.which("sshd"), "-D", "-f", WORK / "sshd.conf", ready=lambda: listens(port), stderr=subprocess.DEVNULL)
    return ["scp", "-q", "-P", str(port), "-i", str(WORK / "ssh-user"), "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def tonic(keys, file):
    child = subprocess.Popen(
        [LOAD, "serve", "--cert", keys / "server.pem", "--key", keys / "server.key", "--ca", keys / "ca.pem", "--file", file],
        stdout=subprocess.PIPE, text=True,
    )
    children.append(child)
    return child.stdout.readline().strip()


# ------------------------------------------------------------------ what is timed


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def to_file(target, expected, *command):
    """A transfer by a command that writes `target`; checked where a hash is expected."""

    def work(check=False):
        target.unlink(missing_ok=True)
        run(*command)
        if check and hashlib.sha256(target.read_bytes()).digest() != expected:
            sys.exit(f"{command[0]} brought other bytes")

    return work


def peak_kib(daemon):
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def syncs_a_second():
    """The machine's own limit for one durable write after the other: 4 KiB and fdatasync."""
    handle = os.open(WORK / "sync", os.O_CREAT | os.O_WRONLY, 0o600)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < 1:
        os.pwrite(handle, b"\0" * 4096, (count % 256) * 4096)
        os.fdatasync(handle)
        count += 1
    os.close(handle)
    return count


def load(*words):
    return json.loads(run(LOAD, *words))


def main():
    served = WORK / "served"
    served.mkdir()
    served.chmod(0o755)
    WORK.chmod(0o711)
    files = {SMALL: served / "small.txt", BIG: served / "big.txt"}
    for size, path in files.items():
        path.write_text(secrets.token_hex(size // 2))
    hashes = {size: hashlib.sha256(path.read_bytes()).digest() for size, path in files.items()}

    daemons, patients = nodes(files)
    handle, documents = patients[0]
    keys = certificates()
    https = f"https://127.0.0.1:{nginx(keys, served)}"
    scp = sshd()
    tonic_ports = {size: tonic(keys, path) for size, path in files.items()}
    tls = ["--cert", keys / "client.pem", "--key", keys / "client.key", "--ca", keys / "ca.pem"]
    curl = ["curl", "-sS", "--fail", "--cacert", keys / "ca.pem", "--cert", keys / "client.pem", "--key", keys / "client.key"]

    def fetch(size):
        return [BIN / "chartmesh", "--node", WORK / "harbor", "--quiet", "fetch", "--handle", handle, "--document",
                documents[size], "--purpose", "TREAT", "--out", WORK / "got"]

    def commands(size):
        name = files[size].name
        return {
            "chartmesh fetch": to_file(WORK / "got", hashes[size], *fetch(size)),
            "curl + nginx": to_file(WORK / "curled", hashes[size], *curl, "-o", WORK / "curled", f"{https}/{name}"),
            "scp": to_file(WORK / "copied", hashes[size], *scp, f"127.0.0.1:{files[size]}", WORK / "copied"),
        }

    def requests_tonic(count, size, workers):
        return load("get", *tls, "--port", tonic_ports[size], "--count", count, "--workers", workers, "--bytes", size)

    def requests_nginx():
        told = run("ab", "-q", "-k", "-n", str(SMALL_COUNT * 8), "-c", str(WORKERS), "-E", keys / "client-both.pem",
                   f"{https}/small.txt")
        if "Failed requests:        0" not in told or f"Document Length:        {SMALL} bytes" not in told:
            sys.exit("ab had failures")
        return float(re.search(r"Requests per second:\s+([\d.]+)", told)[1])

    rows = {}

    def note(row, peer, value):
        rows.setdefault(row, {}).setdefault(peer, []).append(value)

    for size in files:
        for work in commands(size).values():
            work(check=True)
    before = {name: peak_kib(daemon) for name, daemon in daemons.items()}
    for _ in range(ROUNDS):
        for peer, work in commands(BIG).items():
            note("64 MiB, by command (MB/s)", peer, BIG / 1e6 / timed(work))
        took = fetches(patients, 2, BIG, 1)
        note("64 MiB, connection warm (MB/s)", "chartmesh", BIG * took["count"] / 1e6 / took["seconds"])
        took = requests_tonic(4, BIG, 1)
        note("64 MiB, connection warm (MB/s)", "tonic + TLS", BIG * took["count"] / 1e6 / took["seconds"])
        for peer, work in commands(SMALL).items():
            note("20 KiB, by command (ms)", peer, timed(work) * 1e3)
        took = fetches(patients, SMALL_COUNT, SMALL, WORKERS)
        note("20 KiB, 16 at a time (1/s)", "chartmesh", took["count"] / took["seconds"])
        note("20 KiB, 16 at a time (1/s)", "nginx + ab", requests_nginx())
        took = requests_tonic(SMALL_COUNT * 8, SMALL, WORKERS)
        note("20 KiB, 16 at a time (1/s)", "tonic + TLS", took["count"] / took["seconds"])
        note("limit: 4 KiB fdatasync (1/s)", "disk", syncs_a_second())
    after = {name: peak_kib(daemon) for name, daemon in daemons.items()}
    report(rows, {name: (before[name], after[name]) for name in daemons})


def report(rows, memory):
    print(f"\n{ROUNDS} rounds, interleaved; median (least to most)\n")
    for row, peers in rows.items():
        print(row)
        for peer, values in peers.items():
            print(f"  {peer:<16} {statistics.median(values):>10.1f}   ({min(values):.1f} to {max(values):.1f})")
    for name, (before, after) in memory.items():
        print(f"peak memory of the {name}: {before / 1024:.0f} MiB after one fetch of each, {after / 1024:.0f} MiB after all")
    OUT.joinpath("speed.json").write_text(json.dumps({"rows": rows, "peak_kib": memory}, indent=1))
    plot(rows)


def plot(rows):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(rows), figsize=(4 * len(rows), 4), layout="constrained")
    for axis, (row, peers) in zip(axes, rows.items()):
        middle = [statistics.median(values) for values in peers.values()]
        spread = [
            [m - min(v) for m, v in zip(middle, peers.values())],
            [max(v) - m for m, v in zip(middle, peers.values())],
        ]
        axis.bar(range(len(peers)), middle, yerr=spread, capsize=4, color=["#226699"] + ["#bbbbbb"] * (len(peers) - 1))
        axis.set_xticks(range(len(peers)), peers, rotation=20)
        axis.set_title(row, fontsize=10)
    figure.savefig(OUT / "speed.png", dpi=110)
    print(f"plot and figures: {OUT}")


def ended_with(work):
    """Does the work, and ends every child whatever becomes of it."""
    try:
        work()
    finally:
        for child in reversed(children):
            child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


if __name__ == "__main__":
    ended_with(main)
