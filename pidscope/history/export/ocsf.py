"""A process as an event of the Open Cybersecurity Schema Framework: Process Activity (1007). Pure.

Source: github.com/ocsf/ocsf-schema 1.8.0: events/system/process_activity.json, in objects/
process.json, process_entity.json, device.json and container.json, profiles/container.json. What is
not known is left out, as a field that is not required is there.
"""

from __future__ import annotations

import re
from typing import Any

from pidscope.history.export import forms
from pidscope.history.export.task import Task, container_of

VERSION = "1.8.0"
_SYSTEM, _PROCESS_ACTIVITY = 1, 1007
_TERMINATE, _OTHER = 2, 99
_INFORMATIONAL, _UNKNOWN_TYPE = 1, 0
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")  # its uuid_t


def event(task: Task, version: str) -> dict[str, Any] | None:
    """Return the event of a process that ended or lives; None: the schema has no place for it.

    That is a thread, whose end is no process's; or the time or the host is missing, which are
    required.

    Args:
        task: the process.
        version: pidscope's.
    """
    time = forms.milliseconds(task.facts)
    if not task.is_process or time is None or task.host is None:
        return None
    activity = _OTHER if task.end is None else _TERMINATE
    values = {
        "activity_id": activity,
        "activity_name": "Running" if task.end is None else "Terminate",
        "category_uid": _SYSTEM,
        "class_uid": _PROCESS_ACTIVITY,
        "type_uid": _PROCESS_ACTIVITY * 100 + activity,
        "severity_id": _INFORMATIONAL,
        "time": time,
        "metadata": {
            "version": VERSION,
            "product": {"name": "pidscope", "vendor_name": "pidscope", "version": version},
            "profiles": ["container"],
        },
        "device": _device(task),
        # Which process ended it is not recorded: then it is the process itself, says the class.
        "actor": {"process": _reference(task)},
        "process": _process(task),
        "exit_code": task.exit_status,
        "unmapped": {"pidscope": forms.own_fields(task)},
    }
    return forms.without_none(values)


def _device(task: Task) -> dict[str, Any]:
    values = {"type_id": _UNKNOWN_TYPE, "hostname": task.host, "boot_uid": task.boot_id}
    return forms.without_none(values)


def _reference(task: Task) -> dict[str, Any]:
    values = {"pid": task.pid, "uid": task.id, "cpid": task.cpid, "name": task.comm}
    return forms.without_none({**values, "created_time": forms.milliseconds(task.start)})


def _process(task: Task) -> dict[str, Any]:
    values = {
        **_reference(task),
        "namespace_pid": task.levels[-1][1] if len(task.levels) > 1 else None,
        "terminated_time": forms.milliseconds(task.end),
        "user": None if task.uid is None else {"uid": str(task.uid)},
        "parent_process": _parent(task),
        "container": _container(task),
    }
    return forms.without_none(values)


def _parent(task: Task) -> dict[str, Any] | None:
    if not task.ppid:
        return None
    started = forms.milliseconds(task.parent_start)
    return forms.without_none({"pid": task.ppid, "created_time": started})


def _container(task: Task) -> dict[str, Any] | None:
    found = container_of(task)
    if found is None:
        return None
    pod = found.pod_uid if found.pod_uid and _UUID.fullmatch(found.pod_uid) else None
    names = {"uid": found.id, "name": found.name or found.container_name}
    return forms.without_none({**names, "runtime": found.runtime, "pod_uuid": pod})
