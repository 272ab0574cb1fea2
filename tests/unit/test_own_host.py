"""The unit tests' own host: nothing else is in its /proc, and it ends as the tests do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests import CHECKOUT
from tests.unit.commands.asked import alive, needs_root

# Argument 1 is the user to become once everything is imported, 2 what to do then.
PROGRAM = """
import json, os, signal, sys
from pidscope.host.proc import ProcFs
from tests.unit import own_host
uid = int(sys.argv[1])
if uid != os.geteuid():
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
    os.environ["HOME"] = "/"
    own_host._libc.prctl(4, 1)  # PR_SET_DUMPABLE: /proc/self is this user's again
place = own_host.enter()
inside = place.startswith("namespaces of their own")
def is_capable():
    return "CapEff:\\t0000000000000000" not in open("/proc/self/status").read()
exec(sys.argv[2])
"""
SHOW = "print(json.dumps([inside, ProcFs().numbers(), os.listdir('/run'), is_capable()]))"


def run(code: str, uid: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(os.geteuid() if uid is None else uid), code]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)


@needs_root
@pytest.mark.parametrize(("uid", "capable"), [(0, "true"), (65534, "false")])
def test_what_else_runs_is_not_seen(uid: int, capable: str) -> None:
    """A user that may make no user namespaces sees what else runs, and is told so."""
    with alive("sh", "-c", "echo; read x; :"):
        done = run(SHOW, uid)
    assert (done.returncode, done.stderr) == (0, "")
    if uid == 0 or done.stdout.startswith("[true"):
        assert done.stdout == f"[true, [1, 2], [], {capable}]\n"


@needs_root
@pytest.mark.parametrize(
    ("code", "status"),
    [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137), ("os.fork() and os._exit(0)", 0)],
)
def test_it_ends_as_the_tests_do(code: str, status: int) -> None:
    assert run(code).returncode == status


@needs_root
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_what_ends_it_ends_the_tests(sent: int, status: int) -> None:
    code = "print('ready', flush=True); signal.pause()"
    command = [sys.executable, "-c", PROGRAM, str(os.geteuid()), code]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(sent)
        assert process.wait(timeout=60) == status


def test_these_tests_are_there() -> None:
    """As root always; where a user may not make namespaces, in those of the machine."""
    if os.geteuid() == 0:
        assert os.getppid() == 1 and os.getsid(0) == os.getpid() == 2
