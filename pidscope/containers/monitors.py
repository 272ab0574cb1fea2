"""Names that stand in the command line of the process that watches a container.

conmon has Podman's id and name (``-c ID -n NAME``); the monitor of LXC is called ``[lxc monitor]
PATH NAME``, which is the name that a person gave where the cgroup's has a ``-1`` behind it, left
over from one that could not be removed. Any process may have such a command line: it counts if it
is the parent of the container's first process and belongs to root, or to the container's user.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pidscope.containers.container import Container

_MAX_BYTES = 1 << 14
_TRIED = 16  # members of one container
_PARENT = re.compile(rb"^PPid:\t([0-9]{1,7})$", re.MULTILINE)
_USER = re.compile(rb"^Uid:\t([0-9]{1,10})\t([0-9]{1,10})\t", re.MULTILINE)
_LXC = re.compile(rb"\[lxc monitor\] /[^\0]* ([^\0 /]+)\0*")
_LEFT_OVER = re.compile(r"(.+)-[0-9]{1,4}", re.DOTALL)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")


def may_name(container: Container) -> bool:
    """Whether a monitor knows more about a container than its cgroup and files do."""
    if container.runtime == "lxc":
        return _LEFT_OVER.fullmatch(container.id) is not None
    return container.runtime == "podman" and container.name is None


def monitored(
    container: Container, members: Collection[int], proc: str
) -> tuple[Container, int] | None:
    """Return a container with the name that a monitor has, and that monitor's PID; None: none.

    The monitor is the parent of one of its processes, ``members``.
    """
    parents = {_parent(proc, pid): pid for pid in sorted(members)[:_TRIED]}
    for parent in sorted(pid for pid in parents if pid and pid not in members):
        name = _name(container, _read(f"{proc}/{parent}/cmdline"))
        if name is not None and _is_trusted(proc, parent, container.uid):
            return container._replace(name=name), parent
    return None


def _name(container: Container, command: bytes) -> str | None:
    """Return the name that a monitor's command line has for a container; None: it is no monitor."""
    if container.runtime == "lxc":
        match, left = _LXC.fullmatch(command), _LEFT_OVER.fullmatch(container.id)
        name = match[1].decode("utf-8", "surrogateescape") if match else None
        return name if left and name in (container.id, left[1]) else None
    program, *words = command.decode("utf-8", "surrogateescape").split("\0")
    if program.rpartition("/")[2] != "conmon" or _option(words, "-c") != container.id:
        return None
    name = _option(words, "-n")
    return name if name is not None and _NAME.fullmatch(name) else None


def _option(words: list[str], option: str) -> str | None:
    """Return what stands behind an option the first time; what conmon runs at the end is behind."""
    return next((value for it, value in zip(words, words[1:]) if it == option), None)


def _parent(proc: str, pid: int) -> int:
    match = _PARENT.search(_read(f"{proc}/{pid}/status"))
    return int(match[1]) if match else 0


def _is_trusted(proc: str, pid: int, uid: int | None) -> bool:
    """Whether a process is root's, or of the user to whom a container belongs."""
    match = _USER.search(_read(f"{proc}/{pid}/status"))
    return match is not None and {int(match[1]), int(match[2])} <= {0, uid or 0}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(_MAX_BYTES)
    except OSError:  # ended meanwhile
        return b""
