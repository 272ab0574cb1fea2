"""One process or thread that a command looks at: by its number somewhere, or by a place alone."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from pidscope.commands.listing import Listed
from pidscope.commands.ps import namespace_at
from pidscope.documents import Process
from pidscope.errors import HostError, PidscopeError

_ROOT = "run as root to see all"


def add_in(parser: argparse.ArgumentParser) -> None:
    """Add ``--in``."""
    parser.add_argument(
        "--in", dest="where", metavar="WHERE", help="host | self | pid:N | ns:INUM | pid:[INUM]"
    )


def by_number(
    number: int,
    args: argparse.Namespace,
    world: Listed,
    everyone: Sequence[Process],
    all_seen: bool,
) -> Process:
    """Return the task that is ``number`` in WHERE, or in the mount's namespace.

    Raises:
        PidscopeError: nobody is; HostError: somebody may be whom this user may not see.
    """
    inum = world.mount.ns
    if args.where is not None:
        inum = namespace_at(args.where, world.proc, world.mount)
    for task in everyone:
        if any(level["ns"] == inum and level["tid"] == number for level in task["levels"]):
            return task
    raise _nobody(number, inum, everyone, all_seen)


def by_place(
    args: argparse.Namespace, world: Listed, everyone: Sequence[Process], all_seen: bool
) -> Process:
    """Return process N for ``pid:N``, else the number 1 of WHERE; without one, who asks.

    Of a simulated kernel nobody asks: there it is the init. Raises as `by_number` does.
    """
    own = world.proc.own_number()
    if own is not None and args.where in (None, "self"):
        return _outside(own, everyone)
    match = re.fullmatch(r"pid:([0-9]{1,10})", args.where or "")
    if match is not None:
        return _outside(int(match[1]), everyone)
    return by_number(1, args, world, everyone, all_seen)


def _outside(number: int, everyone: Sequence[Process]) -> Process:
    """Return the task with this number in the mount's namespace."""
    for task in everyone:
        if task["tid"] == number:
            return task
    raise PidscopeError(f"no process {number}, or none that this user may see")


def _nobody(
    number: int, inum: int | None, everyone: Sequence[Process], all_seen: bool
) -> PidscopeError:
    where = f"pid:[{'?' if inum is None else inum}]"
    held = [
        (task, kind)
        for task in everyone
        for level in task["levels"]
        for kind, taken in (("group", level["pgid"]), ("session", level["sid"]))
        if level["ns"] == inum and taken == number and number
    ]
    if held:
        kinds = sorted({kind for _, kind in held})
        who = min(task["tid"] for task, _ in held)
        what = f"but it stays taken, as the {' and the '.join(kinds)} of process {who}"
        return PidscopeError(f"no task is {number} in {where}: {what}")
    if not all_seen:
        return HostError(f"no task {number} in {where} that this user may see", _ROOT)
    return PidscopeError(f"no task is {number} in {where}", "pidscope ps --threads lists them")
