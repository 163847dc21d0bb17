#!/bin/sh
# Runs a node in a temporary directory and lets a Python client of its own speak to it. The venv is
# made below the target directory, with one package of PyPI.
set -eu
bin=$1
venv=$2
here=$(cd "${0%/*}" && pwd)

# What this needs and a machine may not have. Nothing was tested then, and that is what is said.
skip() {
  echo "SKIPPED: interop: $1"
  exit 0
}
if ! [ -x "$venv/bin/python" ]; then
  command -v python3 >/dev/null || skip "there is no python3"
  python3 -m venv "$venv" || skip "python3 cannot make a venv (Debian: apt install python3-venv)"
fi
if ! "$venv/bin/python" -c 'import cloudevents' 2>/dev/null; then
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || skip "there is no pip in $venv"
  "$venv/bin/python" -m pip --quiet install 'cloudevents>=1.11,<2' ||
    skip "pip cannot install cloudevents from PyPI"
fi

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
