"""What goes on while a session watches: workloads that are restarted, and a collector stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from pidscope.host.proc import ProcFs
from pidscope_dev import CHECKOUT
from pidscope_dev.workload import syscalls

_WORKLOAD = CHECKOUT / "scripts" / "workload"
_END_S = 300
_STANDS_BACK = 19  # nice
_UNDER_WAY_FORKS = 50
_LOOK_S = 0.01


class LoadError(Exception):
    """A workload could not run, or did not do what it promises."""


class Load:
    """Workloads that run side by side; whatever happens, they have ended with the context.

    Args:
        workloads: the arguments of ``scripts/workload`` for each.
    """

    def __init__(self, workloads: Sequence[Sequence[str]]) -> None:
        self._workloads = workloads
        self._running: list[subprocess.Popen[bytes]] = []
        self._nice = _STANDS_BACK
        self._procfs = ProcFs()

    def __enter__(self) -> Load:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(_END_S)

    def begin(self) -> None:
        """Start all that does not run, and wait until it has forked."""
        if self._running:
            return
        before = self._forks()
        self._running = [self._start(workload) for workload in self._workloads]
        while self._forks() < before + _UNDER_WAY_FORKS:
            self.keep_up()
            time.sleep(_LOOK_S)

    def _forks(self) -> int:
        forks = self._procfs.forks()
        assert forks is not None, "this host has a whole /proc"
        return forks

    def keep_up(self) -> None:
        """Start again what has come to its end; raises LoadError if that was not a good one."""
        for place, process in enumerate(self._running):
            if process.poll() is not None:
                self._check(process, (0,))
                self._running[place] = self._start(self._workloads[place])

    def end(self) -> None:
        """Ask all to end, and wait for it; raises LoadError."""
        running, self._running = self._running, []
        for process in running:
            process.terminate()
        for process in running:
            process.wait(_END_S)
            self._check(process, (0, 128 + signal.SIGTERM, -signal.SIGTERM))

    def full_speed(self) -> None:
        """Let the workloads run at full priority: the collector has its programs loaded now."""
        self._nice = 0
        for process in self._running:
            os.setpriority(os.PRIO_PGRP, process.pid, self._nice)

    def _start(self, workload: Sequence[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, os.fspath(_WORKLOAD), *workload],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.setpriority(os.PRIO_PGRP, process.pid, self._nice)
        return process

    @staticmethod
    def _check(process: subprocess.Popen[bytes], good: Sequence[int]) -> None:
        assert process.stderr is not None
        with process.stderr as stderr:
            printed = stderr.read().decode(errors="replace").strip()
        if process.returncode not in good:
            raise LoadError(f"{process.args!r} ended with {process.returncode}: {printed}")


@contextlib.contextmanager
def stopped_again_and_again(stopped_s: float, running_s: float) -> Iterator[None]:
    """Let a child stop (SIGSTOP) and continue the calling process, over and over; 0: never."""
    if not stopped_s:
        yield
        return
    collector = os.getpid()
    stopper = os.fork()
    if not stopper:
        _stop_again_and_again(collector, stopped_s, running_s)
    try:
        yield
    finally:
        os.kill(stopper, signal.SIGTERM)  # not while we are stopped: then this does not run
        os.waitpid(stopper, 0)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # the collector, once it goes on, sends a second one
    raise SystemExit


def _stop_again_and_again(collector: int, stopped_s: float, running_s: float) -> None:
    """The stopper's life; whatever happens to it, the collector goes on.

    SIGTERM may come at any moment, the one after SIGSTOP included.
    """
    try:
        signal.signal(signal.SIGTERM, _end)
        syscalls.die_with_parent()
        while True:
            time.sleep(running_s)
            os.kill(collector, signal.SIGSTOP)
            time.sleep(stopped_s)
            os.kill(collector, signal.SIGCONT)
    finally:
        os.kill(collector, signal.SIGCONT)
        os._exit(1)
