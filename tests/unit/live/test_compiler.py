"""The child that compiles: what it returns, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pidscope.errors import HostError
from pidscope.live import compiler
from pidscope.live.compiler import Job, compile_jobs
from tests import CHECKOUT

JOB = Job("tracepoint", {}, {"tp_sched_process_exec": 1}, {})


class Pipe:
    """A pipe into which the child writes; it ends when the child does."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def write(self) -> None:
        os.write(self._writer, b"x")

    def rest(self) -> bytes:
        """All that the child wrote; returns when it has ended."""
        os.close(self._writer)
        with open(self.reader, "rb") as reader:
            return reader.read()


def test_a_signal_ends_it_at_once() -> None:
    """clang can run for seconds in one call, in which no handler runs."""
    pipe = Pipe()

    def blocked() -> bytes:
        pipe.write()
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()
        return b""

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            compiler._reply(blocked)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pipe.rest() == b"x"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


OUTLIVED = """
import os, signal
from pidscope.live import compiler
compiler._reply(lambda: (os.write(1, b"x"), signal.pause()))
"""


def test_it_does_not_outlive_its_parent() -> None:
    command = [sys.executable, "-c", OUTLIVED]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(1) == b"x"
        parent.kill()
        assert parent.stdout.read() == b""  # the child had it open, too


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_child_that_dies_is_an_error(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(compiler, "_compiled", lambda jobs: os.kill(os.getpid(), number))
    with pytest.raises(HostError, match=f"compiles ended with -{number.value}"):
        compile_jobs([JOB])


def test_its_errors_are_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise HostError("bcc is not installed", "install it")

    monkeypatch.setattr(compiler, "load_bcc", absent)
    with pytest.raises(HostError, match="bcc is not installed") as caught:
        compile_jobs([JOB])
    assert caught.value.hint == "install it"


class Noisy:
    """A bcc that writes why it fails, as libbcc does, and raises something else."""

    class BPF:
        def __init__(self, text: bytes, cflags: list[str]) -> None:
            os.write(2, b"error: no such\nring.c:1: unknown type name 'u64'\n")
            raise Exception("Failed to compile BPF module")


def test_what_libbcc_writes_is_why_and_reaches_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiler, "load_bcc", lambda: Noisy)
    with pytest.raises(HostError, match=r"compile the programs: ring\.c:1: unknown type"):
        compile_jobs([JOB])
    assert capfd.readouterr() == ("", "")
