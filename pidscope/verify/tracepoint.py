"""The verdict on one file of /proc in tracepoint mode: what is certain without a lock."""

from __future__ import annotations

from pidscope.snapshot import Status
from pidscope.table.pid import Task
from pidscope.table.tracepoint import TracepointTable
from pidscope.verify.verdicts import BUGS, Judgement, Verdict


def judge_tracepoint_table(
    table: TracepointTable,
    number: int,
    before: Task | None,
    status: Status | None,
    ticks: int | None,
) -> Judgement:
    """Judge one reading of ``/proc/N/status``, once all records before its end are applied.

    ``before`` is the task that had the number before the file was opened. Only what is certain is
    judged: if that task is still there and its exit was not reported, it had the number all the
    time.
    """
    task = table.task(number)
    if task is None or task is not before:
        if status is not None or (task is not None and before is not None):
            return Judgement(number, Verdict.UNJUDGED, "told of late")
        return Judgement(number, Verdict.HELD if number in table.root.pids else Verdict.GONE)
    process = {number} if task.group.tgid is None else {number, task.group.tgid.nr}
    if task.group.tgid is None or process & table.exited:
        return Judgement(number, Verdict.UNJUDGED, "its end is near")
    judgement = _judge_numbers(table, number, task, status, ticks)
    if judgement.verdict in BUGS and process & table.unsure:
        return Judgement(number, Verdict.UNJUDGED, "it may have exited before the start")
    return judgement


def _judge_numbers(
    table: TracepointTable, number: int, task: Task, status: Status | None, ticks: int | None
) -> Judgement:
    group, row = task.group, task.pid
    assert row is not None and group.tgid is not None
    if status is None:
        return Judgement(number, Verdict.GHOST, "in the table, not in /proc", f"{row!r}")
    expected = (row.numbers, group.tgid.numbers, table.start_ticks(task))
    seen = (status.ns_pid, status.ns_tgid, expected[2] if ticks is None else ticks)
    if expected != seen:
        what = "NSpid, NStgid, start ticks"
        return Judgement(number, Verdict.WRONG, what, str(expected), str(seen))
    for pid, numbers in ((group.pgid, status.ns_pgid), (group.sid, status.ns_sid)):
        for level, nr in enumerate(numbers):
            ns = row.ns.at(level)
            if pid is None or ns is None or pid.nr_in(ns) != nr:
                return Judgement(number, Verdict.UNJUDGED, "setpgid and setsid are not watched")
    return Judgement(number, Verdict.AGREE)
