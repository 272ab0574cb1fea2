"""All that a command reads of /proc at once, as JSON and back: for events recordings.

With it go the containers around each process, by the names that they had when it was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.errors import RecordingError
from pidscope.history.event_file import EventFile
from pidscope.history.proc_json import number_of, reading_json, reading_of
from pidscope.snapshot import Kept, Mount, ProcReading, Snapshot, TaskReading, Unread

BEGIN, END = "begin", "end"  # of a recording
_LISTS = 64  # of one reading, at most


class Listing(NamedTuple):
    """What was read, and what is known of the processes besides."""

    reading: ProcReading
    chains: Mapping[int, Chain] | None  # around each process; None: no cgroups could be read
    said: Mapping[Chain, int]  # the first process, by an engine's word
    notes: Sequence[str]
    kept: Kept
    children_ns: Mapping[int, int | None]  # of each task
    exiting: Mapping[int, bool | None]  # of the threads of each number 1
    whole_cgroups: bool
    last_pid: int | None


def listing_json(it: Listing) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return what holds for all tasks, and the lists, of which each may be long."""
    reading, snapshot = it.reading, it.reading.snapshot
    chains = [] if it.chains is None else [*dict.fromkeys(it.chains.values())]
    places = {chain: place for place, chain in enumerate(chains)}
    lists = {
        "tasks": [_task_json(it, task, places) for task in snapshot.tasks],
        "chains": [[list(one) for one in chain] for chain in chains],
        "said": [[places[chain], pid] for chain, pid in it.said.items() if chain in places],
        "ns_parents": _pairs(snapshot.ns_parents),
        "kept": _pairs(it.kept.parents),
        "unread": [list(each) for each in snapshot.unread],
    }
    common = {
        "mount": list(reading.mount),
        "sees_all": reading.sees_all,
        "boot_time": reading.boot_time,
        "ticks_per_second": reading.ticks_per_second,
        "start_offset_ns": reading.start_offset_ns,
        "notes": list(it.notes),
        "all_kept_seen": it.kept.all_seen,
        "whole_cgroups": it.whole_cgroups,
        "last_pid": it.last_pid,
        "has_cgroups": snapshot.cgroups is not None,
        "has_chains": it.chains is not None,
        "counts": {name: len(items) for name, items in lists.items()},
    }
    return common, lists


def _task_json(it: Listing, task: TaskReading, places: Mapping[Chain, int]) -> list[Any]:
    cgroup = (it.reading.snapshot.cgroups or {}).get(task.number)
    chain = (it.chains or {}).get(task.number)
    return [
        reading_json(task),
        None if cgroup is None else cgroup.decode("latin-1"),
        None if chain is None else places[chain],
        it.children_ns.get(task.number),
        it.exiting.get(task.number),
    ]


def listing_of(common: Mapping[str, Any], lists: Mapping[str, Sequence[Any]]) -> Listing:
    """Return the same again; raises RecordingError."""
    try:
        if any(len(lists[name]) != count for name, count in common["counts"].items()):
            raise RecordingError("a reading of all tasks is not whole")
        return _listing_of(common, lists)
    except (TypeError, ValueError, LookupError, AttributeError, UnicodeError) as error:
        raise RecordingError(f"a reading of all tasks has not its form: {error}") from None


def read_listing(file: EventFile, at: str) -> Listing | None:
    """Return what /proc showed at the begin or the end of a recording; None: that is not there.

    Raises RecordingError: it is damaged.
    """
    parts = [it for it in file.objects("listing") if it.get("at") == at]
    common = next((it for it in parts if it.get("part") == "common"), None)
    if common is None:
        return None
    counts = common.get("counts")
    names = list(counts)[:_LISTS] if isinstance(counts, dict) else []
    lists: dict[str, list[Any]] = {name: [] for name in names}
    for it in parts:
        part, items = it.get("part"), it.get("items")
        if isinstance(part, str) and part in lists and isinstance(items, list):
            lists[part] += items
    try:
        return listing_of(common, lists)
    except RecordingError as error:
        raise RecordingError(f"{file.path}: {error}") from None


def _listing_of(common: Mapping[str, Any], lists: Mapping[str, Sequence[Any]]) -> Listing:
    tasks: list[TaskReading] = []
    cgroups: dict[int, bytes] = {}
    chains: dict[int, Chain] = {}
    children_ns: dict[int, int | None] = {}
    exiting: dict[int, bool | None] = {}
    known = [*map(_chain, lists["chains"])]
    for value, cgroup, place, child, exits in lists["tasks"]:
        task = reading_of(value)
        if task is None:
            raise RecordingError("a task that is none")
        tasks.append(task)
        if cgroup is not None:
            cgroups[task.number] = str(cgroup).encode("latin-1")
        if place is not None:
            chains[task.number] = known[place]
        children_ns[task.number] = number_of(child)
        exiting[task.number] = None if exits is None else bool(exits)
    ns, initial, inside = common["mount"]
    offset = common["start_offset_ns"]
    snapshot = Snapshot(
        tuple(tasks),
        _numbers(lists["ns_parents"]),
        cgroups=cgroups if common["has_cgroups"] else None,
        unread=tuple(Unread(int(n), str(what), str(why)) for n, what, why in lists["unread"]),
    )
    reading = ProcReading(
        Mount(number_of(ns), None if initial is None else bool(initial), number_of(inside)),
        snapshot,
        bool(common["sees_all"]),
        number_of(common["boot_time"]),
        max(1, number_of(common["ticks_per_second"]) or 1),
        None if offset is None else int(offset),
    )
    return Listing(
        reading,
        chains if common["has_chains"] else None,
        {known[place]: int(pid) for place, pid in lists["said"]},
        [*map(str, common["notes"])],
        Kept(_numbers(lists["kept"]), bool(common["all_kept_seen"])),
        children_ns,
        exiting,
        bool(common["whole_cgroups"]),
        number_of(common["last_pid"]),
    )


def _chain(value: Any) -> Chain:
    return tuple(map(_container, value))


def _container(value: Any) -> Container:
    *texts, uid = value
    if not all(it is None or isinstance(it, str) for it in texts) or None in texts[:2]:
        raise RecordingError("a container without an id")
    return Container(*texts, uid=number_of(uid))  # type: ignore[misc]


def _pairs(values: Mapping[int, int]) -> list[Any]:
    return [[key, value] for key, value in values.items()]


def _numbers(pairs: Any) -> dict[int, int]:
    return {int(key): int(value) for key, value in pairs}
