#!/usr/bin/env bash
# jupyter_server 2.21.1: "jupyter server list" in one PID namespace removes the records of living
# servers in another one that share the runtime directory.
#
# A server writes jpserver-PID.json, its own PID in it, into the runtime directory. The list command
# takes each file whose PID does not exist *where it runs itself* for left over and unlinks it. Two
# containers that share a home directory (a volume, NFS) so lose each other's servers: one look from
# the second container, and the first one's server is in no list any more, not even in its own
# container, and "jupyter server stop" no longer finds it, though it still answers.
#
# Seen: the file is there; after a list in another PID namespace it is gone; the server answers 200.
# Needs root (for unshare --pid), python3-venv, the network for pip.
set -euo pipefail

work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check 'jupyter_server==2.21.1'
export HOME=$work JUPYTER_RUNTIME_DIR=$work/runtime
mkdir "$work/runtime"

# The server is not number 1 in its namespace, as behind any init or start script.
unshare --pid --fork --mount-proc --kill-child sh -c '
    "$0/venv/bin/jupyter" server --no-browser --allow-root --ip 127.0.0.1 --port 0 \
        --ServerApp.port_retries=0 --IdentityProvider.token=open >"$0/log" 2>&1; :' "$work" &
server=$!
record() { find "$work/runtime" -name 'jpserver-*.json' -printf '%f\n'; }
for _ in {1..600}; do
    [[ -n $(record) ]] && break
    sleep 0.1
done
echo "before: $(record)"
url=$("$work/venv/bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["url"])' \
    "$work/runtime/$(record)")

unshare --pid --fork --mount-proc "$work/venv/bin/jupyter" server list
left=$(record)
status=$("$work/venv/bin/python" -c 'import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "api").status)' "$url")
echo "after a list in another PID namespace: ${left:-no record}; the server answers $status"
[[ -z $left && $status == 200 ]] || { echo "this behaviour has changed" >&2; exit 1; }
