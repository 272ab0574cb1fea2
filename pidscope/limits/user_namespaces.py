"""Which users a task counts for, from its own user namespace outwards.

Since 5.14 a task counts for its real user in its user namespace, and for the user that made that
namespace in the one around it, and so on (``inc_rlimit_ucounts()``, kernel/ucount.c).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pidscope.host.proc import ProcFs
from pidscope.host.proc_files import DENIED, expect, open_file

PROC_USER_INIT_INO = 0xEFFFFFFD  # include/linux/proc_ns.h
_NS_GET_PARENT, _NS_GET_OWNER_UID = 0xB702, 0xB704  # include/uapi/linux/nsfs.h, since 4.9, 4.11
_MOST_LEVELS = 33  # create_user_ns(), kernel/user_namespace.c


class Charged(NamedTuple):
    """A user for whom a task counts."""

    ns: int  # inum of a user namespace
    uid: int  # as the reader's user namespace has it


class Made(NamedTuple):
    """A user namespace's origin."""

    parent: int  # inum
    owner: int  # uid of the user that made it


def charges(
    own: Charged, made: Mapping[int, Made], initial: int = PROC_USER_INIT_INO
) -> tuple[Sequence[Charged], bool]:
    """Return for whom a task counts, from the inside out, and whether that is all."""
    found = [own]
    while found[-1].ns != initial:
        origin = made.get(found[-1].ns)
        if origin is None or len(found) > _MOST_LEVELS:
            return found, False
        found.append(Charged(origin.parent, origin.owner))
    return found, True


class UserNamespaces:
    """The origins of user namespaces, each read once."""

    def __init__(self, procfs: ProcFs, initial: int = PROC_USER_INIT_INO) -> None:
        self._procfs = procfs
        self._initial = initial
        self._made: dict[int, Made] = {}
        self._asked: set[int] = set()

    def charges(self, number: int, own: Charged) -> tuple[Sequence[Charged], bool]:
        """Return for whom task ``number`` counts, as `charges`; ``own`` is its real user."""
        if own.ns not in self._asked and own.ns != self._initial:
            self._asked.add(own.ns)
            fd = open_file(f"{self._procfs.root}/{number}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            if fd is not None:
                self._read_outwards(fd)
        return charges(own, self._made, self._initial)

    def _read_outwards(self, fd: int) -> None:
        """Read a namespace and those around it as far as the kernel shows them; closes ``fd``."""
        for _ in range(_MOST_LEVELS):
            inum = os.fstat(fd).st_ino
            owner, outer = _owner(fd), _parent(fd)
            os.close(fd)
            if outer is None:
                return
            if owner is not None:
                self._made[inum] = Made(os.fstat(outer).st_ino, owner)
            fd = outer
        os.close(fd)


def _owner(fd: int) -> int | None:
    try:
        answer = fcntl.ioctl(fd, _NS_GET_OWNER_UID, bytes(4))
    except OSError as error:
        expect(error, DENIED | {errno.ENOTTY, errno.EINVAL})
        return None
    return int(struct.unpack("=I", answer)[0])


def _parent(fd: int) -> int | None:
    """Open the namespace around one; None: it is the reader's own, or outside that."""
    try:
        return fcntl.ioctl(fd, _NS_GET_PARENT)
    except OSError as error:
        expect(error, DENIED | {errno.ENOTTY})
        return None
