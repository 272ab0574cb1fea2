"""What runtimes keep in files about their containers: names, and the PID of the first process.

Only root can read most of them, and only root's runtimes write them; what stands in them is still
checked, and read to a limit. A file that is not there, or has another form, says nothing.

- containerd: ``/run/containerd/io.containerd.runtime.v2.task/NAMESPACE/ID/`` has ``init.pid`` and
  the runtime's ``config.json``, whose annotations name the pod (CRI) or the container (nerdctl);
- runc: ``/run/runc/ID/state.json``; crun: ``/run/crun/ID/status``;
- Podman and CRI-O: ``containers.json``, or of a container that is removed when it ends
  ``volatile-containers.json``, and ``config.json`` with CRI-O's annotations.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pidscope.containers.container import Container

MAX_BYTES = 8 << 20
_TASKS = "run/containerd/io.containerd.runtime.v2.task"
# Runtimes, their files, and there the PID and the start (field 22 of stat) of the first process.
_STATES = (
    ("crun", "run/crun/{}/status", "pid", "process-start-time"),
    ("runc", "run/runc/{}/state.json", "init_process_pid", "init_process_start"),
)
_STORAGE = (
    "var/lib/containers/storage/{}-containers/containers.json",
    "var/lib/containers/storage/{}-containers/volatile-containers.json",
    "run/containers/storage/{}-containers/volatile-containers.json",
)
# What containers/storage keeps images in: where there is no overlay, another.
_DRIVERS = ("overlay", "vfs", "btrfs", "zfs")
_CONFIG = "run/containers/storage/overlay-containers/{}/userdata/config.json"
_DIRECTORY = re.compile(r"(?!\.)[\w+.:@-]{1,255}", re.ASCII)  # so that no path leads elsewhere
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_PID = re.compile(rb"[1-9][0-9]{0,6}")
_MAX_PID = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h
# The annotations of the pod's namespace, the pod and the container: containerd's and CRI-O's.
_POD_KEYS = (
    (
        "io.kubernetes.cri.sandbox-namespace",
        "io.kubernetes.cri.sandbox-name",
        "io.kubernetes.cri.container-name",
    ),
    ("io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name"),
)


class Init(NamedTuple):
    """A container, the start of its first process in clock ticks after the boot, and the file.

    ``cgroups``: the paths of its cgroup, below the mount (crun) or with it (runc).
    """

    container: Container
    start_ticks: int
    file: str
    cgroups: Sequence[str] = ()


class Sourced(NamedTuple):
    """A value, and the file that has it, below the host's root directory."""

    value: Any
    file: str


class States:
    """The files of one host, below its root directory."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._tasks = [name for name in _listed(f"{root}/{_TASKS}") if _DIRECTORY.fullmatch(name)]

    def init_pid(self, container_id: str) -> Sourced | None:
        """Return the PID of a container's first process, in the host's PID namespace."""
        if not _DIRECTORY.fullmatch(container_id):
            return None
        for namespace in self._tasks:
            file = f"{_TASKS}/{namespace}/{container_id}/init.pid"
            data = _read(f"{self._root}/{file}")
            if data is not None and _PID.fullmatch(data.strip()):
                pid = _pid(int(data))
                return None if pid is None else Sourced(pid, f"/{file}")
        for _, form, key, _ in _STATES:
            pid = _pid(self._state(form, container_id).get(key))
            if pid is not None:
                return Sourced(pid, f"/{form.format(container_id)}")
        return None

    def named(self, container: Container) -> Sourced | None:
        """Return a container with the names that its runtime's configuration has; None: none."""
        if not _DIRECTORY.fullmatch(container.id):
            return None
        places = [f"{_TASKS}/{it}/{container.id}/config.json" for it in self._tasks]
        for place in (*places, _CONFIG.format(container.id)):
            annotations = _mapping(f"{self._root}/{place}").get("annotations")
            if isinstance(annotations, dict):
                return Sourced(_annotated(container, annotations), f"/{place}")
        return None

    def podman_names(self) -> dict[str, Sourced]:
        """Return the names of Podman's containers, those that do not run too, by id."""
        files = (form.format(driver) for driver in _DRIVERS for form in _STORAGE)
        return {
            number: Sourced(name, f"/{file}")
            for file in files
            for number, name in self._stored(file)
        }

    def inits(self, known: Collection[str] = ()) -> dict[int, Init]:
        """Return the containers of runc and crun, by the PID of their first process.

        Those whose ids are known are left out: Podman's, of which there may be many.

        A state stays when a container has ended, until it is deleted, and its PID may be another
        process's by then: only a process with the same start is the container's.
        """
        found = {}
        for runtime, form, *keys in _STATES:
            for container_id in set(_listed(f"{self._root}/run/{runtime}")).difference(known):
                state = self._state(form, container_id)
                pid, start = (_number(state.get(key)) for key in keys)
                if pid is not None and start is not None:
                    container = Container(runtime, container_id, container_id)
                    file = f"/{form.format(container_id)}"
                    found[pid] = Init(container, start, file, _cgroups(state))
        return found

    def _state(self, form: str, container_id: str) -> Mapping[str, Any]:
        good = _DIRECTORY.fullmatch(container_id)
        return _mapping(f"{self._root}/{form.format(container_id)}") if good else {}

    def _stored(self, file: str) -> Iterator[tuple[str, str]]:
        listed = _parsed(_read(f"{self._root}/{file}"))
        for entry in listed if isinstance(listed, list) else ():
            number, names = (
                (entry.get("id"), entry.get("names")) if _is_map(entry) else (None, None)
            )
            name = names[0] if isinstance(names, list) and names else None
            if isinstance(number, str) and isinstance(name, str) and _NAME.fullmatch(name):
                yield number, name


def _annotated(container: Container, annotations: Mapping[str, Any]) -> Container:
    from pidscope.containers.kubelet import pod_names

    for keys in _POD_KEYS:
        names = pod_names(*(annotations.get(key) for key in keys))
        if names is not None:
            return container._replace(
                pod=names.pod, pod_namespace=names.namespace, container_name=names.container
            )
    name = annotations.get("nerdctl/name")
    good = isinstance(name, str) and _NAME.fullmatch(name)
    return container._replace(name=name) if good else container


def _cgroups(state: Mapping[str, Any]) -> tuple[str, ...]:
    paths = state.get("cgroup_paths")
    found = [*(paths.values() if isinstance(paths, dict) else ()), state.get("cgroup-path")]
    return tuple(it for it in found if isinstance(it, str))


def _pid(value: object) -> int | None:
    pid = _number(value)
    return pid if pid is not None and pid <= _MAX_PID else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value < 1 << 64 else None


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _mapping(path: str) -> Mapping[str, Any]:
    found = _parsed(_read(path))
    return found if isinstance(found, dict) else {}


def _parsed(data: bytes | None) -> Any:
    try:
        return json.loads(data or b"null", parse_float=len, parse_constant=len)
    except (ValueError, RecursionError):
        return None


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208 (no Path for each name)
    except OSError:  # not there, or not for this user
        return []


def _read(path: str) -> bytes | None:
    """Return a plain file's bytes; None: it is none, too long, or not for this user."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        try:
            data = opened.read(MAX_BYTES + 1)
        except OSError:
            return None
    return data if len(data) <= MAX_BYTES else None
