"""How long a watch waits: for the next record, and for those that come shortly after it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pidscope.host.proc import ProcFs
from pidscope.sources.command import IDLE_MS, POLL_MS, Stop
from pidscope.sources.watch import LiveHost


class Poll:
    """Of select.poll(), without letting time pass."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register, self.unregister = self._poll.register, self._poll.unregister
        self.waited: list[float] = []

    def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
        self.waited.append(timeout_ms)
        return self._poll.poll(0)


@pytest.fixture
def host() -> Iterator[tuple[LiveHost, Any, Poll, int]]:
    """A host, a session over it, what it waits with, and the end that makes a record come."""
    ready, writer = os.pipe()
    live = LiveHost(ProcFs(), "auto")
    poll = live._reader._poll = Poll()  # type: ignore[assignment]
    world = SimpleNamespace(ready_fd=ready)
    session = SimpleNamespace(world=world, stream=SimpleNamespace(consumed=0), suspect=False)
    yield live, session, poll, writer
    os.close(ready)
    os.close(writer)


def test_a_host_at_rest_wakes_it_once_a_second(host: tuple[LiveHost, Any, Poll, int]) -> None:
    live, session, poll, writer = host
    for _ in range(3):
        live.wait(session)
    os.write(writer, b"x")
    live.wait(session)
    assert poll.waited == [IDLE_MS] * 4 + [POLL_MS]


def test_what_has_to_be_repaired_does_not_wait(host: tuple[LiveHost, Any, Poll, int]) -> None:
    live, session, poll, _ = host
    session.suspect = True
    live.wait(session)
    live.wait(session)
    assert poll.waited == [POLL_MS, POLL_MS]


def test_the_end_of_the_duration_is_not_missed(host: tuple[LiveHost, Any, Poll, int]) -> None:
    live, session, poll, _ = host
    live.wait(session, rest_s=0.25)
    live.wait(session, rest_s=-1)
    assert poll.waited == [250, 0]


def test_a_signal_ends_the_wait(host: tuple[LiveHost, Any, Poll, int]) -> None:
    """poll(2) is restarted after a handler that raises nothing (PEP 475)."""
    live, session, _, _ = host
    live._reader._poll = select.poll()
    with Stop().listening() as stop:
        stop.begin()
        os.kill(os.getpid(), signal.SIGINT)
        live.wait(session, stop, rest_s=3600)
        assert stop.asked


def test_a_record_ends_the_wait(host: tuple[LiveHost, Any, Poll, int]) -> None:
    live, session, _, writer = host
    live._reader._poll = select.poll()
    os.write(writer, b"x")
    live.wait(session, rest_s=3600)


def test_the_end_of_the_reader_is_found_while_waiting(
    host: tuple[LiveHost, Any, Poll, int],
) -> None:
    live, session, poll, _ = host
    reader, closed = os.pipe()
    poll.register(closed, 0)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        live.wait(session)
    os.close(closed)
