#!/usr/bin/env bash
# prepare.sh PROGRAM[:PACKAGE]...: sees to it that programs which only checks need are there, by apt where that is possible.
set -euo pipefail

missing=()
for named in "$@"; do
  command -v "${named%%:*}" >/dev/null || missing+=("${named##*:}")
done
if ((${#missing[@]} == 0)); then exit 0; fi

echo "prepare: installing ${missing[*]}"
as_root=()
if ((EUID != 0)); then as_root=(sudo --non-interactive); fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" apt-get install -qy "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  echo "prepare: cannot install ${missing[*]}; install them and run again" >&2
  exit 1
fi
