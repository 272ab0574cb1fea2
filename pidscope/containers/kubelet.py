"""The names of pods and their containers, as the kubelet's log links and directories have them.

``/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`` is a link for each container, and
``/var/log/pods/NAMESPACE_POD_UID`` a directory for each pod, which also names containers without a
log, such as the one that holds the namespaces of its pod. Only names are read: no link is followed,
no file is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from pidscope.containers.container import Container

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123, as Kubernetes wants it
# Of a pod: a subdomain, in which Kubernetes lets a label be as long as the whole.
_LONG_LABEL = "[a-z0-9](?:-*[a-z0-9])*"
_NAME = rf"(?=[^_]{{1,253}}(?:_|$)){_LONG_LABEL}(?:\.{_LONG_LABEL})*"
_ID_DIGITS = 64
_MIN_DIGITS = 12  # a file's name has 255 bytes at most, and a long one is cut in its id
_LINK = re.compile(
    rf"({_NAME})_({_LABEL})_({_LABEL})-([0-9a-f]{{{_MIN_DIGITS},{_ID_DIGITS}}})\.log"
)
_DIRECTORY = re.compile(rf"({_LABEL})_({_NAME})_([0-9a-f-]{{32,36}})")


SANDBOX = "POD"  # as CRI-O and dockershim call the container that holds a pod's namespaces


class PodNames(NamedTuple):
    """The kubelet's names of a container, or of a pod; ``container`` None: any in the pod."""

    pod: str
    namespace: str
    container: str | None


_LINKS, _DIRECTORIES = "/var/log/containers", "/var/log/pods"


class Kubelet(NamedTuple):
    """The names that are known, by the digits of container ids and by pod uids."""

    containers: dict[str, PodNames]
    pods: dict[str, PodNames]

    def name(self, container: Container) -> Container:
        """Return the container of a pod with its names, as far as they are known."""
        names = self._names(container)
        if names is None:
            return container
        return container._replace(
            pod=names.pod, pod_namespace=names.namespace, container_name=names.container
        )

    def place(self, container: Container) -> str:
        """Return where the names of a container are: of a link has also the container's."""
        names = self._names(container)
        return _DIRECTORIES if names is None or names.container is None else _LINKS

    def _names(self, container: Container) -> PodNames | None:
        for digits in (_ID_DIGITS, *sorted({len(it) for it in self.containers}, reverse=True)):
            if container.id[:digits] in self.containers:
                return self.containers[container.id[:digits]]
        return self.pods.get(container.pod_uid or "")


def pod_names(namespace: object, pod: object, container: object) -> PodNames | None:
    """Return names that a runtime has from the kubelet; None: they are none of Kubernetes's."""
    texts = [it if isinstance(it, str) else "" for it in (namespace, pod, container)]
    if not (re.fullmatch(_LABEL, texts[0]) and re.fullmatch(_NAME, texts[1])):
        return None
    named = re.fullmatch(_LABEL, texts[2]) and texts[2] != SANDBOX
    return PodNames(texts[1], texts[0], texts[2] if named else None)


def parse_names(links: Iterable[str], directories: Iterable[str]) -> Kubelet:
    """Return the names in names of links and directories; those of another form are left out."""
    containers: dict[str, PodNames] = {}
    pods: dict[str, PodNames] = {}
    for link in links:
        match = _LINK.fullmatch(link)
        if match:
            containers[match[4]] = PodNames(match[1], match[2], match[3])
    for directory in directories:
        match = _DIRECTORY.fullmatch(directory)
        if match:
            pods[match[3]] = PodNames(match[2], match[1], None)
    return Kubelet(containers, pods)


def read_kubelet(root: str) -> Kubelet:
    """Read the names of the host with this root directory; none if there is no kubelet."""
    return parse_names(_listed(root + _LINKS), _listed(root + _DIRECTORIES))


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208 (no Path for each name)
    except OSError:  # not there, or not for this user
        return []
