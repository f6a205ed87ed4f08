#!/usr/bin/env python3
"""Writes the bill of materials of one of our binaries, as CycloneDX 1.5 JSON, from what cargo itself says.

    sbom.py PACKAGE BINARY OUT

`cargo tree` says what this platform compiles into the binary, build scripts and procedural macros apart,
`cargo metadata` the licences and where they come from, Cargo.lock the checksums. Nothing is written where a
component has no version, no licence or, from the registry, no checksum.
"""

import hashlib
import json
import subprocess
import sys
from datetime import datetime, timezone
from os import environ


def cargo(*arguments):
    for network in (["--offline"], []):
        ran = subprocess.run(
            ["cargo", *arguments, "--locked", *network], capture_output=True, text=True
        )
        if ran.returncode == 0:
            return ran.stdout
    sys.exit(f"sbom: cargo {' '.join(arguments)}: {ran.stderr}")


def key(word):
    """`name vVERSION ...` as `cargo tree` prints it."""
    name, version = word.split()[:2]
    return name, version.removeprefix("v")


def tree(package):
    """What is compiled in, and who uses whom."""
    text = cargo("tree", "-p", package, "-e", "normal,no-proc-macro", "--prefix", "depth", "--no-dedupe", "--format", " {p}")
    uses, above = {}, []
    for line in text.splitlines():
        depth, word = line.split(" ", 1)
        here = key(word)
        uses.setdefault(here, set())
        above = above[: int(depth)]
        if above:
            uses[above[-1]].add(here)
        above.append(here)
    return uses


def locked():
    """The checksums of Cargo.lock, which is read without a TOML parser: Python 3.10 has none."""
    checksums, block = {}, {}
    with open("Cargo.lock", encoding="utf-8") as lock:
        for line in [*lock, "[[package]]"]:
            if line.startswith("[[package]]"):
                if "checksum" in block:
                    checksums[block["name"], block["version"]] = block["checksum"]
                block = {}
            elif " = \"" in line:
                name, value = line.split(" = ", 1)
                block[name] = value.strip().strip('"')
    return checksums


def purl(found):
    return f"pkg:cargo/{found[0]}@{found[1]}"


def component(found, metadata, checksums):
    package = metadata[found]
    licence = package["license"]
    own = package["source"] is None
    problems = [] if licence else ["no licence"]
    if not own and found not in checksums:
        problems.append("no checksum")
    if problems:
        sys.exit(f"sbom: {found[0]} {found[1]}: {', '.join(problems)}")
    entry = {
        "type": "library",
        "bom-ref": purl(found),
        "name": found[0],
        "version": found[1],
        "purl": purl(found),
        "licenses": [{"expression": licence.replace("/", " OR ")}],
    }
    if not own:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksums[found]}]
    if package.get("repository"):
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return entry


def main():
    package, binary, out = sys.argv[1:]
    uses = tree(package)
    packages = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
    metadata = {(p["name"], p["version"]): p for p in packages}
    checksums = locked()
    root = next(found for found in uses if found[0] == package)
    rest = sorted(found for found in uses if found != root)
    # The same sources give the same file, byte for byte.
    seconds = int(environ.get("SOURCE_DATE_EPOCH") or subprocess.check_output(["git", "log", "-1", "--format=%ct"]))
    at = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    main_component = component(root, metadata, checksums) | {"type": "application", "name": binary}
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": at, "component": main_component},
        "components": [component(found, metadata, checksums) for found in rest],
        "dependencies": [
            {"ref": purl(found), "dependsOn": sorted(purl(used) for used in uses[found])}
            for found in [root, *rest]
        ],
    }
    text = json.dumps(bom, indent=1, ensure_ascii=False) + "\n"
    with open(out, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"sbom: {out}: {len(rest)} components, SHA-256 {hashlib.sha256(text.encode()).hexdigest()}")


main()
