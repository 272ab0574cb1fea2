"""Who has the same number in other PID namespaces, when nobody said which one was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from pidscope.query.process import Process
from pidscope.query.where import bracketed, describe
from pidscope.sources.listing import Listed
from pidscope.terminal import warn

_MOST_TOLD = 5


class Namesake(NamedTuple):
    """A process with a number that was asked for, in a namespace that was not."""

    number: int
    ns: int
    process: Process


def namesakes(
    processes: Iterable[Process], numbers: Collection[int], ns: int | None
) -> Iterator[Namesake]:
    """Yield the processes that have one of ``numbers`` in another namespace than ``ns``.

    ``ns`` None: the outermost one, whose inum may not be read.
    """
    for process in processes:
        for depth, level in enumerate(process["levels"]):
            elsewhere = depth > 0 if ns is None else level["ns"] != ns
            if elsewhere and level["ns"] is not None and level["pid"] in numbers:
                yield Namesake(level["pid"], level["ns"], process)


def warn_elsewhere(world: Listed, processes: list[Process], numbers: Collection[int]) -> None:
    """Say on standard error who else is called by one of ``numbers``, and how to ask for it."""
    ns = world.mount.ns
    if not any(namesakes(processes, numbers, ns)):
        return
    # Read once more, with cgroups: one lookup in many has to name containers.
    snapshot = world.proc.snapshot(threads=False, starts=False, cgroups=True)
    chains = world.containers(snapshot) or {}
    found = sorted(
        namesakes(world.processes(snapshot), numbers, ns), key=lambda it: (it.number, it.ns)
    )
    for number, inner, process in found[:_MOST_TOLD]:
        chain = chains.get(process["pid"], ())
        named = f", {describe(chain)}" if chain else ""
        warn(f"{number} in {bracketed(inner)} is {process['pid']} {process['comm']}{named}")
    more = len(found) - _MOST_TOLD
    if more > 0:
        warn(f"… and {more} more")
    if found:
        warn("--in says which namespace is meant")
