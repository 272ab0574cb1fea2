"""One task that a command looks at: by its number in WHERE, or whoever WHERE stands for."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from pidscope import documents
from pidscope.commands.listing import Listed
from pidscope.commands.places import ROOT, place_of
from pidscope.documents import Process
from pidscope.errors import HostError, NotFound
from pidscope.lookup import Held, Numbers
from pidscope.snapshot import Snapshot
from pidscope.where import Kind, Place, Where, bracketed


class Seen(NamedTuple):
    """What was read of a world, threads too, and the namespace that ``--in`` names."""

    world: Listed
    where: Where | None
    place: Place
    snapshot: Snapshot
    everyone: list[Process]
    complete: bool  # nobody and nothing was hidden

    def by_number(self, number: int) -> Process:
        """Return the task that has a number there.

        Raises NotFound, or HostError where somebody may have it whom this user may not see.
        """
        taken = Numbers(self.everyone, self.place.ns).who(number)
        if taken.task is not None:
            return taken.task
        nobody = f"no task is {number} in {bracketed(self.place.ns)}"
        if taken.held is not None:
            raise NotFound(f"{nobody}: but it stays taken, as the {_held_by(taken.held)}")
        if not self.complete:
            raise HostError(f"{nobody} that this user may see", ROOT)
        raise NotFound(nobody, "pidscope ps --threads lists them")

    def by_place(self) -> Process:
        """Return who WHERE stands for.

        For ``pid:N`` that is N; for a container its first process; else the number 1 there. For
        ``self``, or nothing, it is who asks, but of a simulated kernel nobody does. Raises as
        `by_number` does.
        """
        own = self.world.proc.own_number()
        if own is not None and (self.where is None or self.where.kind is Kind.SELF):
            return self._here(own)
        if self.where is not None and self.where.kind is Kind.PID:
            return self._here(self.where.number)
        return self._here(self._first()) if self.place.container else self.by_number(1)

    def _here(self, number: int) -> Process:
        """Return the task of this number in the mount's namespace."""
        for task in self.everyone:
            if task["tid"] == number:
                return task
        raise NotFound(f"no process {number}, or none that this user may see")

    def _first(self) -> int:
        """Return the oldest process of the container."""
        leaders = documents.leaders(self.snapshot)
        chains = self.world.containers(leaders) or {}
        inside = self.place.container
        members = {pid for pid in leaders if chains.get(pid, ())[: len(inside)] == inside}
        tasks = [task for task in self.snapshot.tasks if task.number in members]
        return min(tasks, key=lambda task: (task.start_ticks or 0, task.number)).number


def see(world: Listed, args: argparse.Namespace) -> Seen:
    """Read a world; raise as `place_of` does."""
    where: Where | None = args.where
    starts = args.json or (where is not None and where.needs_containers)
    snapshot = world.proc.snapshot(threads=True, starts=starts)
    place = Place(world.mount.ns) if where is None else place_of(where, world, snapshot)
    everyone = world.processes(snapshot)
    complete = documents.is_complete(everyone) and world.proc.sees_all()
    return Seen(world, where, place, snapshot, everyone, complete)


def _held_by(held: Held) -> str:
    kinds = [
        name for name, members in (("group", held.group), ("session", held.session)) if members
    ]
    first = min((*held.group, *held.session))
    return f"{' and the '.join(kinds)} of process {first}"
