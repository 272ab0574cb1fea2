"""One task that a command looks at: by its number in WHERE, or whoever WHERE stands for."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NamedTuple

from pidscope.containers.container import Chain
from pidscope.errors import HostError, NotFound
from pidscope.query import process as documents
from pidscope.query.lookup import Held, Numbers
from pidscope.query.process import Process
from pidscope.query.where import Kind, Place, Where, bracketed, no_process
from pidscope.snapshot import Snapshot
from pidscope.sources.listing import Listed
from pidscope.sources.where import ROOT, containers_of, place_of


class Seen(NamedTuple):
    """What was read of a world, threads too, and what ``--in`` says."""

    world: Listed
    where: Where | None
    snapshot: Snapshot
    everyone: list[Process]
    containers: Mapping[int, Chain] | None  # around each process; None: nobody asked
    complete: bool  # nobody and nothing was hidden

    def place(self) -> Place:
        """Return the namespace that ``--in`` names, or the mount's; raise as `place_of` does."""
        if self.where is None:
            return Place(self.world.mount.ns)
        return place_of(self.where, self.world, self.snapshot, self.containers)

    def by_number(self, number: int, place: Place) -> Process:
        """Return the task that has a number in a place.

        Raises NotFound, or HostError where somebody may have it whom this user may not see.
        """
        taken = Numbers(self.everyone, place.ns).who(number)
        if taken.task is not None:
            return taken.task
        nobody = f"no task is {number} in {bracketed(place.ns)}"
        if taken.held is not None:
            raise NotFound(nobody, f"it stays taken, as the {_held_by(taken.held)}")
        if not self.complete:
            raise HostError(f"{nobody} that this user may see", ROOT)
        raise NotFound(nobody, "pidscope ps --threads lists them")

    def stands_for(self) -> tuple[Process, Place | None]:
        """Return who WHERE stands for, and its place if that was asked for.

        For ``pid:N`` that is N; for a container its first process; else the number 1 there. For
        ``self``, or nothing, it is who asks, but of a simulated kernel nobody does. Raises as
        `place` and `by_number` do.
        """
        own = self.world.proc.own_number()
        if own is not None and (self.where is None or self.where.kind is Kind.SELF):
            return self._here(own), None
        if self.where is not None and self.where.kind is Kind.PID:
            return self._here(self.where.number), None
        place = self.place()
        first = self._here(self._first(place)) if place.container else self.by_number(1, place)
        return first, place

    def _here(self, number: int) -> Process:
        """Return the task of this number in the mount's namespace."""
        for task in self.everyone:
            if task["tid"] == number:
                return task
        raise NotFound(no_process(number, self.world.proc.sees_all()))

    def _first(self, place: Place) -> int:
        """Return the oldest process of the container."""
        leaders = documents.leaders(self.snapshot)
        chains = self.containers or {}
        inside = place.container
        members = {pid for pid in leaders if chains.get(pid, ())[: len(inside)] == inside}
        tasks = [task for task in self.snapshot.tasks if task.number in members]
        return min(tasks, key=lambda task: (task.start_ticks or 0, task.number)).number


def see(world: Listed, args: argparse.Namespace) -> Seen:
    """Read a world."""
    where: Where | None = args.where
    placed = where is not None and where.needs_containers
    starts = args.json or placed
    snapshot = world.proc.snapshot(threads=True, starts=starts, cgroups=placed)
    containers = containers_of(world, snapshot, ())
    everyone = world.processes(snapshot)
    complete = documents.is_complete(everyone) and world.proc.sees_all()
    return Seen(world, where, snapshot, everyone, containers, complete)


def _held_by(held: Held) -> str:
    kinds = [
        name for name, members in (("group", held.group), ("session", held.session)) if members
    ]
    first = min((*held.group, *held.session))
    return f"{' and the '.join(kinds)} of process {first}"
