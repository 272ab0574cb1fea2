"""Whether a process ends with the exit of one of its threads.

Pure: it gets each event before the table does. A process has ended when its last thread has, which
need not be its leader: a leader that exits alone stays a zombie (``delay_group_leader()``), and the
process goes on. What /proc shows to be a zombie is no thread that lives, so a leader that exited
before the events began makes the answer "not known" instead of "no".
"""

from __future__ import annotations

from collections.abc import Iterable

from pidscope.events import Event, PidDetached, Repaired, TaskExited, TidsExchanged
from pidscope.table.pid import Task, ThreadGroup
from pidscope.table.table import Table

_FOLLOWED = (TaskExited, PidDetached, TidsExchanged, Repaired)


class Endings:
    """Follows which tasks have exited and are not released.

    Args:
        since: the table's generation when the events began.
    """

    def __init__(self, since: int) -> None:
        self._since = since
        self._exited: set[int] = set()  # numbers in the initial namespace

    def add(self, event: Event, table: Table) -> None:
        """Follow one event."""
        if not isinstance(event, _FOLLOWED):
            return  # most are not
        if isinstance(event, TaskExited):
            self._exited.add(event.tid)
        elif isinstance(event, PidDetached):
            self._exited.discard(event.tid)
        elif isinstance(event, TidsExchanged):
            # The leader exited by the number that the other has from now on.
            if event.leader in self._exited:
                self._exited.remove(event.leader)
                self._exited.add(event.tid)
        else:  # exits may be among what was lost
            self._since, self._exited = table.generation, set()

    def is_last(self, event: TaskExited, table: Table) -> bool | None:
        """Return whether the process ends with this exit, not followed yet; None: not known."""
        task = table.task(event.tid)
        if task is None:
            return None
        others = self._living(task.group.threads, task)
        if not others:
            return True
        leader_alone = len(others) == 1 and self._may_have_exited(others[0], task.group)
        return None if leader_alone else False

    def _living(self, threads: Iterable[Task], but: Task) -> list[Task]:
        return [
            it
            for it in threads
            if it is not but and it.pid is not None and it.pid.nr not in self._exited
        ]

    def _may_have_exited(self, task: Task, group: ThreadGroup) -> bool:
        """Whether it is a leader that was there before the events."""
        pid = task.pid
        return pid is not None and pid is group.tgid and pid.generation <= self._since
