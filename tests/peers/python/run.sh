#!/usr/bin/env bash
# Runs the Python client against our daemons: vectors, the way of a member, refusals. Prints "N passed, N failed".
#
#   CHARTMESH_PEERS_VENV=DIR   keeps the Python packages there for the next run; else they go with this one
#   CHARTMESH_BIN=DIR          takes chartmesh and chartmeshd from there; else they are built
#
# What is proved of the audit log comes from the simulation, which is built in any case.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)

python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || {
  echo "run.sh: needs Python 3.10 or later with venv" >&2
  exit 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Compiled messages, sockets and nodes go there too.
export TMPDIR=$scratch PYTHONDONTWRITEBYTECODE=1

venv=${CHARTMESH_PEERS_VENV:-$scratch/venv}
wanted=$(sha256sum "$here/requirements.txt")
if [[ ! -f $venv/installed || $(<"$venv/installed") != "$wanted" ]]; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --prefer-binary -r "$here/requirements.txt"
  printf '%s\n' "$wanted" >"$venv/installed"
fi

bin=${CHARTMESH_BIN:-}
if [[ -z $bin ]]; then
  cargo build --locked --bins --manifest-path "$root/Cargo.toml"
  bin=${CARGO_TARGET_DIR:-$root/target}/debug
fi
# The simulation makes a thousand disclosures and exports what both ends prove of them.
target=${CARGO_TARGET_DIR:-$root/target}
cargo test --locked --manifest-path "$root/Cargo.toml" --workspace --test sim proof::
"$venv/bin/python" "$here/run.py" "$bin" "$target/tmp/audit-proofs"
