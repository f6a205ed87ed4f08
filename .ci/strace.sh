#!/usr/bin/env bash
# Shows with strace that the daemon acknowledges nothing that is not on the disk: on the admin socket, the answer to a
# command that changes something leaves after the fdatasync that covers everything the journal was given for it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.ci/prepare.sh strace

bin=${CHARTMESH_BIN:-${CARGO_TARGET_DIR:-target}/debug}
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

node init --name "Strace Clinic" --kind clinic --listen /ip4/127.0.0.1/tcp/0 --quiet >/dev/null
# -D keeps the daemon as our own child, so that it can be ended by its id; -xx shows paths and bytes alike in hex.
strace -D -f -qq -y -xx -s 1000000 -e trace=accept4,write,writev,pwrite64,sendto,sendmsg,fdatasync,fsync \
  -o "$work/trace" "$bin/chartmeshd" --node "$work/node" 2>"$work/log" &
daemon=$!
for _ in $(seq 1 150); do
  if node status >/dev/null 2>&1; then break; fi
  kill -0 "$daemon" || { cat "$work/log" >&2; exit 1; }
  sleep 0.2
done
node status >/dev/null

# judge: reads the trace of one command and says what the daemon did before its answer. The answer is the last DATA
# frame (RFC 9113, 6.1) on the connection accepted last; trailers, HEADERS with END_STREAM (6.2), end it.
judge() {
  LC_ALL=C awk '
    BEGIN {
      for (i = 0; i < 256; i++) number[sprintf("%02x", i)] = i
      journal = hex("/journal/"); files = hex("/files/")
    }
    function hex(text,   i, out) {
      for (i = 1; i <= length(text); i++) out = out "\\x" code(substr(text, i, 1))
      return out
    }
    function code(letter,   i) {
      for (i = 32; i < 127; i++) if (sprintf("%c", i) == letter) return sprintf("%02x", i)
    }
    # Frames of HTTP/2: 3 bytes of length, type, flags, 4 bytes of stream.
    function frames(line,   bytes, n, at, size, kind, flags) {
      sub(/^[^"]*"/, "", line)
      gsub(/"[^"]*"/, "", line)
      sub(/".*$/, "", line)
      n = split(line, bytes, /\\x/)
      for (at = 2; at + 8 <= n; at += 9 + size) {
        size = (number[bytes[at]] * 256 + number[bytes[at + 1]]) * 256 + number[bytes[at + 2]]
        kind = number[bytes[at + 3]]; flags = number[bytes[at + 4]]
        if (kind == 0) { answered = 1; covered = syncs; open = dirty; sealed = filed }
        if (kind == 1 && flags % 2 == 1) ended = 1
      }
    }
    function synced(what) {
      if (what ~ /^fdatasync\(/ && index(what, journal)) { syncs++; dirty = 0 }
      if (what ~ /^fsync\(/ && index(what, files)) filed++
    }
    {
      pid = $1; call = $0; sub(/^[0-9]+ +/, "", call)
      if (call ~ /^accept4\(.* = [0-9]+</ || call ~ /^<\.\.\. accept4 resumed>.* = [0-9]+</) {
        fd = call; sub(/^.* = /, "", fd); sub(/<.*$/, "", fd)
        syncs = dirty = filed = answered = ended = 0
      } else if (call ~ /^(fdatasync|fsync)\(/) {
        if (call ~ /<unfinished/) begun[pid] = call
        else if (call ~ / = 0$/) synced(call)
      } else if (call ~ /^<\.\.\. (fdatasync|fsync) resumed>/) {
        if (call ~ / = 0$/) synced(begun[pid])
      } else if (call ~ /^(write|writev|pwrite64)\(/ && index(substr(call, 1, index(call, ">")), journal)) {
        dirty = 1
      } else if (fd != "" && call ~ ("^(write|writev|sendto|sendmsg)\\(" fd "<")) {
        frames(call)
      }
    }
    END {
      if (!answered || !ended) print "unanswered"
      else if (open) print "RED: answered before the journal was synced"
      else if (!covered) print "RED: answered without fdatasync of the journal"
      else print "ok " covered " " sealed + 0
    }'
}

red=0
slice() { tail -n "+$((from + 1))" "$work/trace"; }
# traced COMMAND...: leaves in $verdict what the daemon did; strace may write its last line after the command ended.
traced() {
  from=$(wc -l < "$work/trace")
  "$@" >/dev/null
  for _ in $(seq 1 100); do
    verdict=$(slice | judge)
    if [[ $verdict != unanswered ]]; then return; fi
    sleep 0.05
  done
}
acknowledged() {
  local name=$1
  shift
  traced "$@"
  case $verdict in
    "ok "*) printf 'ok   %-16s journal synced before its answer\n' "$name" ;;
    *) printf 'RED  %-16s %s\n' "$name" "$verdict"; red=1 ;;
  esac
}
expect() {
  local what=$1 expected=$2
  if [[ $verdict == "$expected"* ]]; then
    printf 'ok   %s\n' "$what"
  else
    printf 'RED  %s: %s\n' "$what" "$verdict"
    red=1
  fi
}

printf '%s' '{"resourceType":"Patient","identifier":[{"system":"https://clinic.example/mrn","value":"S-1"}],
 "name":[{"family":"Trace","given":["Sally"]}],"gender":"female","birthDate":"1980-02-29"}' > "$work/patient.json"
sed 's/S-1/S-2/; s/Sally/Sam/' "$work/patient.json" > "$work/other.json"
head -c 100000 /dev/urandom | base64 > "$work/note.txt"
field() { grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | cut -d'"' -f4; }
add_other() { node patient add - < "$work/other.json"; }

acknowledged "network found" node network found --name "Strace network" --policy opt-in
acknowledged "network invite" node network invite
acknowledged "import" node import "$work/patient.json"
acknowledged "patient add" add_other
patient=$(node patient list --output json | field id)
acknowledged "document add" node document add --patient "$patient" --type 34109-9 "$work/note.txt"
if [[ $verdict == "ok "*" 0" ]]; then
  echo "RED  document add     its file was not synced"
  red=1
fi
acknowledged "consent grant" node consent grant --patient "$patient" --to any --purpose TREAT
# The same trace without its syncs, and with the answer in front, must be red, or the judge is blind.
verdict=$(slice | grep -v '^[0-9]* *\(fdatasync(\|<\.\.\. fdatasync\)' | judge)
expect "a trace without fdatasync is seen as such" "RED"
consent=$(node consent list --patient "$patient" --output json | field consent)
acknowledged "consent revoke" node consent revoke "$consent"
acknowledged "opt-out" node consent opt-out --patient "$patient"
traced node status
expect "status changes nothing and syncs nothing" "RED: answered without"
exit "$red"
