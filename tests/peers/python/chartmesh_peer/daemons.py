"""Our real daemons in a directory of their own, driven through their command line."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

START_MAX_S = 30


class Daemons:
    """Starts nodes, and stops and removes all of them at the end."""

    def __init__(self, binaries: pathlib.Path):
        self._binaries, self._running = binaries, []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="chartmesh-daemons-"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name: str, organization: str, kind: str):
        node = Node(self._binaries / "chartmesh", self.folder / name)
        node.run("init", "--name", organization, "--kind", kind, "--address", "1 Main St, Springfield IL",
                 "--phone", "+1 217 555 0101", "--listen", "/ip4/127.0.0.1/tcp/0")
        log = (self.folder / f"{name}.log").open("w")
        environment = {**os.environ, "CHARTMESH_LOG": "info"}
        daemon = [self._binaries / "chartmeshd", "--node", self.folder / name]
        self._running.append(subprocess.Popen(daemon, stderr=log, stdout=log, env=environment))
        deadline = time.monotonic() + START_MAX_S
        while node.status("status") != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not start: {(self.folder / f'{name}.log').read_text()}")
            time.sleep(0.05)
        return node


class Node:
    def __init__(self, binary: pathlib.Path, folder: pathlib.Path):
        self._command = [str(binary), "--node", str(folder), "--output", "json"]
        self.folder = folder

    def run(self, *words: str, stdin: str = "") -> dict:
        done = subprocess.run([*self._command, *words], input=stdin, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{words}: {done.returncode} {done.stdout} {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}

    def status(self, *words: str) -> int:
        return subprocess.run([*self._command, *words], capture_output=True, timeout=60).returncode
