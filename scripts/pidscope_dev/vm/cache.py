"""The directory that keeps downloaded kernels and built initramfs between runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import VmError


def location() -> Path:
    """Return the cache directory of this user, outside the checkout."""
    if os.geteuid() == 0:
        return Path("/var/cache/pidscope")
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The base directory specification says that a relative path is to be ignored.
    return Path(base if base.startswith("/") else Path.home() / ".cache") / "pidscope"


def opened(path: Path) -> Path:
    """Create the cache directory if need be; refuse one that other users could write."""
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise VmError(f"cannot use the cache directory {path}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise VmError(f"the cache {path} is not a directory of this user: remove it")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise VmError(f"the cache {path} can be written by others: chmod go-w or remove it")
    return path


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Hold the cache for writing; others wait."""
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Scratch directories exist only under this lock: these are of runs that were killed.
        for left in cache.glob("part-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextlib.contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """Give a directory on the cache's own file system, gone afterwards unless published.

    Only with the lock held.
    """
    path = Path(tempfile.mkdtemp(prefix="part-", dir=cache))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def publish(finished: Path, place: Path) -> None:
    """Put a finished scratch directory in its place, whole or not at all."""
    finished.chmod(0o755)
    finished.rename(place)


def remove(path: Path) -> None:
    """Remove a directory in a scratch directory, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def link(path: Path, target: Path, cache: Path) -> None:
    """Make a symbolic link, replacing an older one in one step."""
    path.parent.mkdir(exist_ok=True)
    with scratch(cache) as directory:
        fresh = directory / "link"
        fresh.symlink_to(target)
        fresh.replace(path)


def store(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="part-", delete=False) as part:
        try:
            part.write(data)
            part.flush()
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink()
            raise
