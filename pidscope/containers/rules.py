"""Containers as a task's cgroup paths name them, whatever runtime, driver and cgroup version.

The kernel knows no containers. A runtime makes a cgroup for each and writes the container's id, or
its name, into the cgroup's name, so the path shows all containers around a task, outermost first:
Docker in Docker, kind, a service in LXC. It is a claim of the user that may make cgroups there, and
the names in it are foreign: escape them before they are printed (`pidscope.escape`).

Two layouts are in use: the cgroupfs driver makes plain directories (``docker/ID``), the systemd
driver units (``docker-ID.scope``) with the same names. A process beside a container that is not in
it (conmon, the monitor of LXC, nspawn's supervisor) is distinguished.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pidscope.containers.container import Container

_ID = r"[0-9a-f]{64}"
_RUNTIMES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "crio",
    "libpod": "podman",
    "libpod-payload": "podman",  # podman run --cgroups=split
}
_PREFIX = "|".join(map(re.escape, _RUNTIMES))
# slice:prefix:id is meant for the systemd driver; the other driver makes a directory of it.
_MARKED = re.compile(rf"({_PREFIX})-({_ID})(?:\.scope)?|[^:]*:({_PREFIX}):({_ID})")
_BARE = re.compile(_ID)
_NAMED = re.compile(r"(runc|crun)-(.+)\.scope|lxc\.payload\.(.+)", re.DOTALL)
_NSPAWN = "nspawn"
_MACHINE = re.compile(r"systemd-nspawn@(.+)\.service|machine-(.+)\.scope", re.DOTALL)
_LIBVIRT = re.compile(r"(lxc|qemu)-[0-9]+-(.+)", re.DOTALL)
# A uid is a UUID, or of a static pod the hash of its manifest.
_POD = re.compile(
    r"(?:[^:]*-)?pod"
    r"([0-9a-f]{32}|[0-9a-f]{8}([-_])[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12})"
    r"(?:\.slice(?::.*)?)?",
    re.DOTALL,
)
_CONTAINERD_NAMESPACES = frozenset({"default", "k8s.io"})
_LXC_PARENTS = frozenset({"lxc", "lxc.payload"})
_UNIT_ESCAPES = re.compile(r"(?:\\x[0-9a-f]{2})+")


def parse_cgroup(data: bytes) -> tuple[Container, ...]:
    """Return the containers around a task, outermost first, given its ``/proc/N/cgroup``.

    Of several hierarchies (cgroup v1) the one with most containers counts, of equals the first.
    A file of another form names no container; nothing is raised.
    """
    return max(map(parse_path, cgroup_paths(data)), key=len, default=())


def cgroup_paths(data: bytes) -> Iterator[str]:
    """Yield the path in each line ``ID:CONTROLLERS:PATH``.

    ``proc_cgroup_show()`` (kernel/cgroup/cgroup.c) prints `` (deleted)`` after that of a removed
    cgroup, and ``cgroup_mkdir()`` refuses a newline in a name.
    """
    for line in data.split(b"\n"):
        fields = line.split(b":", 2)
        if len(fields) == 3:
            yield fields[2].removesuffix(b" (deleted)").decode("utf-8", "surrogateescape")


def parse_path(path: str) -> tuple[Container, ...]:
    """Return the containers and systemd services that a cgroup path names, outermost first.

    ``..`` at its head (the cgroup is outside the reader's cgroup namespace) names no container.
    """
    found: list[Container] = []
    pod_uid: str | None = None
    parent = ""
    parts = [part for part in path.split("/") if part]
    depth = 0  # below the root, or the cgroup of the container before
    for part, child in zip(parts, [*parts[1:], ""]):
        pod_uid = _pod_uid(part) or pod_uid
        container = _container(part, parent, depth, child)
        if container is None or container.runtime == _NSPAWN:
            found += _services(part)
        depth += 1
        if container is not None:
            found.append(container._replace(pod_uid=pod_uid))
            pod_uid, depth = None, 0
        parent = part
    return tuple(found)


def _container(part: str, parent: str, depth: int, child: str) -> Container | None:
    """Return the container that has the directory ``part`` of a path as its cgroup."""
    match = _MARKED.fullmatch(part)
    if match:
        return Container(_RUNTIMES[match[1] or match[3]], match[2] or match[4])
    if parent in _LXC_PARENTS:
        return Container("lxc", part, part)
    if parent in _CONTAINERD_NAMESPACES and depth == 1:
        return Container("containerd", part)
    if _BARE.fullmatch(part) and parent != "libpod_parent":  # there it is a pod of Podman's
        return Container("docker" if parent == "docker" else "oci", part)
    match = _NAMED.fullmatch(part)
    if match:
        return Container(match[1] or "lxc", match[2] or match[3], match[2] or match[3])
    return None if child == "supervisor" else _machine(part)


def _machine(part: str) -> Container | None:
    """Return the container that systemd-nspawn or libvirt runs in a unit; libvirt also runs VMs."""
    match = _MACHINE.fullmatch(part)
    if match is None:
        return None
    name = _UNIT_ESCAPES.sub(_unescaped, match[1] or match[2])
    libvirt = None if match[1] else _LIBVIRT.fullmatch(name)
    if libvirt is None:
        return Container(_NSPAWN, name, name)
    return Container("libvirt", libvirt[2], libvirt[2]) if libvirt[1] == "lxc" else None


def _unescaped(match: re.Match[str]) -> str:
    r"""Undo ``\xNN`` of systemd (unit_name_escape), which may be parts of one character."""
    return bytes.fromhex(match[0].replace(r"\x", "")).decode("utf-8", "surrogateescape")


def _services(part: str) -> list[Container]:
    """Return the service of a unit's directory, in a list; a name of the kernel's got a ``_``."""
    if not part.endswith(".service"):
        return []
    unit = part.removeprefix("_")
    return [Container("systemd", "", unit=unit)]


def _pod_uid(part: str) -> str | None:
    match = _POD.fullmatch(part)
    return match[1].replace("_", "-") if match else None
