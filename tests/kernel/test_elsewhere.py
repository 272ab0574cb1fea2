"""Live mode from inside a container: a nested PID namespace, and a time namespace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from .conftest import VALIDATOR, WORKLOAD, expected, pidscope

Done = subprocess.CompletedProcess[bytes]

# The container's own /proc at /proc, the host's at $1. Its process group is the host's and has no
# number inside, as with nsenter.
CONTAINER = 'mount --bind /proc "$1"; shift; exec unshare -p -f --mount-proc "$@"'

TIME_NAMESPACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x80):  # CLONE_NEWTIME
    raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWTIME)")
with open("/proc/self/timens_offsets", "w") as offsets:
    offsets.write("boottime " + sys.argv[1])
os._exit(os.spawnvp(os.P_WAIT, sys.argv[2], sys.argv[2:]))
"""


def in_container(host_proc: Path, command: Sequence[str]) -> Done:
    """Run it in its own PID namespace, with the host's /proc at ``host_proc``."""
    container = ["unshare", "-m", "sh", "-c", CONTAINER, "container", str(host_proc)]
    return subprocess.run([*container, *command], capture_output=True, check=False)


def in_time_namespace(offset: str, command: Sequence[str]) -> Done:
    """Run it in a time namespace whose boottime offset is "SECONDS NANOSECONDS"."""
    namespace = [sys.executable, "-c", TIME_NAMESPACE, offset]
    return subprocess.run([*namespace, *command], capture_output=True, check=False)


def expect_proof(done: Done, workload: str) -> None:
    assert done.returncode == 0, (done.stdout, done.stderr)
    summary = json.loads(done.stdout.splitlines()[-1])
    VALIDATOR.validate(summary)
    assert summary["complete"] is True
    assert [summary[name] for name in ("missing", "ghost", "wrong", "lost")] == [0, 0, 0, 0]
    assert summary["cmd_status"] == 0
    assert summary["cmd_counts"] == expected(workload)


def test_verify_from_a_container_with_the_hosts_proc(tmp_path: Path) -> None:
    command = pidscope("verify", "-J", "--proc", str(tmp_path), "--", WORKLOAD, "nested")
    expect_proof(in_container(tmp_path, command), "nested")


def test_watch_from_a_container_finds_cmd_among_the_hosts_numbers(tmp_path: Path) -> None:
    command = pidscope("watch", "-J", "--proc", str(tmp_path), "--", "true")
    done = in_container(tmp_path, command)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    [birth] = [event for event in events if event.get("birth")]
    outer, inner = birth["pid"]["numbers"]
    assert outer > inner
    assert {event["tid"] for event in events if "tid" in event} == {outer}


def test_a_containers_own_proc_is_not_enough(tmp_path: Path) -> None:
    done = in_container(tmp_path, pidscope("verify", "--", "true"))
    assert done.returncode == 3 and done.stdout == b""
    assert b"nested" in done.stderr and b"--proc" in done.stderr


def test_verify_in_a_time_namespace_with_part_of_a_tick() -> None:
    command = pidscope("verify", "-J", "--", WORKLOAD, "nested")
    expect_proof(in_time_namespace("86400 123456789", command), "nested")


def test_watch_in_a_time_namespace_shows_the_time_of_day() -> None:
    before = datetime.now()
    done = in_time_namespace("1000 5", pidscope("watch", "-n", "--", "true"))
    after = datetime.now()
    times = [line.split()[0].decode() for line in done.stdout.splitlines()]
    assert times
    for told in times:
        moment = datetime.combine(before, datetime.strptime(told, "%H:%M:%S.%f").time())
        if moment < before:  # after midnight
            moment += timedelta(days=1)
        assert before < moment < after
