#!/usr/bin/env bash
# Shows with strace that the daemon acknowledges nothing before an fdatasync that covers it: between a command that
# changes something and its answer on the admin socket there is at least one completed fdatasync.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v strace >/dev/null; then
  echo "strace: not installed, trying apt-get"
  { apt-get update -q && apt-get install -qy strace; } >/dev/null 2>&1 || true
fi
if ! command -v strace >/dev/null; then
  echo "strace: cannot be installed here; this step proves nothing without it" >&2
  exit 1
fi

bin=${CHARTMESH_BIN:-target/debug}
work=$(mktemp -d)
daemon=
clean() {
  if [[ -n $daemon ]] && kill -0 "$daemon" 2>/dev/null; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean EXIT

node() { "$bin/chartmesh" --node "$work/node" "$@"; }

node init --name "Strace Clinic" --kind clinic --listen /ip4/127.0.0.1/tcp/0 --quiet
# -D keeps the daemon as our own child, so that it can be ended by its id.
strace -D -f -ttt -qq -e trace=fdatasync,fsync -o "$work/trace" "$bin/chartmeshd" --node "$work/node" 2>"$work/log" &
daemon=$!
for _ in $(seq 1 150); do
  if node status >/dev/null 2>&1; then break; fi
  kill -0 "$daemon" || { cat "$work/log" >&2; exit 1; }
  sleep 0.2
done
node status >/dev/null

synced() { grep -cE 'fdatasync(\([0-9]+\)| resumed>\)) += 0' "$work/trace" || true; }

red=0
acknowledged() {
  local name=$1 before after
  shift
  before=$(synced)
  "$@" >/dev/null
  after=$(synced)
  if ((after > before)); then
    printf 'ok   %-14s %d fdatasync before its answer\n' "$name" $((after - before))
  else
    printf 'RED  %-14s answered without fdatasync\n' "$name"
    red=1
  fi
}

cat > "$work/patient.json" <<'JSON'
{"resourceType":"Patient","identifier":[{"system":"https://clinic.example/mrn","value":"S-1"}],
 "name":[{"family":"Trace","given":["Sally"]}],"gender":"female","birthDate":"1980-02-29"}
JSON
head -c 100000 /dev/urandom | base64 > "$work/note.txt"

acknowledged "network found" node network found --name "Strace network" --policy opt-in
acknowledged "network invite" node network invite
acknowledged "import" node import "$work/patient.json"
patient=$(node patient list --output json | grep -o '"id": *"[^"]*"' | head -n 1 | cut -d'"' -f4)
acknowledged "document add" node document add --patient "$patient" --type 34109-9 "$work/note.txt"
acknowledged "consent grant" node consent grant --patient "$patient" --to any --purpose TREAT
consent=$(node consent list --patient "$patient" --output json | grep -o '"consent": *"[^"]*"' | head -n 1 | cut -d'"' -f4)
acknowledged "consent revoke" node consent revoke "$consent"

# The other direction: a question that changes nothing need not sync, or the check above would mean nothing.
before=$(synced)
node status >/dev/null
if (($(synced) > before)); then
  echo "note: status syncs as well, so the counts above are not conclusive" >&2
  red=1
fi
exit "$red"
