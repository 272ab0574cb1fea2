"""Which containers a word names. Pure.

What pidscope and others print of a container is accepted: its name, also as Docker has it
(``/web``), its id or the first digits of it, also as Kubernetes has it (``containerd://ID``), its
pod by name or uid, its unit as systemd escapes it or not; each as it stands or as it is printed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import UNKNOWN, unescape_unit
from pidscope.escape import printable

_HEX = re.compile(r"[0-9a-fA-F]+")
_ID_SHOWN = 12  # characters of an id, as it is printed
_INFRA = re.compile(r"[0-9a-f]{12}-infra")  # the name that Podman gives a pod's sandbox


def has_id(container: Container, text: str) -> bool:
    """Whether a word is a container's id, or the start of it: any of hexadecimal digits.

    Of another id, as much of it as is printed.
    """
    if container.is_service:
        return False
    if _HEX.fullmatch(container.id):
        return container.id.startswith(text.lower())
    ids = [container.id, container.id[:_ID_SHOWN]]
    if container.runtime == UNKNOWN:
        ids.append(container.id.rpartition(":")[0])  # the path of its cgroup
    return any(text in _spellings(it) for it in ids)


def has_name(container: Container, text: str) -> bool:
    """Whether a word is a container's name, or the id that a person gave one without a name."""
    names = [it for it in (container.name, container.container_name) if it is not None]
    if not names and not _HEX.fullmatch(container.id):
        names = [container.id]
    return not container.is_service and any(
        word in _spellings(name) for name in names for word in (text, text.removeprefix("/"))
    )


def has_unit(container: Container, text: str) -> bool:
    """Whether a word is the unit of a service, with or without its suffix."""
    if not container.is_service or container.unit is None:
        return False
    spellings = _spellings(container.unit) | _spellings(unescape_unit(container.unit))
    return text in spellings or f"{text}.service" in spellings


def is_in_pod(container: Container, pod: Sequence[str]) -> bool:
    """Whether a container is in a pod, and the one of it that is named, if one is.

    ``pod``: (pod or uid), (namespace, pod) or (namespace, pod, container).
    """
    if container.is_service:
        return False
    if len(pod) == 1:
        uid = container.pod_uid is not None and pod[0].replace("_", "-") == container.pod_uid
        return uid or container.pod == pod[0]
    names = container.pod_namespace, container.pod, container.container_name
    return tuple(pod) == names[: len(pod)]


def without_sandboxes(chains: Iterable[Chain], sizes: Mapping[Chain, int]) -> list[Chain]:
    """Return the containers of pods without those that only hold a pod's namespaces.

    The kubelet links the log of each container but those, so in a pod with links it is the one
    without, if that is one process. ``sizes``: the processes in each container.
    """
    pods: dict[tuple[object, ...], list[Chain]] = {}
    for chain in chains:
        it = chain[-1]
        pods.setdefault((chain[:-1], it.pod_namespace, it.pod, it.pod_uid), []).append(chain)
    return [chain for pod in pods.values() for chain in _applications(pod, sizes)]


def _applications(pod: Collection[Chain], sizes: Mapping[Chain, int]) -> list[Chain]:
    sandboxes = [it for it in pod if _is_called_sandbox(it[-1])]
    unnamed = [it for it in pod if it[-1].container_name is None and it[-1].name is None]
    if not sandboxes and len(unnamed) == 1 < len(pod) and sizes[unnamed[0]] == 1:
        sandboxes = unnamed
    return [it for it in pod if it not in sandboxes]


def _is_called_sandbox(container: Container) -> bool:
    """Whether its engine calls it that: dockershim's ``POD``, Podman's ``…-infra``."""
    return container.container_name == "POD" or bool(_INFRA.fullmatch(container.name or ""))


def _spellings(text: str) -> set[str]:
    return {text, printable(text)}
