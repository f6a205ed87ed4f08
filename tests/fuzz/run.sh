#!/usr/bin/env bash
# run.sh [TARGET...]: runs each target for RUNS inputs (a million where unset) or SECONDS_MAX seconds on one core, over
# the committed corpus and what earlier runs found. Stops at the first input that panics, takes over a second, or
# 512 MiB of memory; the input is then in artifacts/. Prints a line of figures a target.
# MERGE=1 adds what reaches code that the committed corpus does not: at most FILES_MAX files a target of 1 KiB each.
# A stable compiler does; cargo-fuzz is installed where it is missing. The second is one of the wall clock: where the
# machine has other work, TIMEOUT_S says how many.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

version=0.13.2 files_max=${FILES_MAX:-40} size_max=1024
export RUSTC_BOOTSTRAP=1
# The sanitizer keeps 256 MiB of freed memory back where it is not told otherwise; that is not the target's.
export ASAN_OPTIONS=quarantine_size_mb=16:detect_odr_violation=0:${ASAN_OPTIONS:-}

# merge NAME: the smallest inputs of those found that together reach what the committed ones do not.
merge() {
  local committed=corpus/$1 merged=target/merged/$1 count added=0 input
  rm -rf "$merged" && mkdir -p "$merged"
  "$program" "${limits[@]}" -merge=1 -max_len=$size_max "$merged" "$committed" "$found/$1" 2>>"$found/$1.log"
  count=$(find "$committed" -type f | wc -l)
  while read -r input; do
    ((count + added < files_max)) || break
    cmp -s "$merged/$input" "$committed/$input" && continue
    [[ -n $(find "$committed" -type f -size -2k -exec cmp -s {} "$merged/$input" \; -print -quit) ]] && continue
    cp "$merged/$input" "$committed/$input"
    added=$((added + 1))
  done < <(cd "$merged" && find . -type f -size -$((size_max + 1))c -printf '%s %f\n' | sort -n | cut -d' ' -f2)
  echo "   $added inputs added to $committed"
}

main() {
  local found=${FOUND:-target/found} targets=("$@") name program limits
  if [[ $(cargo fuzz --version 2>/dev/null) != *" $version" ]]; then
    nice cargo install --locked "cargo-fuzz@$version"
  fi
  cargo metadata --locked --format-version 1 >/dev/null
  nice cargo fuzz build --fuzz-dir . decoders
  program=$(find target -path '*/release/decoders' -type f | head -n 1)
  mkdir -p artifacts
  if ((!${#targets[@]})); then
    targets=(corpus/*/)
  fi
  for name in "${targets[@]}"; do
    name=$(basename "$name")
    mkdir -p "$found/$name"
    export CHARTMESH_FUZZ_TARGET=$name
    limits=(-rss_limit_mb=512 "-timeout=${TIMEOUT_S:-1}" -report_slow_units=1 "-artifact_prefix=artifacts/$name-")
    if ! nice -n 15 "$program" "${limits[@]}" -max_len="${MAX_LEN:-4096}" -runs="${RUNS:-1000000}" \
      -max_total_time="${SECONDS_MAX:-0}" -print_final_stats=1 "$found/$name" "corpus/$name" 2>"$found/$name.log"; then
      tail -n 40 "$found/$name.log" >&2
      echo "run.sh: $name failed; the input is in $PWD/artifacts" >&2
      return 1
    fi
    awk -v name="$name" '/^stat::/ { stat[$1] = $2 } END {
      printf "%-10s %9d inputs %7d a second %5d MiB, slowest %d s\n", name, stat["stat::number_of_executed_units:"],
        stat["stat::average_exec_per_sec:"], stat["stat::peak_rss_mb:"], stat["stat::slowest_unit_time_sec:"] }' "$found/$name.log"
    [[ ${MERGE:-} != 1 ]] || merge "$name"
  done
}

main "$@"
