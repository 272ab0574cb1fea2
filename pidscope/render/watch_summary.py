"""The summary of a watch, in a line or two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pidscope.events import ERESTARTNOINTR, Event, ForkFailed, Lost, PidAttached, Repaired
from pidscope.limits.failure import errno_name

_OF_STREAM = (Lost, Repaired)


class WatchSummary:
    """Counts of one watch.

    Args:
        sees_failures: whether the watch observes failed forks.
    """

    def __init__(self, sees_failures: bool) -> None:
        self._sees_failures = sees_failures
        self._events = self._shown = self._births = 0
        self._failed: Counter[int] = Counter()  # by errno
        self._restarted = 0

    def add(self, event: Event, included: bool, shown: bool) -> None:
        """Count an event; births and failed forks only of those that were ``included``."""
        if isinstance(event, PidAttached):
            self._births += included and event.birth is not None
        elif isinstance(event, _OF_STREAM):
            return
        elif included and isinstance(event, ForkFailed):
            self._fail(event)
        self._events += 1
        self._shown += shown

    def _fail(self, event: ForkFailed) -> None:
        if event.is_restarted:
            self._restarted += 1
        else:
            self._failed[event.errno] += 1

    def text(self, lost: int) -> str:
        """Return the summary; ``lost`` records were never observed."""
        head = f"{self._events} events, {self._shown} shown, {lost} lost"
        return f"{head}; births {self._births}, {self._failures()}"

    def add_counted(self, births: int, failed: Mapping[int, int]) -> None:
        """Add what the kernel counted; ``failed`` forks are by errno."""
        self._births += births
        self._restarted += failed.get(ERESTARTNOINTR, 0)
        self._failed.update({key: n for key, n in failed.items() if key != ERESTARTNOINTR})

    def text_counted(self) -> str:
        """Return the summary of what the kernel counted."""
        return f"counted in the kernel; births {self._births}, {self._failures()}"

    def _failures(self) -> str:
        if not self._sees_failures:
            return "failed forks not observed"
        text = f"failed forks {sum(self._failed.values())}"
        kinds = [f"{errno_name(number)} {n}" for number, n in self._failed.most_common()]
        text += f": {', '.join(kinds)}" if kinds else ""
        return f"{text}; restarted {self._restarted}" if self._restarted else text
