"""Processes whose forks fail for a known cause, and that hold that cause until the test lets go.

A scene runs in a child of the test, which it forks itself: what must not be disturbed later, such
as a limit of the whole machine, is set by the child and taken back by it.
"""

from __future__ import annotations

import json
import os
import resource
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pidscope_dev.workload import syscalls
from pidscope_dev.workload.cgroup import PidsCgroup
from pidscope_dev.workload.failures import bad_pidfd

FAILURES = 23
"""Failed forks of a scene; a prime, so no mistake of a factor hides."""
MOST_BIRTHS = 4  # of a scene that bounds tasks to five
NOBODY = 65534
UNTOLD = -1
"""For the inum of a namespace that had no process yet: up to 7.0 it has no link in /proc."""
DEEPEST = 32  # MAX_PID_NS_LEVEL (include/linux/pid_namespace.h)

Make = Callable[[], int]


class Done(NamedTuple):
    """What a scene did."""

    by: int  # the process that forked, by its PID in the initial PID namespace
    children_ns: int  # inum
    errnos: list[int]  # of the forks that failed, in order


class Scene:
    """Inside the child: forks that fail, and the report about them."""

    def __init__(self, lifeline: int, report: int) -> None:
        self._lifeline = lifeline
        self._report = report

    def refused(self, make: Make = os.fork) -> int:
        """Fork; the errno, or 0 if a child was born, which stays."""
        try:
            pid = make()
        except OSError as error:
            return error.errno or 0
        if pid == 0:
            self.hold()
            os._exit(0)
        return 0

    def fail(self, make: Make = os.fork) -> list[int]:
        """Fork until so many have failed; raise AssertionError if too many have not."""
        errnos: list[int] = []
        for _ in range(FAILURES + MOST_BIRTHS):
            error = self.refused(make)
            errnos += [error] if error else []
            if len(errnos) == FAILURES:
                return errnos
        raise AssertionError(f"forks failed with {errnos} only")

    def inside(self, body: Callable[[], None]) -> None:
        """Let the first process of a new PID namespace do something, then stay."""
        syscalls.unshare_pid_namespace()
        if os.fork() == 0:
            body()
            os._exit(0)

    def tell(self, errnos: list[int], by: int = 0, children_ns: int = 0) -> None:
        """Report what was done: by the calling process, unless another one is given."""
        by = by or int(Path("/proc/self").readlink().name)  # this /proc is the host's
        ns = children_ns or inum("/proc/self/ns/pid_for_children")
        os.write(self._report, json.dumps([by, ns, errnos]).encode() + b"\n")

    def refuse(self, make: Make = os.fork, children_ns: int = 0) -> None:
        """Fork until so many have failed, report it, and hold their cause."""
        self.tell(self.fail(make), children_ns=children_ns)
        self.hold()

    def hold(self) -> None:
        """Wait until the test lets go, then for all children."""
        os.close(self._report)  # its end of file tells the test that all is over
        os.read(self._lifeline, 1)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


@contextmanager
def playing(body: Callable[[Scene], None]) -> Iterator[Done]:
    """Let a child play a scene, which reports once; it is held until the end."""
    (lifeline, keeps), (told, report) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(keeps)
        _play(body, Scene(lifeline, report))
    os.close(lifeline)
    os.close(report)
    try:
        with os.fdopen(told) as lines:
            line = lines.readline()
        assert line, "the scene failed; it said why"
        yield Done(*json.loads(line))
    finally:
        os.close(keeps)
        _, status = os.waitpid(child, 0)
    assert status == 0


def _play(body: Callable[[Scene], None], scene: Scene) -> None:
    code = 1
    try:
        body(scene)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def inum(link: str) -> int:
    """The inode number of a namespace."""
    return os.stat(link).st_ino  # noqa: PTH116 (follows the link)


@contextmanager
def sysctl(name: str, value: int) -> Iterator[None]:
    """Change a sysctl, in the caller's namespaces, and change it back."""
    path = Path("/proc/sys") / name
    before = path.read_text()
    path.write_text(str(value))
    try:
        yield
    finally:
        path.write_text(before)


# Scenes


def in_cgroup(scene: Scene, cgroup: PidsCgroup) -> None:
    cgroup.enter()
    scene.refuse()


def by_one_that_goes(scene: Scene, prepare: Callable[[], None]) -> None:
    """The process that forked has been reaped when this is reported; its children stay."""
    syscalls.become_subreaper()
    prepare()
    pid = os.fork()
    if pid == 0:
        os._exit(max(scene.fail()))
    _, status = os.waitpid(pid, 0)
    scene.tell([os.WEXITSTATUS(status)] * FAILURES, by=pid)
    scene.hold()


def into_cgroup(scene: Scene, own: PidsCgroup, other: PidsCgroup) -> None:
    own.enter()
    directory = os.open(other.path, os.O_RDONLY)
    flags = syscalls.CLONE_INTO_CGROUP
    scene.refuse(lambda: syscalls.clone3(flags, cgroup=directory))


def in_dead_namespace(scene: Scene) -> None:
    syscalls.unshare_pid_namespace()
    lifeline, keeps = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(keeps)
        os.read(lifeline, 1)
        os._exit(0)
    ns = inum(f"/proc/{first}/ns/pid")
    os.close(keeps)
    os.waitpid(first, 0)
    scene.refuse(children_ns=ns)


def with_number(scene: Scene, number: int, uid: int = 0) -> None:
    os.setuid(uid)
    scene.refuse(lambda: syscalls.clone3(set_tid=[number]))


def unprivileged_namespace(scene: Scene) -> None:
    os.setuid(NOBODY)
    scene.refuse(new_namespace)


def new_namespace() -> int:
    return syscalls.clone3(syscalls.CLONE_NEWPID)


def after_unshare(scene: Scene) -> None:
    """The namespace of the children has no process yet."""
    syscalls.unshare_pid_namespace()
    scene.refuse(new_namespace, children_ns=UNTOLD)


def after_a_first_that_failed(scene: Scene) -> None:
    """A first fork that fails behind alloc_pid() leaves up to 7.0 a dead namespace."""
    syscalls.unshare_pid_namespace()
    scene.refuse(bad_pidfd, children_ns=UNTOLD)


def as_deep_as_can_be(scene: Scene, level: int = 0) -> None:
    if level < DEEPEST:
        scene.inside(lambda: as_deep_as_can_be(scene, level + 1))
        scene.hold()
    else:
        scene.refuse(new_namespace)


def without_namespaces(scene: Scene) -> None:
    with sysctl("user/max_pid_namespaces", 0):
        scene.refuse(new_namespace)


def without_numbers_inside(scene: Scene) -> None:
    scene.inside(lambda: without_numbers(scene))
    scene.hold()


def without_numbers(scene: Scene) -> None:
    """With the cursor beyond 300 no other number than 300 can be given out (kernel/pid.c)."""
    with sysctl("kernel/pid_max", 301):
        Path("/proc/sys/kernel/ns_last_pid").write_text("300")
        scene.refuse()


def of_five_at_most() -> None:
    resource.setrlimit(resource.RLIMIT_NPROC, (5, 5))
    os.setuid(NOBODY)


def too_many_of_a_user(scene: Scene) -> None:
    of_five_at_most()
    scene.refuse()


def too_many_threads(scene: Scene) -> None:
    with sysctl("kernel/threads-max", 20):
        scene.refuse()
