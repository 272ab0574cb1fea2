"""/proc as it tells of tasks: the snapshot door of a real kernel, or of a tree that looks like it.

What vanished, or may not be read, is no error and comes back as None; a file that is there but
does not have the kernel's form raises `ProcError`. Every file costs one open, one read, one close.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import NamedTuple

from pidscope.errors import HostError, ProcError
from pidscope.snapshot import Snapshot, Status, TaskReading, take_snapshot
from pidscope.status import parse_boot_time, parse_forks, parse_start_ticks, parse_status

PROC_PID_INIT_INO = 0xEFFFFFFC  # inum of init_pid_ns (include/linux/proc_ns.h)
_TIME_INIT_INO = 0xEFFFFFFA  # PROC_TIME_INIT_INO, the same file
_NS_GET_PARENT = 0xB702  # include/uapi/linux/nsfs.h, since 4.9

_GONE = frozenset({errno.ENOENT, errno.ESRCH})
_DENIED = frozenset({errno.EACCES, errno.EPERM})  # EPERM: hidepid=1 (proc_pid_permission())


class Mount(NamedTuple):
    """The PID namespace that a /proc mount shows, which is the caller's own."""

    ns: int  # inum
    initial: bool  # the initial namespace: every task of the machine has a number in the mount


class ProcFs:
    """The files of one /proc mount."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        """Look below ``root``; nothing is opened yet."""
        self._root = os.fspath(root)

    def numbers(self) -> list[int]:
        """Return the process numbers listed, increasing; raise HostError if there is no listing."""
        try:
            return _numeric(os.listdir(self._root))  # noqa: PTH208 (no Path for each name)
        except OSError as error:
            raise HostError(f"cannot list {self._root}: {error.strerror}") from error

    def threads(self, number: int) -> list[int]:
        """Return the tids of process ``number``, increasing; none if it vanished."""
        try:
            return _numeric(os.listdir(f"{self._root}/{number}/task"))  # noqa: PTH208
        except OSError as error:
            _expect(error, _GONE | _DENIED)
            return []

    def read_status(self, number: int) -> Status | None:
        """Return the PID lines of task ``number``, a thread that is not listed included.

        None: it vanished, or hidepid hides it. Raises ProcError.
        """
        path = f"{self._root}/{number}/status"
        data = _read(path, until=b"\nNSsid:")
        return None if data is None else parse_status(data, path)

    def start_ticks(self, number: int) -> int | None:
        """Return field 22 of stat, the start in USER_HZ ticks since boot; None: vanished."""
        path = f"{self._root}/{number}/stat"
        data = _read(path)
        return None if data is None else parse_start_ticks(data, path)

    def pid_ns(self, number: int) -> int | None:
        """Return the inum of ``ns/pid``; None: vanished, or this user may not read it."""
        return _read_inum(f"{self._root}/{number}/ns/pid")

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        """Return (inum, inum of its parent) from the task's own PID namespace outwards."""
        chain: list[tuple[int, int]] = []
        fds: list[int] = []
        try:
            fds.append(os.open(f"{self._root}/{number}/ns/pid", os.O_RDONLY | os.O_CLOEXEC))
            while True:
                inum = os.fstat(fds[-1]).st_ino
                parent = _parent_fd(fds[-1])
                if parent is None:
                    return [*chain, (inum, 0)]
                fds.append(parent)
                chain.append((inum, os.fstat(parent).st_ino))
        except OSError as error:
            _expect(error, _GONE | _DENIED | {errno.ENOTTY})
            return chain
        finally:
            for fd in fds:
                os.close(fd)

    def read(self, number: int) -> TaskReading | None:
        """Return status, namespace and start of one task; None: vanished, or hidden.

        All three are read below one descriptor of the task's directory, so they are one
        ``struct pid``'s even when its number is given out again meanwhile. Raises ProcError.
        """
        path = f"{self._root}/{number}"
        directory = _open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if directory is None:
            return None
        try:
            data = _read("status", until=b"\nNSsid:", directory=directory)
            if data is None:
                return None
            status = parse_status(data, f"{path}/status")
            ns = _read_inum("ns/pid", directory)
            # Last: a start without a namespace then means "may not be read", not "vanished".
            stat = _read("stat", directory=directory)
            ticks = None if stat is None else parse_start_ticks(stat, f"{path}/stat")
            return TaskReading(number, status, ticks, ns)
        finally:
            os.close(directory)

    def snapshot(self, threads: bool = True) -> Snapshot:
        """Read every task as `take_snapshot` does; raise ProcError, HostError if none is listed."""
        return take_snapshot(self, threads)

    def sees_all(self) -> bool:
        """Tell whether hidepid hides nobody: whom it concerns, it hides init from."""
        return self.read_status(1) is not None

    def boot_id(self) -> str | None:
        """Return the UUID of this boot; None: there is none below this root."""
        data = _read(f"{self._root}/sys/kernel/random/boot_id")
        return None if data is None else data.decode("ascii", "replace").strip()

    def boot_time(self) -> int:
        """Return ``btime`` of /proc/stat, the boot in seconds since the epoch; raise ProcError."""
        path = f"{self._root}/stat"
        data = _read(path, until=b"\nbtime ") or b""
        return parse_boot_time(data, path)

    def forks(self) -> int:
        """Return ``processes`` of /proc/stat, the tasks born since boot; raise ProcError."""
        path = f"{self._root}/stat"
        return parse_forks(_read(path, until=b"\nprocesses ") or b"", path)

    def last_pid(self) -> int | None:
        """Return the last number given out in the caller's own PID namespace.

        ``loadavg_proc_show()`` (fs/proc/loadavg.c) takes the reader's namespace, not the mount's.
        """
        fields = (_read(f"{self._root}/loadavg") or b"").split()
        return int(fields[4]) if len(fields) == 5 and fields[4].isdigit() else None

    def mount(self) -> Mount:
        """Return which PID namespace this mount shows, once it is sure to be the caller's own.

        Raises HostError for the /proc of another PID namespace, and for what is no /proc:
        ``self`` is there only for a reader who has a number in the mount's namespace, and NSpid
        has one number only if that is the reader's own (``task_pid()``, fs/proc/array.c).
        """
        try:
            number = int(os.readlink(f"{self._root}/self"))  # noqa: PTH115 (bare name)
        except (OSError, ValueError) as error:
            raise self._foreign() from error
        status = self.read_status(number)
        if status is None or len(status.ns_pid) != 1:
            raise self._foreign()
        ns = self.pid_ns(number)
        if ns is None:
            raise HostError(f"cannot read {self._root}/{number}/ns/pid, this process's own")
        return Mount(ns, ns == PROC_PID_INIT_INO)

    def own_time_is_initial(self) -> bool:
        """Tell whether stat's start times come unshifted to this process.

        ``do_task_stat()`` adds the reader's offset (``timens_add_boottime_ns()``, since 5.6).
        """
        try:
            return Path(self._root, "self/ns/time").stat().st_ino == _TIME_INIT_INO
        except FileNotFoundError:
            return True  # a kernel without time namespaces

    def _foreign(self) -> HostError:
        if not os.access(f"{self._root}/stat", os.F_OK):
            return HostError(
                f"{self._root} is not a mounted proc file system",
                hint="mount one (mount -t proc proc DIR) and name it with --proc DIR",
            )
        return HostError(
            f"{self._root} belongs to another PID namespace than this process",
            hint="mount your own (unshare -m, then mount -t proc proc /proc), "
            "or run where that one is home (nsenter -t PID -p -m)",
        )


def _numeric(names: list[str]) -> list[int]:
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _expect(error: OSError, errnos: frozenset[int]) -> None:
    """Raise ``error`` again unless it is one of ``errnos``."""
    if error.errno not in errnos:
        raise error


def _open(path: str, flags: int, directory: int | None = None) -> int | None:
    try:
        return os.open(path, flags, dir_fd=directory)
    except OSError as error:
        _expect(error, _GONE | _DENIED)
        return None


def _read(path: str, until: bytes = b"", directory: int | None = None) -> bytes | None:
    """Return the file up to the line that begins with ``until``, or what one read gives.

    A status file is longer than a page only where Groups is, so one read is the rule.
    """
    fd = _open(path, os.O_RDONLY | os.O_CLOEXEC, directory)
    if fd is None:
        return None
    try:
        data = os.read(fd, 4096)
        while until and not _has_line(data, until):
            more = os.read(fd, 65536)
            if not more:
                break
            data += more
        return data
    except OSError as error:
        _expect(error, _GONE | _DENIED)
        return None
    finally:
        os.close(fd)


def _has_line(data: bytes, key: bytes) -> bool:
    start = data.find(key)
    return start >= 0 and data.find(b"\n", start + len(key)) >= 0


def _read_inum(path: str, directory: int | None = None) -> int | None:
    """Return INUM of a link to ``pid:[INUM]`` (``ns_get_name()``, fs/nsfs.c)."""
    try:
        link = os.readlink(path, dir_fd=directory)
    except OSError as error:
        _expect(error, _GONE | _DENIED)
        return None
    if not (link.startswith("pid:[") and link.endswith("]") and link[5:-1].isdigit()):
        raise ProcError(path, 1, link, "not a PID namespace")
    return int(link[5:-1])


def _parent_fd(fd: int) -> int | None:
    """Open the parent of the namespace behind ``fd``; None: the caller may not see it."""
    try:
        return fcntl.ioctl(fd, _NS_GET_PARENT)
    except OSError as error:
        _expect(error, frozenset({errno.EPERM}))
        return None
