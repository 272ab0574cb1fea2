"""The tasks in /proc: the snapshot door of a real kernel, or of a directory that looks like one.

What vanished, or may not be read, is no error and comes back as None; a file that is there but
does not have the kernel's form raises `ProcError`. Every file costs one open, one read, one close.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
from typing import Callable

from pidscope.errors import HostError, ProcError
from pidscope.host.cgroup_files import UNIFIED, CgroupFiles
from pidscope.host.hiding import ProcMount, is_hiding, read_proc_mount
from pidscope.host.ns_chain import ns_chain
from pidscope.host.proc_files import (
    DENIED,
    GONE,
    LAST_LINE,
    expect,
    inum_of,
    open_directory,
    read_file,
    read_inum,
    read_status,
)
from pidscope.host.proc_parse import (
    NO_NS_HINT,
    NO_NS_LINES,
    parse_boot_time,
    parse_boottime_offset,
    parse_forks,
    parse_is_exiting,
    parse_is_kthread,
    parse_pidfd_number,
    parse_start_ticks,
    parse_status,
    parse_zombie,
)
from pidscope.snapshot import (
    Kept,
    Mount,
    Snapshot,
    Status,
    TaskReading,
    Zombie,
    take_snapshot,
)

PROC_PID_INIT_INO = 0xEFFFFFFC  # inum of init_pid_ns (include/linux/proc_ns.h)
PROC_CGROUP_INIT_INO = 0xEFFFFFFB  # of the initial cgroup namespace (the same file)
_TIME_INIT_INO = 0xEFFFFFFA  # PROC_TIME_INIT_INO, the same file


class ProcFs:
    """The files of one /proc mount."""

    def __init__(self, root: str | os.PathLike[str] = "/proc") -> None:
        """Look below ``root``; nothing is opened yet."""
        self._root = os.fspath(root)
        self._mounted: ProcMount | None = None  # as it was read last

    @property
    def root(self) -> str:
        """Where it is mounted."""
        return self._root

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
            expect(error, GONE | DENIED)
            return []

    def read_status(self, number: int) -> Status | None:
        """Return the PID lines of task ``number``, a thread that is not listed included.

        None: it vanished, or hidepid hides it. Raises ProcError.
        """
        return read_status(f"{self._root}/{number}")

    def judged_status(self, number: int) -> Status | None:
        """Return the same for a judge, to whom a file that may not be read has not vanished.

        None: it vanished. Raises ProcError also if the kernel denies it (EACCES, EPERM).
        """
        path = f"{self._root}/{number}/status"
        data = read_file(path, LAST_LINE, none=GONE)
        return None if data is None else parse_status(data, path)

    def read_zombie(self, number: int) -> Zombie | None:
        """Return what a zombie's status has besides; None: it is none, or vanished."""
        data = read_file(f"{self._root}/{number}/status", until=b"\nThreads:\t")
        return None if data is None else parse_zombie(data)

    def read_cgroup(self, number: int) -> bytes | None:
        """Return the content of a task's ``cgroup``; None: vanished; raise ProcError.

        ``proc_cgroup_show()`` gives ENAMETOOLONG for a path that is longer than PATH_MAX.
        """
        return read_file(f"{self._root}/{number}/cgroup", until=UNIFIED)

    def cgroups_of(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Return the content of each task's ``cgroup``, by its number, less what cannot be read."""
        found = {}
        for number in numbers:
            with contextlib.suppress(ProcError):
                found[number] = self.read_cgroup(number)
        return {number: data for number, data in found.items() if data is not None}

    def start_ticks(self, number: int) -> int | None:
        """Return field 22 of stat, as `pidscope.host.ticks` has it; None: vanished."""
        path = f"{self._root}/{number}/stat"
        data = read_file(path)
        return None if data is None else parse_start_ticks(data, path)

    def is_exiting(self, number: int) -> bool | None:
        """Return whether a task has PF_EXITING; None: vanished. Raises ProcError."""
        path = f"{self._root}/{number}/stat"
        data = read_file(path)
        return None if data is None else parse_is_exiting(data, path)

    def own_start_ticks(self) -> int:
        """Return field 22 of the calling thread's own stat; raise ProcError."""
        path = f"{self._root}/thread-self/stat"
        return parse_start_ticks(read_file(path) or b"", path)

    def pid_ns(self, number: int) -> int | None:
        """Return the inum of ``ns/pid``; None: vanished, or this user may not read it."""
        return read_inum(f"{self._root}/{number}/ns/pid")

    def own_number(self) -> int | None:
        """Return the number of this process in the mount's namespace; None: it has none."""
        try:
            return int(os.readlink(f"{self._root}/self"))  # noqa: PTH115 (bare name)
        except (OSError, ValueError):
            return None

    def children_ns(self, number: int) -> int | None:
        """Return the inum of ``ns/pid_for_children``, in which the task's children will be born.

        None: the task is a zombie or vanished, this user may not read it, or (up to 7.0) that
        namespace has not had its number 1 yet (``pidns_for_children_get()``).
        """
        return read_inum(f"{self._root}/{number}/ns/pid_for_children")

    def kept(self, known: Collection[int], whole: bool) -> Kept:
        """Return the PID namespaces inside the ``known`` ones in which no task lives.

        ``whole``: look at every descriptor, and not only at the first thousand or so.
        """
        from pidscope.host.kept_namespaces import kept_namespaces  # few answers need them

        return kept_namespaces(self._root, self.numbers(), known, whole)

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        """Return (inum, inum of its parent) from the task's own PID namespace outwards.

        As `pidscope.host.ns_chain.ns_chain`.
        """
        return ns_chain(self._root, number, self._shown_ns)

    def read(self, number: int) -> TaskReading | None:
        """Return status, namespace and start of one task; None: vanished, or hidden.

        All three are read below one descriptor of the task's directory, so they are one
        ``struct pid``'s even when its number is given out again meanwhile. Raises ProcError.
        """
        return self._read_task(number, None, start=True)

    def _read_task(
        self, number: int, shown: int | None, start: bool, cgroups: CgroupFiles | None = None
    ) -> TaskReading | None:
        """Read one task as `read` does, except files that add nothing.

        A task that has one number is in the namespace that the mount shows, ``shown`` if that is
        known. Without ``start``, stat is read only if the namespace is not known, see below. The
        content of a process's ``cgroup`` goes into ``cgroups``, if that is given.
        """
        path = f"{self._root}/{number}"
        directory = open_directory(path)
        if directory is None:
            return None
        try:
            status = read_status(path, directory)
            if status is None:
                return None
            only = shown if len(status.ns_pid) == 1 else None
            ns = read_inum("ns/pid", directory) if only is None else only
            if cgroups is not None and status.ns_pid == status.ns_tgid:
                cgroups.read(number, "cgroup", directory)
            if not start and ns is not None:
                return TaskReading(number, status, None, ns)
            # Last: a start without a namespace then means "may not be read", not "vanished".
            stat = read_file("stat", directory=directory)
            if stat is None and not start:
                return None
            ticks = None if stat is None else parse_start_ticks(stat, f"{path}/stat")
            return TaskReading(number, status, ticks, ns)
        finally:
            os.close(directory)

    def proc_mount(self) -> ProcMount:
        """Return the options of this mount, and what another mount covers."""
        self._mounted = read_proc_mount(self._root)
        return self._mounted

    def snapshot(
        self,
        threads: bool = True,
        starts: bool = True,
        cgroups: bool = False,
        mounted: ProcMount | None = None,
    ) -> Snapshot:
        """Read every task as `take_snapshot` does; raise HostError if none is listed.

        ``mounted``: what `proc_mount` gave; None: it is read.
        """
        shown = self._shown_ns()
        paths = CgroupFiles() if cgroups else None
        snapshot = take_snapshot(
            self,
            threads,
            lambda number: self._read_task(number, shown, starts, paths),
            (mounted or self.proc_mount()).covered,
        )
        parents = {} if shown is None else {shown: 0}
        return snapshot._replace(
            ns_parents={**parents, **snapshot.ns_parents},
            starts=starts,
            cgroups=None if paths is None else paths.found,
            unread=snapshot.unread if paths is None else (*snapshot.unread, *paths.unread),
        )

    def sees_cgroups_whole(self) -> bool:
        """Return whether ``cgroup`` shows whole paths, not only from a cgroup namespace's root.

        It is the reader's namespace that counts, not the mount's (``proc_cgroup_show()``,
        kernel/cgroup/cgroup.c).
        """
        try:
            return inum_of(f"{self._root}/self/ns/cgroup") == PROC_CGROUP_INIT_INO
        except OSError:  # a kernel without control groups
            return False

    def host_root(self) -> str:
        """Return the root directory of the mount's process 1, or else this process's own.

        Only root may pass there; in a container with the host's PID namespace they differ.
        """
        root = f"{self._root}/1/root"
        return root if os.access(f"{root}/.", os.X_OK) else ""

    def sees_all(self, mounted: ProcMount | None = None) -> bool:
        """Return whether no process is hidden: hidepid hides init, if it applies to this user.

        ``mounted`` as in `snapshot`.
        """
        with contextlib.suppress(ProcError):
            if self.read_status(1) is None:
                return False
        # It is there, whatever is in it. To a root without CAP_SYS_PTRACE that shows nothing.
        return os.geteuid() != 0 or not is_hiding(mounted or self.proc_mount(), self._root)

    def hides(self) -> str:
        """Return why a process that is not shown may live all the same; empty: none is hidden."""
        mount = self.proc_mount()
        if mount.subset:
            return f"{self._root} has the option subset={mount.subset}: it lacks files"
        if is_hiding(mount, self._root):
            option = f"{self._root} has the option hidepid={mount.hidepid}"
            return f"{option}, and this process lacks CAP_SYS_PTRACE: it hides processes"
        if mount.covered:
            named = ", ".join(map(str, sorted(mount.covered)[:5]))
            return f"something is mounted over process {named} in {self._root}: it hides processes"
        return "" if self.sees_all(mount) else f"{self._root} hides process 1, and perhaps others"

    def boot_id(self) -> str | None:
        """Return the UUID of this boot; None: there is none below this root."""
        data = read_file(f"{self._root}/sys/kernel/random/boot_id")
        return None if data is None else data.decode("ascii", "replace").strip()

    def boot_time(self) -> int | None:
        """Return ``btime`` of /proc/stat, the boot in seconds since the epoch; None: not there.

        A time namespace shifts it, too (``timens_sub_boottime()``, fs/proc/stat.c), since 5.11.
        The file is missing with subset=pid, may not be read on Android, and has no btime where
        some versions of lxcfs are mounted over it.
        """
        return self._of_stat(b"\nbtime ", parse_boot_time)

    def forks(self) -> int | None:
        """Return ``processes`` of /proc/stat, the tasks born since boot; None: not there."""
        return self._of_stat(b"\nprocesses ", parse_forks)

    def _of_stat(self, key: bytes, parse: Callable[[bytes, str], int]) -> int | None:
        path = f"{self._root}/stat"
        with contextlib.suppress(ProcError):
            data = self._read_global("stat", key)
            return None if data is None else parse(data, path)
        return None

    def _read_global(self, name: str, until: bytes = b"") -> bytes | None:
        """Return a file that is no process's; None: not there, or its file system hangs.

        lxcfs may be mounted over it, a program that may not answer. Raises ProcError.
        """
        path, mounted = f"{self._root}/{name}", self._mounted or self.proc_mount()
        if name not in mounted.files:
            return read_file(path, until)
        from pidscope.host.read_in_time import read_in_time  # in containers of LXC only

        return read_in_time(path, until)

    def last_pid(self) -> int | None:
        """Return the last number given out in the reader's own PID namespace.

        ``loadavg_proc_show()`` (fs/proc/loadavg.c) takes the reader's namespace, not the mount's.
        """
        fields = (self._read_global("loadavg") or b"").split()
        return int(fields[4]) if len(fields) == 5 and fields[4].isdigit() else None

    def process_count(self) -> int:
        """Return how many processes this machine has, roughly; 0: this is no /proc.

        ``proc_root_getattr()`` (fs/proc/root.c) adds them to the links of the directory, which are
        about ten.
        """
        try:
            return os.stat(self._root).st_nlink  # noqa: PTH116
        except OSError:
            return 0

    def mount(self) -> Mount:
        """Return which PID namespace this mount shows, once it is certain that the reader is in it.

        Raises HostError for the /proc of another PID namespace, and for what is no /proc:
        ``self`` is there only for a reader that has a number in the mount's namespace, and NSpid
        has one number only if that is the reader's own (``task_pid()``, fs/proc/array.c).
        """
        try:
            number = int(os.readlink(f"{self._root}/self"))  # noqa: PTH115 (bare name)
            status = self.read_status(number)
        except (OSError, ValueError) as error:
            raise self._foreign() from error
        except ProcError as error:
            if error.reason == NO_NS_LINES:
                raise HostError(f"{error.path} has {NO_NS_LINES}", NO_NS_HINT) from error
            raise
        if status is None:
            raise self._foreign()
        own = self.pid_ns(number)
        if own is None:
            raise HostError(f"cannot read {self._root}/{number}/ns/pid, this process's own")
        if len(status.ns_pid) == 1:
            return Mount(own, own == PROC_PID_INIT_INO)
        ns = self._shown_ns()
        return Mount(ns, None if ns is None else ns == PROC_PID_INIT_INO, own)

    def _shown_ns(self) -> int | None:
        """Return the inum of the mount's namespace, by two of its processes.

        Number 1 of a namespace is never inside another: no process can be there before it. This
        user may not be allowed to read its link; but a kernel thread has a number in the initial
        namespace only, and there number 2 is one (``rest_init()``, init/main.c).
        """
        ns = self.pid_ns(1)
        path = f"{self._root}/2/stat"
        with contextlib.suppress(ProcError):
            stat = read_file(path) if ns is None else None
            return PROC_PID_INIT_INO if stat is not None and parse_is_kthread(stat, path) else ns
        return ns

    def number_of(self, pid: int) -> int:
        """Return the number in the mount's namespace of the process that is ``pid`` to the reader.

        ``pidfd_show_fdinfo()`` (kernel/fork.c, since 5.4) prints it, for the mount that is read.
        Raises HostError: it is gone, or the kernel has no pidfds.
        """
        if self.mount().inside is None:
            return pid
        try:
            fd = os.pidfd_open(pid)
        except OSError as error:
            raise HostError(f"cannot open a pidfd of process {pid}: {error.strerror}") from error
        try:
            path = f"{self._root}/self/fdinfo/{fd}"
            number = parse_pidfd_number(read_file(path) or b"", path)
        finally:
            os.close(fd)
        if number <= 0:
            raise HostError(f"process {pid} has no number in {self._root}")
        return number

    def boottime_offset_ns(self) -> int:
        """Return the boottime offset of the reader's time namespace.

        ``timens_offsets`` has those of its children's (``proc_timens_show_offsets()``,
        kernel/time/namespace.c), which is the same one unless the process has just unshared it.
        Raises HostError if so; ProcError.
        """
        try:
            own = inum_of(f"{self._root}/self/ns/time")
            of_children = inum_of(f"{self._root}/self/ns/time_for_children")
        except (FileNotFoundError, NotADirectoryError):
            return 0  # a kernel without time namespaces, or no /proc at all
        if own == _TIME_INIT_INO:
            return 0
        if own != of_children:
            raise HostError(
                "this process has left its time namespace, and can no longer read its offset",
                "run pidscope in a child (unshare --time --fork pidscope …)",
            )
        path = f"{self._root}/self/timens_offsets"
        return parse_boottime_offset(read_file(path) or b"", path)

    def _foreign(self) -> HostError:
        if not any(os.path.lexists(f"{self._root}/{name}") for name in ("self", "stat")):
            return HostError(
                f"{self._root} is not a mounted proc file system",
                hint="mount one (mount -t proc proc DIR) and name it with --proc DIR",
            )
        return HostError(
            f"{self._root} belongs to a PID namespace in which this process has no number",
            hint="mount your own (unshare -m, then mount -t proc proc /proc), "
            "or run where that one is home (nsenter -t PID -p -m)",
        )


def _numeric(names: list[str]) -> list[int]:
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())
