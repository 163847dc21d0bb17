#!/bin/sh
# Runs a node in a temporary directory and lets a Python client of its own speak to it. The venv is
# made below the target directory, with one package of PyPI.
set -eu
bin=$1
venv=$2
here=$(cd "$(dirname "$0")" && pwd)
if ! [ -x "$venv/bin/python" ]; then
  python3 -m venv "$venv" || { echo "skipped: python3 cannot make a venv"; exit 0; }
fi
"$venv/bin/python" -c 'import cloudevents' 2>/dev/null ||
  "$venv/bin/pip" --quiet install 'cloudevents>=1.11,<2' ||
  { echo "skipped: cloudevents cannot be installed"; exit 0; }

dir=$(mktemp -d)
daemon=
trap 'if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || :; wait; fi; rm -rf "$dir"' EXIT
mkdir "$dir/conf"
"$bin/routerctl" federation keygen "$dir/secret" 2>/dev/null
cat >"$dir/conf/group.yaml" <<EOF
apiVersion: federation.routerd.net/v1alpha1
kind: EventGroup
metadata: {name: cloudedge}
spec:
  nodeName: cloud-router
  listen: {address: 127.78.9.1, port: 8787}
  auth: {secretFile: $dir/secret}
EOF
"$bin/routerd" serve --config "$dir/conf" --state "$dir/state" 2>"$dir/log" &
daemon=$!
"$bin/routerctl" --state "$dir/state" wait --converged >/dev/null 2>&1 || {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    if "$bin/routerctl" --state "$dir/state" wait --converged >/dev/null 2>&1; then break; fi
  done
}
"$venv/bin/python" "$here/client.py" 127.78.9.1 8787 "$dir/secret" || { cat "$dir/log"; exit 1; }
"$bin/routerctl" --state "$dir/state" get events --group cloudedge
