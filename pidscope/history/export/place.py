"""What one file of a recording says of all its tasks: boot, host, clocks, cgroups, containers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Callable, NamedTuple

from pidscope.escape import printable
from pidscope.history.export.task import Place
from pidscope.history.past import chains_in
from pidscope.query.process import escaped

_U64_DIGITS = 20
_PARENTS = 1_024


class Offsets(NamedTuple):
    """By how many ns the wall clock is ahead of CLOCK_BOOTTIME, from each of these times on."""

    since: Sequence[int]
    offsets: Sequence[int]

    def at(self, boottime_ns: int) -> int | None:
        """Return the offset of a time; None: it was before the first of them."""
        place = bisect_right(self.since, boottime_ns)
        return self.offsets[place - 1] if place else None


def place_of(
    head: Mapping[str, Any],
    objects: Sequence[Mapping[str, Any]],
    before: Callable[[int], int | None],
) -> Place:
    """Return what a file says; what is malformed is left out.

    Args:
        head: of the file.
        objects: all that the file has beside rows, its head, too.
        before: gives the wall clock's time of what was before the file.
    """
    offsets = offsets_of(objects)
    before = lru_cache(maxsize=_PARENTS)(before)  # many tasks have the same parent

    def wall_ns(boottime_ns: int) -> int | None:
        offset = offsets.at(boottime_ns)
        return before(boottime_ns) if offset is None else boottime_ns + offset

    chains = {number: tuple(map(escaped, it)) for number, it in chains_in(objects).items()}
    initial_ns = head.get("initial_ns")
    return Place(
        boot_id=_text(head.get("boot_id")),
        host=_text(head.get("host")),
        initial_ns=initial_ns if isinstance(initial_ns, int) else None,
        wall_ns=wall_ns,
        cgroups=dict(_paths(objects)),
        chains=chains,
    )


def offsets_of(objects: Iterable[Mapping[str, Any]]) -> Offsets:
    """Return the offsets that a file states: at its beginning, and after each step."""
    found = []
    for it in objects:
        clock = it.get("clock") if it.get("type") in ("head", "clock") else None
        if isinstance(clock, dict):
            boot, wall = clock.get("boottime_ns"), clock.get("realtime_ns")
            if isinstance(boot, int) and isinstance(wall, int):
                found.append((boot, wall - boot))
    found.sort()
    return Offsets([it[0] for it in found], [it[1] for it in found])


def _text(value: object) -> str | None:
    return printable(value) if isinstance(value, str) else None


def _paths(objects: Iterable[Mapping[str, Any]]) -> Iterable[tuple[int, str]]:
    for it in objects:
        values = it.get("cgroups") if it.get("type") == "cgroups" else None
        for number, path in values.items() if isinstance(values, dict) else ():
            is_number = number.isascii() and number.isdigit() and len(number) <= _U64_DIGITS
            if is_number and isinstance(path, str):
                yield int(number), printable(path)
