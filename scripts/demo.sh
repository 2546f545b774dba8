#!/usr/bin/env bash
# The main job, step by step, on real processes: what `make demo` shows.
# On a terminal the cluster is left running until Ctrl-C; without one the script ends 0 after the last step.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --workspace --bins
bin=${CARGO_TARGET_DIR:-target}/debug
dir=$(mktemp -d)
dev=
finish() {
  if [[ -n $dev ]] && kill -0 "$dev" 2>/dev/null; then
    kill -INT "$dev"
    wait "$dev" || true
  fi
  rm -rf "$dir"
}
trap finish EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
  printf '$ %s\n' "drover $*"
  "$bin/drover" "$@"
}
# until_ready SECONDS COMMAND…: level-triggered
until_ready() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { echo "demo: not in time: $*" >&2; tail -n 20 "$dir/dev.log" >&2; exit 1; }
    sleep 0.2
  done
}

step "1. Start three state nodes, two ingress nodes and five simulated devices"
echo '$ drover dev'
"$bin/drover" dev --dir "$dir/dev" >"$dir/dev.log" 2>&1 &
dev=$!
until_ready 120 test -s "$dir/dev/endpoints.json"
export DROVER_DIR=$dir/dev

step "2. List the devices"
run devices
device=$(awk '/endpointName:/ { print $2; exit }' examples/device.yaml)

step "3. Read the manufacturer, and the whole device object"
run read "$device" /3/0/0
run read "$device" /3/0

step "4. Write a UTC offset and read it back"
run write "$device" /3/0/14 +01:00
run read "$device" /3/0/14

step "5. Observe a temperature that changes"
printf '$ drover observe %s /3303/0/5700\n' "$device"
timeout 60 "$bin/drover" observe "$device" /3303/0/5700 --count 4

step "6. Declare what the device should be, as with kubectl"
run apply -f examples/device.yaml
wanted=$(awk -F'"' '/value:/ { print $2; exit }' examples/device.yaml)
arrived() { "$bin/drover" read "$device" /3/0/14 | grep -qF -- "$wanted"; }
until_ready 30 arrived
run read "$device" /3/0/14

step "7. Execute: ask the device to send an update"
run exec "$device" /1/0/8

step "8. Kill a state node and go on"
victim=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' <(tr ',{' '\n\n' <"$dir/dev/endpoints.json" | sed -n '/"api"/,$p') | head -n 1)
echo "\$ kill -9 $victim"
kill -9 "$victim"
until_ready 30 "$bin/drover" write "$device" /3/0/14 +04:00
run read "$device" /3/0/14
run devices

if [[ -t 0 && -t 1 ]]; then
  step "The cluster goes on until Ctrl-C. In another terminal: export DROVER_DIR=$DROVER_DIR"
  wait "$dev"
else
  step "All steps done"
fi
