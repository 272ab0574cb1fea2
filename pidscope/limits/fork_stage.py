"""How far a failed fork had come, and in which namespace its child was to live, from the events.

Pure. No event reports the begin of a fork. Events report that ``alloc_pid()`` refused, that it gave
numbers out (if intermediate events are on), and how ``copy_process()`` ended.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from pidscope import events
from pidscope.table.table import Table

_REMEMBERED = 1024
_FOLLOWED = (
    events.PidAttached,
    events.PidRefused,
    events.PidAllocated,
    events.ForkFailed,
    events.NamespaceDying,
    events.Lost,
)


class Stage(enum.Enum):
    """How far ``copy_process()`` had come, by the events."""

    UNKNOWN = "unknown"  # no intermediate events: before alloc_pid() or after it
    BEFORE = "before"
    REFUSED = "refused"
    BEHIND = "behind"


class Facts(NamedTuple):
    """What events and the table show of a failed fork; None: not known."""

    stage: Stage
    home: int | None  # inum of the namespace that the forker lives in
    level: int | None  # of the namespace of its children
    dead: bool  # as far as is known, no task with number 1 is alive in it


class Attempts:
    """Follows the events of forks that are under way, to know at which stage one failed.

    Args:
        steps: whether events also report successes of ``alloc_pid()``.
    """

    def __init__(self, steps: bool) -> None:
        self._otherwise = Stage.BEFORE if steps else Stage.UNKNOWN
        self._stages: dict[int, Stage] = {}  # by the forker's number
        self._dying: dict[int, None] = {}  # inums, as an ordered set

    def add(self, event: events.Event) -> None:
        """Follow one event; a failure only after its `facts` were taken."""
        if not isinstance(event, _FOLLOWED):
            return  # most are not
        if isinstance(event, events.PidAttached):
            if event.birth is not None:
                self._stages.pop(event.by, None)
                if event.pid.numbers[-1] == 1:
                    self._dying.pop(event.pid.ns, None)
        elif isinstance(event, events.PidRefused):
            self._remember(event.by, Stage.REFUSED)
        elif isinstance(event, events.PidAllocated):
            self._remember(event.by, Stage.BEHIND)
        elif isinstance(event, events.ForkFailed):
            self._stages.pop(event.by, None)
        elif isinstance(event, events.NamespaceDying):
            self._dying[event.ns] = None
            _trim(self._dying)
        elif isinstance(event, events.Lost):
            self._stages.clear()

    def facts(self, event: events.ForkFailed, table: Table) -> Facts:
        """Return what is known of a failure that has not been added yet."""
        task = table.task(event.by)
        home = task.pid.ns if task is not None and task.pid is not None else None
        ns = table.namespaces.get(event.children_ns)
        first = ns.pids.get(1) if ns is not None else None
        return Facts(
            self._stages.get(event.by, self._otherwise),
            None if home is None else home.inum,
            None if ns is None else ns.level,
            event.children_ns in self._dying or first is None or first.task is None,
        )

    def _remember(self, by: int, stage: Stage) -> None:
        self._stages[by] = stage
        _trim(self._stages)


def _trim(remembered: dict[int, Stage] | dict[int, None]) -> None:
    """Forget the oldest: where a hook is missing, no event may report the end of a fork."""
    if len(remembered) > _REMEMBERED:
        del remembered[next(iter(remembered))]
