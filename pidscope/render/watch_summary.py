"""What a watch saw, in a line or two for its end."""

from __future__ import annotations

from collections import Counter

from pidscope.events import Event, ForkFailed, Lost, PidAttached, Repaired
from pidscope.limits.failure import errno_name

_OF_STREAM = (Lost, Repaired)


class Totals:
    """Counts of one watch.

    Args:
        sees_failures: whether failed forks are told of.
    """

    def __init__(self, sees_failures: bool) -> None:
        self._sees_failures = sees_failures
        self._seen = self._shown = self._births = 0
        self._failed: Counter[int] = Counter()  # by errno
        self._made_again = 0

    def add(self, event: Event, chosen: bool, shown: bool) -> None:
        """Count an event; births and failed forks only of those that were ``chosen``."""
        if isinstance(event, PidAttached):
            self._births += chosen and event.birth is not None
        elif isinstance(event, _OF_STREAM):
            return
        elif chosen and isinstance(event, ForkFailed):
            self._fail(event)
        self._seen += 1
        self._shown += shown

    def _fail(self, event: ForkFailed) -> None:
        if event.is_made_again:
            self._made_again += 1
        else:
            self._failed[event.errno] += 1

    def text(self, lost: int) -> str:
        """The sum; ``lost`` records were never seen."""
        head = f"{self._seen} events, {self._shown} shown, {lost} lost"
        return f"{head}; births {self._births}, {self._failures()}"

    def _failures(self) -> str:
        if not self._sees_failures:
            return "failed forks not seen"
        told = f"failed forks {sum(self._failed.values())}"
        kinds = [f"{errno_name(number)} {n}" for number, n in self._failed.most_common()]
        told += f": {', '.join(kinds)}" if kinds else ""
        return f"{told}; made again {self._made_again}" if self._made_again else told
