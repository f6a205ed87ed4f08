#!/usr/bin/env bash
# Where the processor time of a fetch goes: a flame graph of the holder's daemon and one of the asker's.
# flame.sh [OUT]: hospital.svg, harbor.svg and costs.md in OUT (target/flame); the table on standard output too.
# Installs perf by apt and inferno below the target directory, and builds a release with symbols beside the usual
# one. $CHARTMESH_BIN (built here otherwise; a stripped daemon shows no names) and $CHARTMESH_FLAME_BYTES (20480),
# $CHARTMESH_FLAME_COUNT (2000) and $CHARTMESH_FLAME_WORKERS (16) may be set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
out=$(mkdir -p "${1:-$target/flame}" && cd "${1:-$target/flame}" && pwd)

"$root/.ci/prepare.sh" perf:linux-perf python3
if [[ -z ${CHARTMESH_BIN:-} ]]; then
  CARGO_PROFILE_RELEASE_STRIP=none cargo build --locked --release --manifest-path "$root/Cargo.toml" --workspace --bins \
    --target-dir "$target/flame-build"
  export CHARTMESH_BIN=$target/flame-build/release
fi
cargo build --locked --release --manifest-path "$here/speed/Cargo.toml" --target-dir "$target/speed-load"
cargo install --quiet --locked --root "$target/inferno" --target-dir "$target/inferno/target" --version 0.12.8 inferno

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
INFERNO=$target/inferno/bin LOAD=$target/speed-load/release/chartmesh-speed WORK=$work \
  python3 "$here/speed/flame.py" "$out"
