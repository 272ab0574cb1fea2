"""A container and its names. A container is no namespace and no cgroup, but has both.

Pure. Cgroup paths show which tasks are in a container; the runtime gives its name. The strings are
foreign and not escaped: the code that prints them has to (`pidscope.escape.printable`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ID_SHOWN = 12  # hexadecimal digits of an id, as runtimes show it
_LONG_ID = re.compile(
    rf"(?<![0-9a-f])([0-9a-f]{{{_ID_SHOWN}}})[0-9a-f]{{{64 - _ID_SHOWN}}}(?![0-9a-f])"
)


class Container(NamedTuple):
    """A container, or (with no ``id``) a service of the init system; None: not known, or none."""

    runtime: str  # docker, podman, containerd, crio, lxc, nspawn, systemd, …
    id: str  # the runtime's, mostly hexadecimal digits
    name: str | None = None  # given by a person
    pod: str | None = None
    pod_uid: str | None = None
    pod_namespace: str | None = None  # Kubernetes's, not the kernel's
    container_name: str | None = None  # in the pod
    unit: str | None = None  # of the init system, in which it runs
    uid: int | None = None  # its cgroup is below this user's service manager; None: root's

    @property
    def is_service(self) -> bool:
        """Whether it is a service rather than a container."""
        return not self.id


Chain = tuple[Container, ...]  # the containers and services around a task, outermost first


def innermost(chain: Chain) -> Container | None:
    """Return the innermost container, with the service inside it as its ``unit``.

    Of no container but services, the innermost service. None: not even that.
    """
    found: Container | None = None
    for container in chain:
        if container.is_service and found is not None and not found.is_service:
            found = found._replace(unit=container.unit)
        else:
            found = container
    return found


def display_name(container: Container) -> str:
    """Return one word for it: its name, the start of its id, or its unit.

    Before that of a user's stands whose it is, since that user may give it any name.
    """
    word = _word(container)
    return word if container.uid is None else f"user {container.uid}: {word}"


def _word(container: Container) -> str:
    if container.is_service:
        return container.unit or "?"
    if container.pod is not None and (container.pod_namespace or container.name is None):
        parts = container.pod_namespace or "?", container.pod, container.container_name
        return "/".join(part for part in parts if part is not None)
    return container.id[:_ID_SHOWN] if container.name is None else container.name


def shorten_ids(text: str) -> str:
    """Return a cgroup path, or text with one, with its container ids cut as by `display_name`."""
    return _LONG_ID.sub(r"\1…", text)
