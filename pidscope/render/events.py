"""Events and verdicts as lines of text for people.

Pure. A stream cannot wait for its widest cell, so the columns are fixed. Foreign strings are
escaped. A number is shown at every level: ``4242/17`` is 4242 in the initial namespace, 17 inside.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import datetime
from textwrap import wrap
from typing import Any, Callable, NamedTuple

from pidscope import events
from pidscope.containers.container import shorten_ids
from pidscope.escape import escape
from pidscope.limits.failure import Reason, errno_name
from pidscope.render.event_names import event_name
from pidscope.render.text import COMM_WIDTH, WIDTH, cut, cut_middle
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Judgement
from pidscope.wire.hooks import TRACEPOINT

HEADING = f"{'TIME':<12} {'EVENT':<9} {'PID':<18} {'COMM':<15} DETAIL"
_INDENT = " " * 13
_PID = 18
_SIGNALS = {number.value: number.name.removeprefix("SIG") for number in signal.Signals}


class TaskLabel(NamedTuple):
    """What people call a task: its numbers at every level as `numbers_text` has them, its comm."""

    numbers: str
    comm: bytes


LabelOf = Callable[[int], TaskLabel]
"""The label of a living task, by its number in the initial namespace; of an unknown one: that."""


class _Cells(NamedTuple):
    pid: str
    comm: bytes
    detail: str


def event_line(
    event: events.Event,
    clock: Callable[[int], datetime],
    label: LabelOf,
    why: Reason | None = None,
    is_last: bool | None = None,
) -> str:
    """One event as one line.

    Args:
        clock: turns nanoseconds of CLOCK_BOOTTIME into local time.
        why: the reason of a failed fork.
        is_last: a process ends with this exit; None: not known.
    """
    time = clock(event.ts_ns).strftime("%H:%M:%S.%f")[:-3]
    head = f"{time:<12} {event_name(event):<9} "
    if isinstance(event, (events.Lost, events.Repaired)):
        return cut(head + " ".join(_gap(event)), WIDTH)
    cells = _cells(event, label, why)
    if isinstance(event, events.TaskExited):
        cells = cells._replace(detail=_exit_detail(event, is_last))
    pid = cut_middle(cells.pid, _PID, "/")
    comm = cut(escape(cells.comm).rstrip(), COMM_WIDTH)
    line = f"{head}{pid:<{_PID}} {comm:<{COMM_WIDTH}} {cells.detail}"
    return cut(line.rstrip(), WIDTH)


def reason_lines(why: Reason) -> list[str]:
    """Why a fork failed, as lines that stand below its own."""
    return [_INDENT + line for line in _folded(shorten_ids(why.sentence))]


def _folded(text: str) -> list[str]:
    return wrap(text, WIDTH - len(_INDENT), break_on_hyphens=False)


def numbers_text(numbers: tuple[int, ...]) -> str:
    """The numbers of a struct pid, outermost first."""
    return "/".join(map(str, numbers))


def _pid(pid: events.PidNumbers) -> str:
    return numbers_text(pid.numbers)


def gap_line(event: events.Lost | events.Repaired) -> str:
    """A loss or a repair, as one line among verdicts or notes."""
    return " ".join((event_name(event), *_gap(event)))


def _gap(event: events.Lost | events.Repaired) -> tuple[str, ...]:
    if isinstance(event, events.Lost):
        return (f"{event.total} records could not be written so far",)
    gap = f"({event.suspect_ns / 1e9:.2f} s, {event.lost} lost)"
    return f"exact again, from {event.tasks} tasks on", gap


def _cells(event: events.Event, label: LabelOf, why: Reason | None) -> _Cells:
    assert not isinstance(event, (events.Lost, events.Repaired))
    if isinstance(event, events.PidAttached):
        return _attached(event, label)
    if isinstance(event, events.TaskSeen):
        pgid, sid = event.birth.pgid, event.birth.sid
        detail = f"pgid {_pid(pgid)} sid {_pid(sid)}"
        return _Cells(_pid(event.pid), event.birth.comm, detail)
    if isinstance(event, (events.PidAllocated, events.PidFreed)):
        numbers, comm = label(event.by)
        return _Cells(_pid(event.pid), comm, f"by {numbers}")
    numbers, comm = label(getattr(event, "tid", event.by))
    if isinstance(event, events.TaskExecuted):
        was = "" if comm in (event.comm, b"") else f"was {escape(comm)}"
        return _Cells(numbers, event.comm, was)
    if isinstance(event, (events.PidRefused, events.ForkFailed)):
        short = "" if why is None else why.short
        return _Cells(numbers, comm, f"{errno_name(event.errno)} {short}")
    return _Cells(numbers, comm, _DETAILS[type(event)](event, label))


def _attached(event: events.PidAttached, label: LabelOf) -> _Cells:
    birth = event.birth
    if birth is None:
        return _Cells(*label(event.tid), f"now {_pid(event.pid)}")
    if birth.tgid != event.tid:
        return _Cells(_pid(event.pid), birth.comm, f"of {label(birth.tgid).numbers}")
    return _Cells(_pid(event.pid), birth.comm, f"by {label(event.by).numbers}")


_DETAILS: Mapping[type, Callable[[Any, LabelOf], str]] = {
    events.NamespaceCreated: lambda event, label: f"{event.ns} level {event.level}",
    events.NamespaceDying: lambda event, label: f"{event.ns} level {event.level}",
    events.TaskExited: lambda event, label: _exit_detail(event, None),
    events.PidDetached: lambda event, label: f"by {label(event.by).numbers}",
    events.TaskRenamed: lambda event, label: f"now {escape(event.comm)}",
    events.TidsExchanged: lambda event, label: f"takes over {label(event.leader).numbers}",
    events.PidTransferred: lambda event, label: (
        f"{event.pid_type.name} from {label(event.old).numbers}"
    ),
    events.TaskCreated: lambda event, label: f"{event.flags:#x} cgroup {event.cgroup_id}",
    events.TaskMoved: lambda event, label: f"cgroup {event.cgroup_id}",
    events.TaskFreed: lambda event, label: "",
}


def _exit_detail(event: events.TaskExited, is_last: bool | None) -> str:
    """What ends with an exit: a thread, or with its last thread the process."""
    if event.tid == event.tgid:
        return "main thread only" if is_last is False else ending(event.exit_code)
    return ending(event.exit_code) + (f", ends {event.tgid}" if is_last else "")


def ending(code: int) -> str:
    """How a task ended, by its exit code."""
    number = code & 0x7F
    if not number:
        return f"status {code >> 8 & 0xFF}"
    name = _SIGNALS.get(number, "")
    return f"signal {number} {name}".rstrip()


def disagreement(bug: Judgement) -> str:
    """A verdict that is a bug, as one line."""
    line = f"{bug.verdict.value.upper()} {bug.number}: {bug.reason}"
    return f"{line}; expected {bug.expected or 'nothing'}; observed {bug.seen or 'nothing'}"


def accounts_agree(summary: Mapping[str, Any]) -> bool:
    """Return whether each run of a hook has its record, as far as they could be counted."""
    births = summary["births"]
    if births is not None and births["proc_stat"] != births["told"]:
        return False
    return not summary["hooks_at_rest"] or hooks_agree(summary["hooks"], summary["lost"])


def verification(summary: Mapping[str, Any]) -> str:
    """The summary of a verification, for people."""
    bugs = summary["missing"] + summary["ghost"] + summary["wrong"]
    proved = summary["complete"] and not bugs and accounts_agree(summary)
    head = "all agree" if proved else "NOT PROVED"
    by_tracepoints = summary["probes"] == TRACEPOINT
    if by_tracepoints and accounts_agree(summary) and not summary["ungrammatical"]:
        head = "no disagreement, but no proof"
    if bugs:
        head = f"{bugs} DISAGREE"
    own = " of its own" if summary["probes"] == "simulated" else ""
    gaps = f", ungrammatical {summary['ungrammatical']}" if summary["ungrammatical"] else ""
    rows = [
        f"{head}: {summary['compared']} comparisons with /proc in {summary['snapshots']} snapshots",
        f"  agree {summary['agree']}, moved {summary['moved']}, held {summary['held']}, "
        f"unjudged {summary['unjudged']}",
        f"  missing {summary['missing']}, ghost {summary['ghost']}, wrong {summary['wrong']}{gaps}",
        f"  events {summary['events']}, lost {summary['lost']}, repairs {summary['repairs']}, "
        f"probes {summary['probes']}, {summary['elapsed_s']} s{own}",
    ]
    if by_tracepoints:
        rows.append("  no proof: tracepoints report after the change, and never setpgid and setsid")
    rows += _hook_rows(summary)
    births = summary["births"]
    if births is not None and births["proc_stat"] != births["told"]:
        rows.append(f"  {births['told']} births reported, {births['proc_stat']} in /proc/stat")
    if summary["skipped"]:
        rows.append(f"  {summary['skipped']} runs of hooks skipped by the kernel")
    if "cmd_counts" in summary:
        counts = ", ".join(f"{name} {n}" for name, n in summary["cmd_counts"].items() if n)
        least = "at least " if summary["lost"] else ""
        nothing = "its tree: not known" if summary["lost"] else "it forked no process"
        tree = f"its tree: {least}{counts}" if counts else nothing
        rows.append(f"  CMD's status {summary['cmd_status']}; {tree}")
    return "\n".join(rows)


def _hook_rows(summary: Mapping[str, Any]) -> list[str]:
    hooks = summary["hooks"]
    if not summary["hooks_at_rest"]:
        return ["  the runs of the hooks could not be counted: this host is never at rest"]
    uneven = [name for name, hook in hooks.items() if hook["hits"] != hook["accounted"]]
    if not uneven:
        return [f"  every run of a hook accounted for: {sum(h['hits'] for h in hooks.values())}"]
    return [
        f"  {name}: ran {hooks[name]['hits']} times, records account for {hooks[name]['accounted']}"
        for name in uneven
    ]
