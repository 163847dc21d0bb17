#!/bin/sh
# The main job, end to end, on this machine and in a temporary directory: an event becomes a part
# that `routerctl render` shows. Run it by `make demo`, which builds first.
#
# usage: run.sh DIRECTORY   (where routerd, routerctl and examples/ were built, such as target/debug)
set -eu

built=$(cd "${1:?usage: run.sh DIRECTORY}" && pwd)
examples=$(cd "$(dirname "$0")/.." && pwd)
root=$(mktemp -d "${TMPDIR:-/tmp}/routerd-demo.XXXXXX")
daemon=

# Whatever happens (the end, a failure, Ctrl-C), the daemon stops and the directory goes.
clean_up() {
  status=$?
  trap - EXIT INT TERM HUP
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || :
    wait "$daemon" 2>/dev/null || :
  fi
  if [ "$status" -ne 0 ] && [ -s "$root/log" ]; then
    printf '\nThe demo failed. The daemon said:\n'
    tail -n 20 "$root/log"
  fi
  rm -rf "$root"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

heading() { printf '\n== %s\n' "$1"; }
fail() { printf 'demo: %s\n' "$1" >&2; exit 1; }
show() { printf '$ %s\n' "$*"; "$@"; }
routerctl() { "$built/routerctl" --state "$root/state" "$@"; }
# Tells what is missing from a text, by name, instead of passing over it.
has() { printf '%s\n' "$1" | grep -qF -- "$2" || fail "not found: $2"; }

heading 'Install the plugin and the manifests of the cloud node, below a temporary directory'
plugin=libexec/routerd/plugins/event-to-remote-claim/bin/event-to-remote-claim
mkdir -p "$root/$(dirname "$plugin")" "$root/etc"
install "$built/examples/event-to-remote-claim" "$root/$plugin"
sed "s#/usr/local/$plugin#$root/$plugin#" \
  "$examples/event-federation/receiver-cloud.yaml" >"$root/etc/router.yaml"
show routerctl validate -f "$root/etc/router.yaml"

heading 'Start the node'
"$built/routerd" serve --config "$root/etc" --state "$root/state" 2>"$root/log" &
daemon=$!
tries=0
until routerctl version >/dev/null 2>&1 && [ -S "$root/state/control.sock" ]; do
  kill -0 "$daemon" 2>/dev/null || fail 'the daemon ended'
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || fail 'the daemon did not answer within 10 seconds'
  sleep 0.1
done
show routerctl wait --converged --timeout 20s

heading 'Emit: onprem-router saw the client 10.88.60.9'
show routerctl federation event emit \
  --group cloudedge \
  --type routerd.client.ipv4.observed \
  --subject 10.88.60.9/32 \
  --source-node onprem-router \
  --payload address=10.88.60.9/32 \
  --payload domain=cloudedge-same-subnet \
  --payload ownerSide=onprem \
  --payload peerRef=onprem-main \
  --payload providerRef=example-provider \
  --ttl 30m
show routerctl wait --converged --timeout 20s

heading 'The event, kept on disk'
show routerctl get events

heading 'The part that the plugin made of it'
show routerctl dynamic list
part=$(routerctl -o name dynamic list | sed 's#.*/##')
show routerctl -o yaml dynamic describe "$part"
described=$(routerctl -o yaml dynamic describe "$part")

heading 'The effective config'
rendered=$(routerctl dynamic render)
show routerctl dynamic render

heading 'The state of the node'
show routerctl status

heading 'Is it all there?'
has "$rendered" 'name: onprem-10-88-60-9'
for text in "$rendered" "$described"; do
  has "$text" 'routerd.net/dynamic-source: EventSubscription/cloud-claims'
  has "$text" 'routerd.net/event-group: cloudedge'
  has "$text" 'routerd.net/event-id: '
  has "$text" 'routerd.net/event-subject: 10.88.60.9/32'
done
echo 'The claim onprem-10-88-60-9 is in the effective config. It and its part carry the four'
echo 'routerd.net/ annotations that say which event caused them.'
