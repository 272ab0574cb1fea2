"""kprobes see what trampolines see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from pidscope.host.proc import ProcFs
from pidscope.live.program import Program
from pidscope.live.session import LiveWorld
from pidscope.session.session import Session
from pidscope.verify.hook_counts import hooks_agree

from .conftest import WORKLOAD, Host, expected

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


@pytest.fixture(scope="module")
def kprobe_host() -> Iterator[Host]:
    host = Host()
    with closing(Program("kprobe")) as program:
        host.session = Session(LiveWorld(program, ProcFs()), host.listen)
        host.session.begin()
        yield host


@pytest.mark.parametrize("name", ("nested", "exec-thread", "failed", "held"))
def test_workload_by_kprobes(kprobe_host: Host, name: str) -> None:
    status, tally, counts = kprobe_host.judge([WORKLOAD, name])
    assert status == 0
    assert kprobe_host.wrongs(tally) == []
    assert tally.complete
    assert {key: counts[key] for key in expected(name)} == expected(name)


def test_returns_of_a_crowd_are_all_seen(kprobe_host: Host) -> None:
    """By default a kretprobe has room for two or for ten tasks inside copy_process() at once."""
    session = kprobe_host.session
    births = session.stream.births
    subprocess.run([WORKLOAD, "short", "300", "--jobs", "24"], check=True)
    session.pump()
    session.look_for_skipped()
    assert session.stream.births - births > 300
    assert session.ungrammatical == [] and session.skipped["copy_process"] == 0
    hooks, at_rest = session.hooks()
    assert at_rest and hooks_agree(hooks, session.stream.lost)


def test_no_tracefs_is_needed() -> None:
    """It gives the returns more room and counts misses, but it need not be mounted."""
    code = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"assert libc.unshare({CLONE_NEWNS}) == 0\n"
        f"assert libc.mount(None, b'/', None, {MS_REC | MS_PRIVATE}, None) == 0\n"
        "while libc.umount2(b'/sys/kernel/debug/tracing', 0) == 0: pass\n"
        "while libc.umount2(b'/sys/kernel/debug', 0) == 0: pass\n"
        "while libc.umount2(b'/sys/kernel/tracing', 0) == 0: pass\n"
        "assert not os.path.exists('/sys/kernel/tracing/kprobe_events')\n"
        "from pidscope.__main__ import run\n"
        "run()\n"
    )
    command = [sys.executable, "-c", code, "verify", "--probes", "kprobe", "--", WORKLOAD, "nested"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "all agree" in ended.stdout and "Traceback" not in ended.stderr
