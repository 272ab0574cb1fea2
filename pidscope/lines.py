"""Events and verdicts as lines of text for people.

Pure. A stream cannot wait for its widest cell, so the columns are fixed. Foreign strings come
escaped. A number stands with its namespaces: ``4242/17`` is 4242 in the initial one, 17 inside.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pidscope.escape import escape
from pidscope.event import (
    Event,
    ForkFailed,
    Lost,
    NamespaceCreated,
    NamespaceDying,
    PidAllocated,
    PidAttached,
    PidDetached,
    PidFreed,
    PidNumbers,
    PidRefused,
    PidTransferred,
    Repaired,
    TaskCreated,
    TaskExecuted,
    TaskExited,
    TaskFreed,
    TaskMoved,
    TaskRenamed,
    TaskSeen,
    TidsExchanged,
)
from pidscope.hooks import TRACEPOINT
from pidscope.verify import Judgement, hooks_agree

HEADING = f"{'TIME':<15} {'EVENT':<9} {'PID':<20} DETAIL"
WIDTH = 79


def event_line(
    event: Event, clock: Callable[[int], datetime], numbers: Callable[[int], str]
) -> str:
    """One event as one line.

    Args:
        clock: turns nanoseconds of CLOCK_BOOTTIME into local time.
        numbers: gives a living task's numbers at every level, as `of` does.
    """
    word, pid, detail = _parts(event, numbers)
    time = clock(event.ts_ns).strftime("%H:%M:%S.%f")
    return _cut(f"{time:<15} {word:<9} {pid:<20} {detail}")


def of(numbers: tuple[int, ...]) -> str:
    """The numbers of a struct pid, outermost first."""
    return "/".join(map(str, numbers))


def _cut(line: str) -> str:
    line = line.rstrip()
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _pid(pid: PidNumbers) -> str:
    return of(pid.numbers)


def _parts(event: Event, numbers: Callable[[int], str]) -> tuple[str, str, str]:
    if isinstance(event, PidAttached):
        return _attached(event, numbers)
    if isinstance(event, (PidAllocated, PidFreed)):
        word = "alloc" if isinstance(event, PidAllocated) else "free"
        return word, _pid(event.pid), f"in ns {event.pid.ns} by {numbers(event.by)}"
    if isinstance(event, (NamespaceCreated, NamespaceDying)):
        word = "ns new" if isinstance(event, NamespaceCreated) else "ns dying"
        return word, f"ns {event.ns}", f"level {event.level} in {event.parent}"
    if isinstance(event, Lost):
        return "LOST", "", f"{event.total} records could not be written so far"
    if isinstance(event, Repaired):
        return "REPAIRED", *_repair(event)
    if isinstance(event, (PidRefused, ForkFailed)):
        word = "no number" if isinstance(event, PidRefused) else "fork fail"
        return word, "", f"{errno.errorcode.get(event.errno, event.errno)} by {numbers(event.by)}"
    return _of_task(event, numbers)


def repair(event: Repaired) -> str:
    """A repair, as one line among verdicts."""
    return " ".join(("REPAIRED", *_repair(event)))


def _repair(event: Repaired) -> tuple[str, str]:
    gap = f"({event.suspect_ns / 1e9:.2f} s, {event.lost} lost)"
    return f"exact again, from {event.tasks} tasks on", gap


def _attached(event: PidAttached, numbers: Callable[[int], str]) -> tuple[str, str, str]:
    birth = event.birth
    if birth is None:
        word = event.pid_type.name.lower()
        return word, numbers(event.tid), f"now {_pid(event.pid)}"
    if birth.tgid != event.tid:
        return "thread", _pid(event.pid), f"of {numbers(birth.tgid)} {escape(birth.comm)}"
    return "birth", _pid(event.pid), f"by {numbers(event.by)} {escape(birth.comm)}"


def _of_task(
    event: PidDetached
    | TidsExchanged
    | PidTransferred
    | TaskCreated
    | TaskExecuted
    | TaskRenamed
    | TaskExited
    | TaskMoved
    | TaskSeen
    | TaskFreed,
    numbers: Callable[[int], str],
) -> tuple[str, str, str]:
    pid = numbers(event.tid)
    if isinstance(event, TaskExited):
        return "exit", pid, _ending(event.exit_code)
    if isinstance(event, PidDetached):
        return "release", pid, f"by {numbers(event.by)}"
    if isinstance(event, TaskFreed):
        return "freed", str(event.tid), ""
    if isinstance(event, TaskExecuted):
        return "exec", pid, escape(event.comm)
    if isinstance(event, TaskRenamed):
        return "rename", pid, escape(event.comm)
    if isinstance(event, TaskSeen):
        pgid, sid = event.birth.pgid, event.birth.sid
        return "seen", _pid(event.pid), f"pgid {_pid(pgid)} sid {_pid(sid)}"
    if isinstance(event, TidsExchanged):
        return "exchange", pid, f"takes over {numbers(event.leader)}"
    if isinstance(event, PidTransferred):
        return "transfer", pid, f"{event.pid_type.name} from {numbers(event.old)}"
    if isinstance(event, TaskCreated):
        return "created", pid, f"flags {event.flags:#x} cgroup {event.cgroup_id}"
    return "moved", pid, f"cgroup {event.cgroup_id}"


def _ending(code: int) -> str:
    return f"signal {code & 0x7F}" if code & 0x7F else f"status {code >> 8 & 0xFF}"


def disagreement(bug: Judgement) -> str:
    """A verdict that is a bug, as one line."""
    line = f"{bug.verdict.value.upper()} {bug.number}: {bug.reason}"
    return f"{line}; expected {bug.expected or 'nothing'}; seen {bug.seen or 'nothing'}"


def accounts_agree(summary: Mapping[str, Any]) -> bool:
    """Whether no record has vanished uncounted, as far as the hooks' runs can tell."""
    births = summary["births"]
    if births is not None and births["proc_stat"] != births["told"]:
        return False
    return not summary["hooks_at_rest"] or hooks_agree(summary["hooks"], summary["lost"])


def verification(summary: Mapping[str, Any]) -> str:
    """The sum of a verification, for people."""
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
        rows.append("  no proof: tracepoints tell after the act, and not of setpgid and setsid")
    rows += _hook_rows(summary)
    births = summary["births"]
    if births is not None and births["proc_stat"] != births["told"]:
        rows.append(f"  {births['told']} births told of, {births['proc_stat']} in /proc/stat")
    if summary["skipped"]:
        rows.append(f"  {summary['skipped']} runs of hooks left out by the kernel")
    if "cmd_counts" in summary:
        counts = ", ".join(f"{name} {n}" for name, n in summary["cmd_counts"].items() if n)
        least = "at least " if summary["lost"] else ""
        rows.append(
            f"  CMD's status {summary['cmd_status']}; its tree: {least}{counts or 'nothing'}"
        )
    return "\n".join(rows)


def _hook_rows(summary: Mapping[str, Any]) -> list[str]:
    hooks = summary["hooks"]
    if not summary["hooks_at_rest"]:
        return ["  the hooks' runs could not be counted: this host is never at rest"]
    uneven = [name for name, hook in hooks.items() if hook["hits"] != hook["accounted"]]
    if not uneven:
        return [f"  every run of a hook accounted for: {sum(h['hits'] for h in hooks.values())}"]
    return [
        f"  {name}: ran {hooks[name]['hits']} times, records account for {hooks[name]['accounted']}"
        for name in uneven
    ]
