#!/usr/bin/env bash
# py-spy 0.4.3: threads that sleep in another PID namespace count as active.
#
# py-spy tells idle threads from active ones by the state of the kernel's thread, which it finds by
# the thread's number. For a process in a PID namespace below, the number that Python has is the
# inner one, and no thread of that number is found outside: "dump" calls every thread active, prints
# the main thread's number as a small inner one, and "record", which leaves idle threads out, fills
# the profile of a container with its waiting threads.
#
# Seen: the same program, outside: two threads, both (idle); inside: the same two, both (active).
# Needs root (for unshare --pid, and to read another process), python3-venv, the network for pip.
set -euo pipefail

work=$(mktemp -d)
trap 'kill -KILL $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check 'py-spy==0.4.3'
cat >"$work/waits.py" <<'PYTHON'
import sys, threading
forever = threading.Event()
threading.Thread(target=forever.wait, name="sleeper", daemon=True).start()
with open(sys.argv[1], "w") as started:
    started.write("yes")
forever.wait()
PYTHON

look() { # name, command that runs the program…
    local fifo=$work/$1 name=$1 pid=
    shift
    mkfifo "$fifo"
    "$@" "$work/venv/bin/python" "$work/waits.py" "$fifo" &
    cat "$fifo" >/dev/null
    pid=$(pgrep -f "^$work/venv/bin/python $work/waits.py $fifo\$")
    while grep -h '^State' /proc/"$pid"/task/*/status | grep -qv sleeping; do :; done
    "$work/venv/bin/py-spy" dump --pid "$pid" | grep '^Thread' | tee "$work/$name.txt"
}
echo "outside:"
look outside env
echo "in a PID namespace of its own:"
look inside unshare --pid --fork --kill-child
grep -c '(idle)' "$work/outside.txt" | grep -qx 2 && grep -c '(active)' "$work/inside.txt" | grep -qx 2 ||
    { echo "this behaviour has changed" >&2; exit 1; }
