"""What a runtime calls a container. A container is no namespace and no cgroup, but has both.

Pure. Who is in which container is told by cgroup paths; what it is called, by the runtime. The
strings are as they were told: whoever prints them escapes them.
"""

from __future__ import annotations

from typing import NamedTuple


class Container(NamedTuple):
    """A container, or (with no ``id``) a service of the init system; None: not known, or none."""

    runtime: str  # docker, podman, containerd, crio, lxc, nspawn, systemd, …
    id: str  # as the runtime tells them apart, in hexadecimal digits where it does
    name: str | None = None  # what a person called it
    pod: str | None = None
    pod_uid: str | None = None
    pod_namespace: str | None = None  # Kubernetes's, not the kernel's
    container_name: str | None = None  # in the pod
    unit: str | None = None  # of the init system, that it runs in

    @property
    def is_service(self) -> bool:
        """Whether it is a service rather than a container."""
        return not self.id


Chain = tuple[Container, ...]  # the containers and services around a task, outermost first
