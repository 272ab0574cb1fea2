"""The sum of a watch: what failed, and what only seemed to."""

from __future__ import annotations

from pidscope.events import ERESTARTNOINTR, ForkFailed
from pidscope.render.watch_summary import Totals


def failed(errno: int) -> ForkFailed:
    return ForkFailed(0, 5, errno, 0, 0, 1)


def test_a_fork_that_is_made_again_is_told_apart() -> None:
    totals = Totals(sees_failures=True)
    for number in (11, ERESTARTNOINTR, 11, 12, ERESTARTNOINTR):
        totals.add(failed(number), chosen=True, shown=True)
    totals.add(failed(12), chosen=False, shown=False)
    assert totals.text(7) == (
        "6 events, 5 shown, 7 lost; births 0, failed forks 3: EAGAIN 2, ENOMEM 1; made again 2"
    )


def test_nothing_failed_and_nothing_seen_are_different() -> None:
    assert Totals(True).text(0).endswith("births 0, failed forks 0")
    assert Totals(False).text(0).endswith("births 0, failed forks not seen")
