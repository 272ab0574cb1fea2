"""A PID namespace that was named, as a value; what names it is `pidscope.query.where`. Pure."""

from __future__ import annotations

from typing import NamedTuple

from pidscope.containers.container import Chain

ROOT = "run as root to see all"


class Place(NamedTuple):
    """A PID namespace, and what the word named.

    ``ns`` is its inum; None: the mount's own, which may not be read. ``container`` is the one that
    was named, behind those around it; ``shared`` are the others that have the same namespace, and
    ``with_host``: the container has none of its own but the mount's. ``users`` are containers of
    users that the word names as well, which come after it.
    """

    ns: int | None
    container: Chain = ()
    shared: tuple[Chain, ...] = ()
    with_host: bool = False
    users: tuple[Chain, ...] = ()


def bracketed(ns: int | None) -> str:
    """Return an inum as /proc prints it; None: not known."""
    return f"pid:[{'?' if ns is None else ns}]"


def no_process(number: int, complete: bool) -> str:
    """Return that no process has a number, as far as this user may see."""
    return f"no process {number}{'' if complete else ', or none that this user may see'}"
