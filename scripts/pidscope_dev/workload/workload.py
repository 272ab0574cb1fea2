"""What a workload is: a name, what it does, and the exact counts of what it causes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pidscope_dev.arguments import Arguments, positive
from pidscope_dev.workload.family import Family

Options = Namespace
Counts = Mapping[str, int]

COUNTED = (
    "births",
    "processes",
    "threads",
    "failed_forks",
    "change_pid",
    "exchange_tids",
    "transfer_pid",
    "namespaces",
    "releases",
)
"""What may be counted, in the order of printing.

births         tasks created (attach_pid of type PID), = processes + threads
failed_forks   copy_process returned an errno
change_pid     calls of change_pid: setsid 2, setpgid to another group 1, to the same 0
exchange_tids  exec by a thread that is not the leader (5.8 and later)
transfer_pid   3 for each of those: TGID, PGID, SID (4.19 and later)
namespaces     copy_pid_ns made a new one
releases       release_task: every birth has one
"""


@dataclass(frozen=True)
class Workload:
    """One workload; the main process's own birth and release are in no count."""

    name: str
    run: Callable[[Family, Options], str | None]
    """Do it; returns a note to be printed, if any. Raises Failure or OSError."""
    summary: str
    expect: Callable[[Options], Counts]
    """The exact counts for these options; empty when they are not known before."""
    arguments: Arguments = field(default_factory=dict)
    """Its own arguments."""


def counts(
    processes: int,
    threads: int = 0,
    *,
    failed_forks: int = 0,
    change_pid: int = 0,
    exchange_tids: int = 0,
    namespaces: int = 0,
) -> Counts:
    """All the counts, from those that do not follow from others."""
    births = processes + threads
    execs = (exchange_tids, 3 * exchange_tids)
    values = (births, processes, threads, failed_forks, change_pid, *execs, namespaces, births)
    return dict(zip(COUNTED, values))


def exactly(processes: int, threads: int = 0, **others: int) -> Callable[[Options], Counts]:
    """Counts that no option changes."""
    fixed = counts(processes, threads, **others)
    return lambda options: fixed


SECONDS = {
    "--seconds": {
        "type": positive,
        "metavar": "S",
        "help": "end after S seconds; without it at SIGTERM or the end of a standard input pipe",
    }
}
"""The argument of a workload that lasts until it is asked to end."""
