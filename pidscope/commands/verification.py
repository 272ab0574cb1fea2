"""The comparison at the end of a watch, and its sum: for `verify`, and for what records one."""

from __future__ import annotations

from typing import Any, Callable

from pidscope.session.session import Session
from pidscope.verify.verdicts import Tally, Verdict

_FINAL_ATTEMPTS = 100


def judge_finally(session: Session, tally: Tally, report: Callable[[], None]) -> None:
    """Judge one snapshot completely; after a loss in the middle of it, another one.

    ``report`` is called after each.
    """
    for _ in range(_FINAL_ATTEMPTS):
        session.check_all(tally)
        report()
        gaps = session.broken or session.ungrammatical
        if tally.complete or tally.disagreed or gaps or session.unread:
            return
        if not session.proves and not session.suspect:
            return


def summary(session: Session, tally: Tally) -> dict[str, Any]:
    """Return the last object of a verification, less what is known of a CMD and the time."""
    verdicts = {
        verdict.value: tally.counts[verdict] for verdict in Verdict if verdict is not Verdict.GONE
    }
    hooks, at_rest = session.hooks()
    forks = session.forks()
    session.look_for_skipped()  # last: skipped runs explain only what was read before
    return {
        "type": "verification",
        "events": session.stream.events,
        "lost": session.stream.lost,
        "repairs": session.starts - 1,
        "snapshots": tally.snapshots,
        "compared": tally.compared,
        **verdicts,
        "skipped": sum(session.skipped.values()),
        "births": None if forks is None else {"proc_stat": forks[0], "told": forks[1]},
        "ungrammatical": session.faults.count(session.skipped),
        "complete": tally.complete,
        "probes": session.world.way,
        "hooks": hooks,
        "hooks_at_rest": at_rest,
    }
