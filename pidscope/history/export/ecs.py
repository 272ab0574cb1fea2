"""A process as a document of the Elastic Common Schema. Pure.

Source: github.com/elastic/ecs 9.4.0: schemas/process.yml, host.yml, container.yml, event.yml,
orchestrator.yml. What is not known is left out. What the schema has no field for is below
``pidscope``: a proper name, as its page on custom fields advises.
"""

from __future__ import annotations

from typing import Any

from pidscope.history.export import forms
from pidscope.history.export.task import Task, container_of

VERSION = "9.4.0"


def document(task: Task) -> dict[str, Any] | None:
    """Return the document of a process that ended or lives; None: the schema has no place for it.

    That is a thread, whose end is no process's; or the wall clock's time is not known.
    """
    time = forms.timestamp(task.facts)
    if not task.is_process or time is None:
        return None
    found = container_of(task)
    values = {
        "@timestamp": time,
        "ecs": {"version": VERSION},
        "event": _event(task),
        "host": _host(task) or None,
        "process": _process(task),
        "container": None if found is None else _container(found.id, found.name, found.runtime),
        "orchestrator": None if found is None else _pod(found.pod, found.pod_namespace),
        "pidscope": forms.own_fields(task),
    }
    return forms.without_none(values)


def _event(task: Task) -> dict[str, Any]:
    is_known = task.start is not None and task.end is not None
    duration = task.end.boottime_ns - task.start.boottime_ns if is_known else None  # type: ignore[union-attr]
    values = {
        "kind": "state" if task.end is None else "event",
        "category": ["process"],
        "type": ["info"] if task.end is None else ["end"],
        "module": "pidscope",
        "dataset": "pidscope.lives",
        "start": forms.timestamp(task.start),
        "end": forms.timestamp(task.end),
        "duration": duration,
    }
    return forms.without_none(values)


def _host(task: Task) -> dict[str, Any]:
    values = {
        "hostname": task.host,
        "name": task.host,
        "boot": None if task.boot_id is None else {"id": task.boot_id},
        "pid_ns_ino": None if task.initial_ns is None else str(task.initial_ns),
    }
    return forms.without_none(values)


def _process(task: Task) -> dict[str, Any]:
    values = {
        "pid": task.pid,
        "vpid": task.levels[-1][1],
        "entity_id": task.cpid,
        "name": task.comm,
        "start": forms.timestamp(task.start),
        "end": forms.timestamp(task.end),
        "exit_code": task.exit_status,
        "parent": _parent(task),
        "group_leader": _leader(task, task.pgid),
        "session_leader": _leader(task, task.sid),
        "real_user": None if task.uid is None else {"id": str(task.uid)},
    }
    return forms.without_none(values)


def _parent(task: Task) -> dict[str, Any] | None:
    if not task.ppid:
        return None
    return forms.without_none({"pid": task.ppid, "start": forms.timestamp(task.parent_start)})


def _leader(task: Task, number: int) -> dict[str, Any] | None:
    """Return the leader with a number; a number that a group has is no other process's."""
    return {"pid": number, "same_as_process": number == task.pid} if number else None


def _container(id_: str, name: str | None, runtime: str) -> dict[str, Any]:
    return forms.without_none({"id": id_, "name": name, "runtime": runtime})


def _pod(pod: str | None, namespace: str | None) -> dict[str, Any] | None:
    if pod is None:
        return None
    resource = {"type": "pod", "name": pod}
    return forms.without_none({"type": "kubernetes", "namespace": namespace, "resource": resource})
