"""Files that this program wrote for itself, and reads again only if they are what it wrote.

The directory ``pidscope/programs`` belongs to the effective user and is closed to all others; it is
opened without following a symbolic link in its place or in that of ``pidscope``, and everything in
it is reached through that descriptor. Above it there may be links, as where /var lies on another
disk; those places are root's, or the user's own.

A file holds the SHA-256 of its content, then the content. It is written under a name that cannot be
guessed and renamed, so a reader finds the old file or the new one, whole; two processes that write
the same one do not meet. What does not pass is never used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from typing import Callable, NamedTuple

_FOLDERS = (("pidscope", 0o755, 0o022), ("programs", 0o700, 0o077))  # name, mode, bits not allowed
_DIGEST = sha256().digest_size
_MOST_FILES = 32
_MOST_BYTES = 8 << 20
_LARGEST = 1 << 20  # bytes of one file


class Usage(NamedTuple):
    """How many files there are, and their bytes."""

    files: int
    size: int


class CacheError(Exception):
    """The directory or a file in it cannot be used; says why."""


class _FolderError(CacheError):
    """It is the directory."""


def directory_of(uid: int, environment: dict[str, str] | os._Environ[str]) -> str | None:
    """Return where an effective user's caches are; None: the user has no home."""
    if uid == 0:
        return "/var/cache"
    place, home = environment.get("XDG_CACHE_HOME", ""), environment.get("HOME", "")
    if place.startswith("/"):  # the XDG Base Directory Specification: others are to be ignored
        return place
    return f"{home}/.cache" if home.startswith("/") else None


class Cache:
    """One directory of small files; nothing that goes wrong with it is an error of its user's.

    Args:
        base: where the user's caches are; the directory is made below it when it is needed.
        warn: gets one line for each file, or directory, that is there but is not trusted.
    """

    def __init__(self, base: str, warn: Callable[[str], None]) -> None:
        self._base = base
        self.path = "/".join((base, *(name for name, _, _ in _FOLDERS)))
        self._warn = warn
        self._warned: set[str] = set()

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None: it is not there, or not to be trusted."""
        try:
            with self._opened() as directory:
                return _read(directory, name)
        except FileNotFoundError:
            return None
        except _FolderError as error:
            self.distrust("", str(error))
        except (CacheError, OSError) as error:
            self.distrust(name, _reason(error))
        return None

    def distrust(self, name: str, why: str) -> None:
        """Print once that a file is not used; without a name, that the directory is not."""
        path = f"{self.path}/{name}" if name else self.path
        if name not in self._warned:
            self._warned.add(name)
            self._warn(f"not used: {path}: {why}")

    def write(self, name: str, content: bytes) -> bool:
        """Write a file, and remove the oldest if there are too many; False: it was not possible."""
        try:
            self._make()
            with self._opened() as directory:
                _write(directory, name, sha256(content).digest() + content)
                _prune(directory)
        except (CacheError, OSError):
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file if it is there and can be removed."""
        with contextlib.suppress(CacheError, OSError), self._opened() as directory:
            os.unlink(name, dir_fd=directory)

    def refusal(self) -> str:
        """Return why nothing can be kept, ``""`` if it can."""
        try:
            self._make()
            with self._opened() as directory:
                os.close(_create(directory, name := _unguessable()))
                os.unlink(name, dir_fd=directory)
        except (CacheError, OSError) as error:
            return _reason(error)
        return ""

    def usage(self) -> Usage:
        """Count the files; raises CacheError, OSError."""
        try:
            with self._opened() as directory:
                sizes = [status.st_size for _, status in _files(directory)]
        except FileNotFoundError:
            sizes = []
        return Usage(len(sizes), sum(sizes))

    def _make(self) -> None:
        """Make the directory, and a user's ~/.cache; raises OSError."""
        path = self._base
        if os.geteuid():
            _make(path, 0o700)
        for name, mode, _ in _FOLDERS:
            path = f"{path}/{name}"
            _make(path, mode)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the directory if it is trusted; raises CacheError, FileNotFoundError."""
        directory = _open_folders(self._base)
        try:
            yield directory
        finally:
            os.close(directory)


def _open_folders(base: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    opened = []
    try:
        opened.append(os.open(base, flags))
        for name, _, forbidden in _FOLDERS:
            opened.append(os.open(name, flags | os.O_NOFOLLOW, dir_fd=opened[-1]))
            _expect_own(os.fstat(opened[-1]), forbidden)
        return opened.pop()
    except FileNotFoundError:
        raise
    except (CacheError, OSError) as error:
        raise _FolderError(_reason(error)) from error
    finally:
        for directory in opened:
            os.close(directory)


def _make(path: str, mode: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)  # noqa: PTH102 (no pathlib)


def _expect_own(status: os.stat_result, forbidden: int) -> None:
    """Raise CacheError unless it is the effective user's, and others have none of these bits."""
    if status.st_uid != os.geteuid():
        raise CacheError(f"it belongs to user {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & forbidden:
        raise CacheError(f"it is open to others (mode {stat.S_IMODE(status.st_mode):04o})")


def _read(directory: int, name: str) -> bytes:
    """Return the content of a file that is trusted; raises CacheError, OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with open(os.open(name, flags, dir_fd=directory), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CacheError("it is not a regular file")
        _expect_own(status, 0o077)
        if not _DIGEST <= status.st_size <= _LARGEST:
            raise CacheError(f"it has {status.st_size} bytes")
        data = file.read(_LARGEST + 1)
        if sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            raise CacheError("its content does not have its digest")
        with contextlib.suppress(OSError):  # on a read-only file system it gets no younger
            os.utime(file.fileno())
    return data[_DIGEST:]


def _write(directory: int, name: str, data: bytes) -> None:
    if len(data) > _LARGEST:
        raise CacheError(f"{len(data)} bytes are too many")
    new = _unguessable()
    try:
        with open(_create(directory, new), "wb") as file:
            file.write(data)
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=directory)
        raise


def _create(directory: int, name: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=directory)


def _unguessable() -> str:
    return f".{os.urandom(8).hex()}"


def _prune(directory: int) -> None:
    """Remove the files that were not used for longest, until few enough are left."""
    files = sorted(_files(directory), key=lambda each: each[1].st_mtime_ns, reverse=True)
    size = 0
    for number, (name, status) in enumerate(files):
        size += status.st_size
        if number >= _MOST_FILES or size > _MOST_BYTES:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory)


def _files(directory: int) -> Iterator[tuple[str, os.stat_result]]:
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            yield name, os.stat(name, dir_fd=directory, follow_symlinks=False)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "it is a symbolic link, or no directory"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
