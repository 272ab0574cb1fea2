"""The socket of an engine that a user runs, where that user may place anything.

Each directory on the way is opened without following a symbolic link, and so is the socket, which
has to be the user's. What is then connected to is what was checked: /proc/self/fd leads to it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from pidscope.containers.docker import Engine, NoAnswer, NoEngine


@contextlib.contextmanager
def opened(root: str, path: str, uid: int) -> Iterator[Engine]:
    """Open the socket of user ``uid`` at ``path`` below a root directory.

    Raises:
        NoEngine: there is none. NoAnswer: what is there is not that user's socket.
    """
    try:
        file = _walk(root, path)
    except FileNotFoundError as error:
        raise NoEngine("no process listens there") from error
    except OSError as error:
        raise NoAnswer(error.strerror or "it cannot be opened") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISSOCK(status.st_mode):
            raise NoAnswer("it is no socket, or a link")
        if status.st_uid != uid:
            raise NoAnswer("it is another user's")
        yield Engine(f"/proc/self/fd/{file}", uid)
    finally:
        os.close(file)


def _walk(root: str, path: str) -> int:
    """Return a descriptor of what is at a path, by which it can only be looked at."""
    at = os.open(root or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in path.strip("/").split("/"):
        try:
            # Of a symbolic link it is the link itself, below which nothing can be opened.
            below = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at
