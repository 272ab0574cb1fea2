"""Every PID of every task at every level of Linux PID namespaces.

The library on one page. A source is this host's kernel (``live``: root, eBPF) or a kernel in Python
(``simulated[:SCENARIO]``: no privilege). A bare number is one in the initial PID namespace; beside
any other stands the inum of its namespace.

Open a `Source`, and iterate its events; `pidscope.events` has one class for each:

>>> import os, pidscope
>>> with pidscope.open("simulated:reuse") as source:
...     reported = list(source.events())
>>> isinstance(source, pidscope.Source)
True
>>> ends = [event for event in reported if isinstance(event, pidscope.events.PidDetached)]
>>> ends[0].tid, ends[0].exit_code
(8, 0)

Hold its `Table` of tasks, struct pids and namespaces, which the events keep up to date:

>>> with pidscope.open("simulated:containers") as source:
...     for event in source.events():
...         table = source.table
>>> isinstance(table, pidscope.Table)
True
>>> sorted(table.namespaces)
[4026531836, 4026531840, 4026531841]
>>> table.task(19).comm, table.task(19).pid.numbers
(b'nginx', (19, 1))

Translate a number from one namespace to another, the initial one by default:

>>> source.translate(17, ns=4026531840)
35
>>> source.translate(35, ns=4026531836, to=4026531840)
17
>>> source.translate(99, ns=4026531840)
Traceback (most recent call last):
pidscope.errors.NotFound: no process has PID 99 in pid:[4026531840]

Verify: compare every number with /proc, and count each `Verdict` in a `Tally`:

>>> tally = source.verify()
>>> isinstance(tally, pidscope.Tally) and tally.good
True
>>> tally.counts[pidscope.Verdict.AGREE]
25

List each `Process` with a `Level` for each namespace that it has a number in: of a source, or of
this host's /proc, as any user and without a watch:

>>> nginx = source.processes()[-1]
>>> isinstance(nginx, pidscope.Process), isinstance(nginx.levels[-1], pidscope.Level)
(True, True)
>>> os.getpid() in [process.levels[-1].pid for process in pidscope.processes()]
True

What goes wrong raises a `PidscopeError` with a ``hint`` what to do and the command line's
``exit_code``: `UsageError`, `HostError` (this host cannot do it), `NotFound` and others of
`pidscope.errors`.

>>> with pidscope.open("simulated:nowhere"):
...     pass
Traceback (most recent call last):
pidscope.errors.UsageError: no scenario 'nowhere'
>>> [error.exit_code for error in (pidscope.UsageError, pidscope.HostError, pidscope.NotFound)]
[2, 3, 1]
>>> issubclass(pidscope.HostError, pidscope.PidscopeError)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pidscope import events
    from pidscope.errors import HostError, NotFound, PidscopeError, UsageError
    from pidscope.query.process import Level, Process
    from pidscope.sources.opened import Source, open, processes
    from pidscope.table.table import Table
    from pidscope.verify.verdicts import Tally, Verdict

__version__ = "0.1.0"
__all__ = [
    "HostError",
    "Level",
    "NotFound",
    "PidscopeError",
    "Process",
    "Source",
    "Table",
    "Tally",
    "UsageError",
    "Verdict",
    "events",
    "open",
    "processes",
]
_MODULES = {
    **dict.fromkeys(("HostError", "NotFound", "PidscopeError", "UsageError"), "pidscope.errors"),
    **dict.fromkeys(("Level", "Process"), "pidscope.query.process"),
    **dict.fromkeys(("Source", "open", "processes"), "pidscope.sources.opened"),
    "Table": "pidscope.table.table",
    **dict.fromkeys(("Tally", "Verdict"), "pidscope.verify.verdicts"),
}


def __getattr__(name: str) -> Any:
    """Import an exported name when it is used: a command pays only for what it needs."""
    if name == "events":
        return importlib.import_module("pidscope.events")
    if name not in _MODULES:
        raise AttributeError(f"module 'pidscope' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
