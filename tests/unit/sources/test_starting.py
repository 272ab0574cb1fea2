"""What a live start prints while it lasts."""

from __future__ import annotations

import io
import signal
import sys

import pytest

from pidscope.sources import starting
from pidscope.sources.starting import Progress


class Stream(io.StringIO):
    """Standard error, on a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def stderr(patch: pytest.MonkeyPatch, terminal: bool) -> Stream:
    stream = Stream(terminal)
    patch.setattr(sys, "stderr", stream)
    return stream


def test_a_note_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, progress = stderr(monkeypatch, False), Progress()
    progress.note("compiling for this kernel, once")
    progress.note("compiling for this kernel, once")
    assert stream.getvalue() == "pidscope: compiling for this kernel, once\n"


def test_what_takes_long_is_printed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_PATIENCE_S", 1e-6)
    stream, progress = stderr(monkeypatch, True), Progress()
    before = signal.getsignal(signal.SIGALRM)
    progress.phase("testing the hooks (fentry)")
    with progress.patient():
        while not stream.getvalue():
            signal.sigtimedwait([], 0.001)  # a handler runs between instructions of Python's
    assert stream.getvalue() == "pidscope: starting takes a while: testing the hooks (fentry)\n"
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_printed_of_a_start_that_is_quick(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    stream, progress = stderr(monkeypatch, terminal), Progress()
    with progress.patient():
        progress.phase("testing the hooks (fentry)")
        assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) is terminal
    assert stream.getvalue() == ""


def test_nor_of_what_a_note_says_already(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, progress = stderr(monkeypatch, True), Progress()
    progress.note("compiling for this kernel, once")
    progress._print()
    assert stream.getvalue().count("compiling") == 1


def test_a_library_prints_nothing_and_leaves_signals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, progress = stderr(monkeypatch, True), Progress(quiet=True)
    with progress.patient():
        progress.note("compiling for this kernel, once")
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert stream.getvalue() == ""
