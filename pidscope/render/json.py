"""Values as the JSON that schema.json describes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pidscope.escape import escape, printable
from pidscope.query.process import escaped, rfc3339

if TYPE_CHECKING:
    from pidscope.containers.container import Container
    from pidscope.events import Event
    from pidscope.query.ended import Life
    from pidscope.query.explain import Explained
    from pidscope.query.lookup import Answer, Held, Namesake
    from pidscope.query.process import Namespace, Process
    from pidscope.snapshot import Mount, Unread

Owners = Mapping[int, dict[str, Any]]  # the container that owns each PID namespace, by inum

SCHEMA = 1
_MAX_SAFE = 2**53  # beyond it a JSON reader may round an integer
# children_ns is an inum
_NANOSECONDS = frozenset({"ts_ns", "start_ns", "leader_start_ns", "suspect_ns"})


def event_json(event: Event) -> dict[str, Any]:
    """Return one line of the stream: the class as ``type``, then its fields as they are named."""
    return {"type": type(event).__name__, **_fields(event)}


def _fields(value: Any) -> dict[str, Any]:
    return {name: _json(name, item) for name, item in value._asdict().items()}


def _json(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return escape(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int):
        return str(value) if name in _NANOSECONDS or abs(value) > _MAX_SAFE else value
    if hasattr(value, "_asdict"):
        return _fields(value)
    return list(value) if isinstance(value, tuple) else value


def envelope(
    name: str,
    items: Sequence[Mapping[str, Any]],
    *,
    source: str,
    mode: str | None,
    host: str,
    boot_id: str | None,
    complete: bool,
    mount: Mount,
    notes: Iterable[str] = (),
    unread: Iterable[Unread] = (),
) -> dict[str, Any]:
    """Return the document whose list ``name`` holds ``items``; ``mode`` None: no kernel asked.

    ``notes`` is what stands on standard error beside a table, ``unread`` what could not be read.
    """
    lost = [{"pid": it.number, "what": it.what, "reason": printable(it.reason)} for it in unread]
    beside = {"notes": [printable(note) for note in notes], "unread": lost}
    return {
        "schema": SCHEMA,
        "source": source,
        "mode": mode,
        "host": host,
        "boot_id": boot_id,
        "complete": complete,
        "outermost": {"ns": mount.ns, "initial": mount.initial},
        **{key: value for key, value in beside.items() if value},
        name: list(items),
    }


def owners_json(owners: Mapping[int, Container]) -> Owners:
    """Return the containers that own PID namespaces, by inum."""
    return {inum: escaped(container)._asdict() for inum, container in owners.items()}


def process_json(process: Process, owners: Owners = MappingProxyType({})) -> dict[str, Any]:
    """Return a process, with what each level calls it, and the owner of the level's namespace."""
    fields = process._asdict()
    if process.container is not None:
        fields["container"] = process.container._asdict()
    fields["levels"] = [
        # _asdict would be a call for each level of each task.
        {**dict(zip(level._fields, level)), "container": owners.get(level.ns or 0)}
        for level in process.levels
    ]
    return fields


def namespace_json(namespace: Namespace) -> dict[str, Any]:
    """Return a PID namespace, with the containers that have it."""
    owner = namespace.container
    shared = [container._asdict() for container in namespace.shared]
    contained = {"container": None if owner is None else owner._asdict(), "shared": shared}
    return {**namespace._asdict(), **contained}


def answer_json(answer: Answer, boot_time: int | None, owners: Owners) -> dict[str, Any]:
    """Return one entry of ``lookups``; ``boot_time`` is in seconds since the epoch."""
    task, held, ended = answer.taken.task, answer.taken.held, answer.ended
    return {
        "number": answer.taken.number,
        "ns": answer.ns,
        "to": {"ns": answer.to, "number": answer.translated if answer.levels else None},
        "process": None if task is None else process_json(task, owners),
        "held": None if held is None else _held_json(held),
        "ended": None if ended is None else _lives_json(ended, boot_time, task is not None),
    }


def namesake_json(namesake: Namesake, owners: Owners) -> dict[str, Any]:
    """Return a process that has a number in another namespace than the one that was asked."""
    process = process_json(namesake.process, owners)
    return {"number": namesake.number, "ns": namesake.ns, "process": process}


def _held_json(held: Held) -> dict[str, Any]:
    levels = [level._asdict() for level in held.levels]
    return {"levels": levels, "group": list(held.group), "session": list(held.session)}


def _lives_json(lives: Iterable[Life], boot_time: int | None, taken: bool) -> list[dict[str, Any]]:
    return [
        {
            "pid": life.tgids[0],
            "tid": life.numbers[0],
            "comm": escape(life.comm),
            "start_time": None if life.start_ns is None else rfc3339(boot_time, life.start_ns),
            "start_ns": None if life.start_ns is None else str(life.start_ns),
            "exited_time": rfc3339(boot_time, life.exited_ns),
            "exited_ns": str(life.exited_ns),
            "released_ns": None if life.released_ns is None else str(life.released_ns),
            "exit_status": _status(life),
            "signal": life.signal or None,
            "given_out_again": taken or place > 0,
            "levels": [
                {"ns": ns, "tid": tid, "pid": pid}
                for ns, tid, pid in zip(life.inums, life.numbers, life.tgids)
            ],
        }
        for place, life in enumerate(lives)
    ]


def _status(life: Life) -> int | None:
    if life.signal or life.exit_code is None:
        return None
    return life.exit_code >> 8 & 0xFF


def pids_json(it: Explained) -> list[dict[str, Any]]:
    """Return the struct pids of a task; the tasks on a list are named by tid."""
    return [
        {
            "nr": pid.nr,
            "numbers": list(pid.numbers),
            "ns": list(pid.ns),
            "partial": pid.partial,
            "tasks": {kind: [task.tid for task in tasks] for kind, tasks in pid.tasks.items()},
        }
        for pid in it.pids
    ]


def explained_json(it: Explained, owners: Owners = MappingProxyType({})) -> dict[str, Any]:
    """Return what else its pointers lead to; pointers are ``nr``, tids or inums, null: unknown."""
    links = dict(it.links)
    return {
        "task": process_json(it.task, owners),
        "thread_pid": links.pop("PID"),
        "group_leader": it.task.pid,
        "real_parent": it.task.levels[0].ppid,
        "signal": {"pids": links, "threads": list(it.threads)},
        "pid_ns_for_children": None if it.children is None else it.children.ns,
        "namespaces": [
            {
                "ns": space.ns,
                "level": space.level,
                "child_reaper": None if space.init is None else space.init.tid,
                "active": space.active,
            }
            for space in it.spaces
        ],
    }
