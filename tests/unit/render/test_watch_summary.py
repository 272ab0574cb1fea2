"""The sum of a watch: what failed, and what only seemed to."""

from __future__ import annotations

from pidscope.events import ERESTARTNOINTR, ForkFailed
from pidscope.render.watch_summary import WatchSummary


def failed(errno: int) -> ForkFailed:
    return ForkFailed(0, 5, errno, 0, 0, 1)


def test_a_fork_that_is_restarted_is_counted_apart() -> None:
    summary = WatchSummary(sees_failures=True)
    for number in (11, ERESTARTNOINTR, 11, 12, ERESTARTNOINTR):
        summary.add(failed(number), included=True, shown=True)
    summary.add(failed(12), included=False, shown=False)
    assert summary.text(7) == (
        "6 events, 5 shown, 7 lost; births 0, failed forks 3: EAGAIN 2, ENOMEM 1; restarted 2"
    )


def test_nothing_failed_and_nothing_observed_are_different() -> None:
    assert WatchSummary(True).text(0).endswith("births 0, failed forks 0")
    assert WatchSummary(False).text(0).endswith("births 0, failed forks not observed")
