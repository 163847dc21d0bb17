#!/bin/sh
# The main job, end to end, on this machine and in a temporary directory: what one node observes
# becomes a part on another, which `routerctl render` shows there. Run it by `make demo`, which
# builds first.
#
# usage: run.sh DIRECTORY   (where routerd, routerctl and examples/ were built, such as target/debug)
set -eu

built=$(cd "${1:?usage: run.sh DIRECTORY}" && pwd)
examples=$(cd "$(dirname "$0")/.." && pwd)
root=$(mktemp -d "${TMPDIR:-/tmp}/routerd-demo.XXXXXX")
running=

# Whatever happens (the end, a failure, Ctrl-C), what was started stops and the directory goes.
clean_up() {
  status=$?
  trap - EXIT INT TERM HUP
  for process in $running; do
    kill "$process" 2>/dev/null || :
    wait "$process" 2>/dev/null || :
  done
  if [ "$status" -ne 0 ]; then
    for node in onprem cloud; do
      [ -s "$root/$node.log" ] || continue
      printf '\nThe demo failed. The daemon of %s said:\n' "$node"
      tail -n 20 "$root/$node.log"
    done
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
# routerctl on the node that observes, and on the one that acts.
onprem() { "$built/routerctl" --state "$root/onprem-state" "$@"; }
cloud() { "$built/routerctl" --state "$root/cloud-state" "$@"; }
# Tells what is missing from a text, by name, instead of passing over it.
has() { printf '%s\n' "$1" | grep -qF -- "$2" || fail "not found: $2"; }
# Runs a command again and again, thirty seconds at most, until it succeeds.
until_true() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "this did not come true within 30 seconds: $*"
    sleep 0.1
  done
}

heading 'Install the plugin, the manifests of both nodes and their secret, in a temporary directory'
plugin=libexec/routerd/plugins/event-to-remote-claim/bin/event-to-remote-claim
mkdir -p "$root/$(dirname "$plugin")" "$root/onprem" "$root/cloud"
install "$built/examples/event-to-remote-claim" "$root/$plugin"
show cloud federation keygen "$root/secret"
# Where the tunnel of the examples would be, both nodes are on loopback, with a cable between them
# that can be pulled. A claim outlives its client by a minute.
port=$((20000 + $$ % 20000))
sed -e "s#/usr/local/$plugin#$root/$plugin#" \
  -e "s#secretFile: .*#secretFile: $root/secret#" \
  -e "s#address: 169.254.110.2\$#address: 127.0.0.1#;s#port: 8787#port: $port#" \
  -e 's#^\( *\)pluginRef: event-to-remote-claim#&\n        retire:\n          grace: 1m#' \
  "$examples/event-federation/receiver-cloud.yaml" >"$root/cloud/router.yaml"
sed -e "s#secretFile: .*#secretFile: $root/secret#" \
  -e "s#http://169.254.110.2:8787#http://127.0.0.1:$((port + 1))#" \
  "$examples/event-federation/sender-onprem.yaml" >"$root/onprem/router.yaml"
show onprem validate -f "$root/onprem/router.yaml"
show cloud validate -f "$root/cloud/router.yaml"

heading 'Start both nodes, and plug the cable in'
for node in onprem cloud; do
  "$built/routerd" serve --config "$root/$node" --state "$root/$node-state" 2>"$root/$node.log" &
  running="$running $!"
done
plug() {
  "$built/examples/cable" "127.0.0.1:$((port + 1))" "127.0.0.1:$port" &
  cable=$!
  running="$running $cable"
}
plug
until_true onprem version
until_true cloud version
until_true cloud wait --converged
show onprem wait --converged --deliveries --timeout 20s

heading 'Emit on the on-premises node: the client 10.88.60.9 was seen, for eight seconds'
see() {
  onprem federation event emit \
    --group cloudedge \
    --type routerd.client.ipv4.observed \
    --subject 10.88.60.9/32 \
    --payload address=10.88.60.9/32 \
    --payload domain=cloudedge-same-subnet \
    --payload ownerSide=onprem \
    --payload peerRef=onprem-main \
    --payload providerRef=example-provider \
    --id "$1" --ttl "$2"
}
show see seen-once 8s
show onprem wait --converged --deliveries --timeout 20s
show onprem federation deliveries

heading 'The event on the cloud node, and what its plugin made of it'
show cloud wait --converged --timeout 20s
show cloud get events
show cloud dynamic list
part=$(cloud -o name dynamic list | sed 's#.*/##')
show cloud -o yaml dynamic describe "$part"
described=$(cloud -o yaml dynamic describe "$part")

heading 'The effective config of the cloud node'
rendered=$(cloud dynamic render)
show cloud dynamic render
has "$rendered" 'name: onprem-10-88-60-9'
for text in "$rendered" "$described"; do
  has "$text" 'routerd.net/dynamic-source: EventSubscription/cloud-claims'
  has "$text" 'routerd.net/event-group: cloudedge'
  has "$text" 'routerd.net/event-id: seen-once'
  has "$text" 'routerd.net/event-subject: 10.88.60.9/32'
done

heading 'Pull the cable. The client is still there, and the cloud node does not hear of it'
kill "$cable"
wait "$cable" 2>/dev/null || :
show see seen-again 30m
not_delivered() { onprem federation peers | grep -q 'no: '; }
until_true not_delivered
show onprem federation peers
show onprem federation deliveries summary
is_retiring() { cloud -o yaml dynamic describe "$part" | grep -q 'type: Retiring'; }
retires() { until_true is_retiring; }
retires
show cloud dynamic list
rendered=$(cloud dynamic render)
has "$rendered" 'name: onprem-10-88-60-9'
echo 'The eight seconds are over, and the claim is held: its grace is a minute.'

heading 'Plug it in again'
plug
show onprem federation retry
show onprem wait --converged --deliveries --timeout 20s
show cloud wait --converged --timeout 20s
show cloud dynamic list
rendered=$(cloud dynamic render)
has "$rendered" 'routerd.net/event-id: seen-again'
is_retiring && fail 'the part still retires'
show cloud status

heading 'That was it'
echo 'The claim onprem-10-88-60-9 is in the effective config of the cloud node. It and its part'
echo 'carry the four routerd.net/ annotations that say which event of the other node caused them.'
