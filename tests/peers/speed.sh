#!/usr/bin/env bash
# Documents side by side: chartmesh, curl and nginx with mutual TLS, tonic with mutual TLS, scp.
# speed.sh [OUT]: one interleaved run on loopback; table on standard output, speed.json and speed.png in OUT.
# Installs what it compares with (nginx, ab, sshd by apt; matplotlib into a temporary environment) and builds
# both sides for release. $CHARTMESH_SPEED_ROUNDS (5) and $CHARTMESH_BIN (built here otherwise) may be set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$(mkdir -p "${1:-$root/target/speed}" && cd "${1:-$root/target/speed}" && pwd)

PATH=$PATH:/usr/sbin
"$root/.ci/prepare.sh" curl openssl nginx ab:apache2-utils sshd:openssh-server scp:openssh-client

target=${CARGO_TARGET_DIR:-$root/target}
if [[ -z ${CHARTMESH_BIN:-} ]]; then
  cargo build --locked --release --manifest-path "$root/Cargo.toml" --workspace --bins --target-dir "$target"
  export CHARTMESH_BIN=$target/release
fi
cargo build --locked --release --manifest-path "$here/speed/Cargo.toml" --target-dir "$target/speed-load"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/speed/requirements.txt"
LOAD=$target/speed-load/release/chartmesh-speed WORK=$work "$work/python/bin/python" "$here/speed/speed.py" "$out"
