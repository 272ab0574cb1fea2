"""A source as a program opens it: one watch, with its events, table, answers and verdict."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pidscope.errors import NotFound
from pidscope.events import Event
from pidscope.host.proc import ProcFs
from pidscope.query.place import bracketed
from pidscope.session.session import Session
from pidscope.sources.options import scenario_in
from pidscope.sources.watch import Host, LiveHost, SimulatedHost
from pidscope.table.pid import Namespace
from pidscope.table.table import Table
from pidscope.verify.verdicts import Tally
from pidscope.wire.hooks import AUTO

if TYPE_CHECKING:
    from pidscope.query.process import Process


class Source:
    """One watch over a kernel, live or simulated, from its start on; `open` makes it.

    Not for use by several threads at once.
    """

    def __init__(self, host: Host, session: Session, reported: deque[Event]) -> None:
        self._host = host
        self._session = session
        self._reported = reported

    @property
    def table(self) -> Table:
        """Every living task, struct pid and namespace, after the events that were reported so far.

        A repair after a loss makes a new table: ask for it again rather than keep it.
        """
        table = self._session.table
        assert table is not None
        return table

    def events(self) -> Iterator[Event]:
        """Yield each event in the kernel's order, `Lost` and `Repaired` included.

        A live source waits for the next one and never ends by itself; a simulated one ends with its
        scenario. The table may be ahead of the event that is yielded, by those read with it.

        Raises:
            HostError: the table cannot be repaired after a loss. ScenarioError: a step is wrong.
        """
        while True:
            ended = self._session.world.ended
            self._catch_up()
            while self._reported:
                yield self._reported.popleft()
            if ended:
                return
            self._host.wait(self._session)

    def translate(self, number: int, ns: int, to: int | None = None) -> int | None:
        """Return the number in the PID namespace ``to`` of what ``ns`` calls ``number``.

        Both are inums; None stands for the initial namespace. 0: it has no number there (as
        ``pid_nr_ns()``); None: that is not known.

        Raises:
            NotFound: ``ns`` or ``to`` is no living namespace, or no task, group or session of
                ``ns`` has the number.
        """
        self._catch_up()
        pid = self._namespace(ns).pids.get(number)
        if pid is None:
            raise NotFound(f"no process has PID {number} in {bracketed(ns)}")
        return pid.nr_in(self.table.root if to is None else self._namespace(to))

    def processes(self) -> list[Process]:
        """Return every task as this source's /proc shows it now; raises HostError, ProcError."""
        from pidscope.sources.listing import read

        return read(self._host.listed(), starts=True).processes()

    def verify(self) -> Tally:
        """Compare all numbers with /proc once; ``good`` is true if all agreed and was proved.

        Raises:
            HostError: the table cannot be repaired after a loss.
        """
        tally = Tally()
        self._session.check_all(tally)
        return tally

    def _catch_up(self) -> None:
        self._session.pump()
        if self._session.suspect:
            self._session.begin()

    def _namespace(self, inum: int) -> Namespace:
        found = self.table.namespaces.get(inum)
        if found is None:
            raise NotFound(f"no living namespace is {bracketed(inum)}")
        return found


@contextlib.contextmanager
def open(source: str = "live", *, probes: str = AUTO, steps: bool = False) -> Iterator[Source]:
    """Open a source, for a ``with`` statement, from an exact start on.

    Args:
        source: ``live`` or ``simulated[:SCENARIO]``, as for ``--source``.
        probes: ``auto``, ``fentry``, ``kprobe`` or ``tracepoint``, of a live source.
        steps: the intermediate events are reported, too, as by ``pidscope watch -v``.

    Raises:
        UsageError: there is no such source. ScenarioError: its scenario is wrong.
        HostError: this host cannot be watched; the hint says what to do.
    """
    scenario = scenario_in(source, "live")
    host = LiveHost(ProcFs("/proc"), probes) if scenario is None else SimulatedHost(scenario)
    reported: deque[Event] = deque()

    def listener(event: Event, session: Session) -> None:
        reported.append(event)

    with host.open(listener, judged=False, steps=steps) as session:
        yield Source(host, session, reported)


def processes(proc: str = "/proc") -> list[Process]:
    """Return every task that a mount of /proc shows, threads too, with its number at every level.

    Raises:
        HostError: that is no /proc, or this process has no number in it.
    """
    from pidscope.sources.listed import listed_host
    from pidscope.sources.listing import read

    return read(listed_host(ProcFs(proc)), starts=True).processes()
