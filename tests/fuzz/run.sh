#!/usr/bin/env bash
# run.sh [TARGET...]: runs each target for RUNS inputs (a million where unset) on one core, over the committed corpus
# and what earlier runs found. Stops at the first input that panics, takes over a second, or 512 MiB of memory;
# the input is then in artifacts/. MERGE=1 adds what reaches new code to the committed corpus, minimised.
# Needs cargo-fuzz 0.13.2 (cargo install --locked cargo-fuzz@0.13.2); a stable compiler does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export RUSTC_BOOTSTRAP=1
found=${FOUND:-target/found}
mkdir -p artifacts
cargo fuzz --version >/dev/null || { echo "run.sh: cargo-fuzz is missing" >&2; exit 1; }
cargo fuzz build --fuzz-dir . ${NODE:+--features node} decoders
program=$(find target -path '*/release/decoders' -type f | head -n 1)

targets=("$@")
if ((!${#targets[@]})); then
  targets=(corpus/*/)
  # These two need NODE=1: a build of the daemon's own crate, and of all of libp2p.
  [[ -n ${NODE:-} ]] || targets=($(printf '%s\n' "${targets[@]}" | grep -vE '/(config|address)/'))
fi
for target in "${targets[@]}"; do
  name=$(basename "$target")
  mkdir -p "$found/$name"
  export CHARTMESH_FUZZ_TARGET=$name
  limits=(-rss_limit_mb=512 -timeout=1 -max_len="${MAX_LEN:-4096}" "-artifact_prefix=artifacts/$name-")
  echo "== $name"
  nice -n 15 "$program" "${limits[@]}" -runs="${RUNS:-1000000}" -max_total_time="${SECONDS_MAX:-0}" \
    -print_final_stats=1 "$found/$name" "corpus/$name" 2>"$found/$name.log" || { tail -n 40 "$found/$name.log" >&2; exit 1; }
  grep -E 'number_of_executed_units|peak_rss_mb|slowest_unit' "$found/$name.log"
  if [[ ${MERGE:-} == 1 ]]; then
    "$program" "${limits[@]}" -merge=1 -max_len=1024 "corpus/$name" "$found/$name" 2>>"$found/$name.log"
  fi
done
