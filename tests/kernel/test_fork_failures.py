"""The cause of each failed fork, as `watch --failed` prints it, against causes made on purpose."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from pidscope_dev.workload import syscalls
from pidscope_dev.workload.cgroup import PidsCgroup, pids_cgroup

from . import refusals
from .conftest import VALIDATOR, pidscope
from .refusals import FAILURES, Done, inum, playing

HOST_NS = inum("/proc/self/ns/pid")
Object = dict[str, Any]


class Watch:
    """One watch of all that fails on this host."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines = process.stdout

    @contextmanager
    def late(self) -> Iterator[None]:
        """Let it read nothing meanwhile."""
        with stopped(self._process):
            yield

    def failures(self) -> list[Object]:
        """All that was reported until now, up to a failed fork of this test."""
        with pytest.raises(OSError):
            syscalls.clone3(set_tid=[os.getpid()])
        found: list[Object] = []
        while not found or (found[-1]["type"], found[-1]["by"]) != ("ForkFailed", os.getpid()):
            found.append(json.loads(self._lines.readline()))
        return found

    def failed(self, done: Done, refused: Collection[int] = ()) -> list[Object]:
        """The failures of a scene, which are as many as there were.

        Args:
            refused: the errnos of ``alloc_pid()``, which reports them itself.
        """
        told = [event for event in self.failures() if event["by"] == done.by]
        for event in {(it["type"], it["errno"]): it for it in told}.values():
            VALIDATOR.validate(event)  # which takes a while: one of each kind
        failed = [event for event in told if event["type"] == "ForkFailed"]
        assert [event["errno"] for event in failed] == done.errnos
        before = [event["errno"] for event in told if event["type"] == "PidRefused"]
        assert before == [error for error in done.errnos if error in refused]
        (ns,) = {event["children_ns"] for event in failed}
        assert done.children_ns in (ns, refusals.UNTOLD)
        return failed

    def reason(self, done: Done, refused: bool = False) -> Object:
        """The one reason of all failures of a scene.

        Args:
            refused: by ``alloc_pid()``.
        """
        failed = self.failed(done, done.errnos if refused else ())
        reasons = {json.dumps(event["reason"]) for event in failed}
        assert len(reasons) == 1, reasons
        return json.loads(reasons.pop())


@contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        pidscope("watch", "--failed", *arguments), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline()  # its head: it has begun
        yield process
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    with watching("-J") as process:
        yield Watch(process)


@pytest.fixture(scope="module")
def text() -> Iterator[subprocess.Popen[str]]:
    """A watch as people read it, which knows each step of a fork."""
    with watching("-v") as process:
        yield process


@pytest.fixture
def outer() -> Iterator[PidsCgroup]:
    with pids_cgroup("pidscope-refusals") as cgroup:
        (cgroup.path / "cgroup.subtree_control").write_text("+pids")
        yield cgroup


@contextmanager
def below(outer: PidsCgroup, name: str) -> Iterator[PidsCgroup]:
    cgroup = PidsCgroup(outer.path / name)
    cgroup.path.mkdir()
    yield cgroup
    cgroup.path.rmdir()


@pytest.fixture
def inner(outer: PidsCgroup) -> Iterator[PidsCgroup]:
    with below(outer, "inner") as cgroup:
        yield cgroup


@pytest.fixture
def other(outer: PidsCgroup) -> Iterator[PidsCgroup]:
    with below(outer, "other") as cgroup:
        yield cgroup


def all_of(error: int) -> list[int]:
    return [error] * FAILURES


def reason(known: str, *causes: str, text: str, **more: object) -> Object:
    return {"known": known, "causes": list(causes), "cgroup": None, "limit": None, **more,
            "text": text}  # fmt: skip


def refused_by(tight: PidsCgroup, of: PidsCgroup) -> int:
    """How many forks of one cgroup were refused by the limit of the other, as the kernel counts."""
    local = tight.path / "pids.events.local"
    events = local if local.exists() else of.path / "pids.events"
    (number,) = [it.split()[1] for it in events.read_text().splitlines() if it.startswith("max ")]
    return int(number)


def test_pids_max_of_the_cgroup_above(watch: Watch, outer: PidsCgroup, inner: PidsCgroup) -> None:
    outer.set_max(5)
    inner.set_max(100)
    assert refused_by(outer, inner) == 0
    with playing(lambda scene: refusals.in_cgroup(scene, inner)) as done:
        assert done.errnos == all_of(errno.EAGAIN)
        assert watch.reason(done) == full(outer)
        assert refused_by(outer, inner) == FAILURES


def full(outer: PidsCgroup) -> Object:
    path = "/" + outer.path.name
    text = f"pids.max 5 of {path}, which has 5 tasks"
    return reason("likely", "pids.max", text=text, cgroup=path, limit=5)


def once_full(outer: PidsCgroup, inner: PidsCgroup) -> Object:
    """What can be concluded from the kernel's counters."""
    path = "/" + outer.path.name
    if (outer.path / "pids.events.local").exists():
        text = f"pids.max of {path}, which has refused {FAILURES} forks so far"
        return reason("likely", "pids.max", text=text, cgroup=path, limit=5)
    text = f"pids.max of {path}/inner or of one above it: {FAILURES} forks refused so far"
    return reason("likely", "pids.max", text=text)


def test_pids_max_where_who_forked_has_gone(
    watch: Watch, outer: PidsCgroup, inner: PidsCgroup
) -> None:
    outer.set_max(5)
    with ExitStack() as held:
        with watch.late():
            done = held.enter_context(
                playing(lambda scene: refusals.by_one_that_goes(scene, inner.enter))
            )
            assert done.errnos == all_of(errno.EAGAIN)
        assert watch.reason(done) == once_full(outer, inner)


def test_a_limit_that_is_no_longer_reached(watch: Watch) -> None:
    with ExitStack() as held:
        with watch.late():
            done = held.enter_context(
                playing(lambda scene: refusals.by_one_that_goes(scene, refusals.of_five_at_most))
            )
        causes = ("RLIMIT_NPROC", "threads-max", "pids.max")
        text = "RLIMIT_NPROC of its user, threads-max, or pids.max: none is seen to be reached now"
        assert watch.reason(done) == reason("not known", *causes, text=text)


def test_pids_max_of_another_cgroup_than_its_own(
    watch: Watch, inner: PidsCgroup, other: PidsCgroup
) -> None:
    """Its own is full, too, and has nothing to do with it."""
    inner.set_max(1)
    other.set_max(0)
    with playing(lambda scene: refusals.into_cgroup(scene, inner, other)) as done:
        assert done.errnos == all_of(errno.EAGAIN)
        causes = ("pids.max", "RLIMIT_NPROC", "threads-max")
        text = "pids.max of a cgroup, which could not be read, RLIMIT_NPROC or threads-max"
        assert watch.reason(done) == reason("not known", *causes, text=text)


@pytest.mark.parametrize(
    ("scene", "error", "refused", "known", "cause", "text", "limit"),
    [
        (
            *(refusals.in_dead_namespace, errno.ENOMEM, True, "likely", "number 1"),
            *("a dead namespace: no number 1 lives in pid:[{ns}]", None),
        ),
        (
            *(partial(refusals.with_number, number=1), errno.EEXIST, True, "certain", "set_tid"),
            *("set_tid: the number asked for is taken", None),
        ),
        (
            partial(refusals.with_number, number=31_000, uid=refusals.NOBODY),
            *(errno.EPERM, True, "likely", "set_tid"),
            *("set_tid: the right to choose a number is missing", None),
        ),
        (
            *(refusals.unprivileged_namespace, errno.EPERM, False, "likely", "privilege"),
            *("a right that is missing, as CAP_SYS_ADMIN", None),
        ),
        (
            *(refusals.as_deep_as_can_be, errno.ENOSPC, False, "certain", "MAX_PID_NS_LEVEL"),
            *("depth: pid:[{ns}] is at level 32, the last there is", None),
        ),
        (
            *(refusals.without_namespaces, errno.ENOSPC, False, "likely", "max_pid_namespaces"),
            *("max_pid_namespaces of its user", None),
        ),
        (
            *(refusals.without_numbers, errno.EAGAIN, True, "certain", "pid_max"),
            *(f"pid_max: no number is free in pid:[{HOST_NS}]", None),
        ),
        (
            *(refusals.too_many_of_a_user, errno.EAGAIN, False, "likely", "RLIMIT_NPROC"),
            *(f"RLIMIT_NPROC 5 of user {refusals.NOBODY}, which has 5 tasks", 5),
        ),
    ],
    ids=[
        "a dead namespace",
        "a number that is taken",
        "a number without the right to choose",
        "a namespace without the right to make one",
        "a namespace below the deepest",
        "no more namespaces",
        "no number is free on the host",
        "RLIMIT_NPROC",
    ],
)
def test_the_one_cause_is_named(
    watch: Watch,
    scene: Callable[[refusals.Scene], None],
    error: int,
    refused: bool,
    known: str,
    cause: str,
    text: str,
    limit: int | None,
) -> None:
    with playing(scene) as done:
        assert done.errnos == all_of(error)
        expected = reason(known, cause, text=text.format(ns=done.children_ns), limit=limit)
        assert watch.reason(done, refused=refused) == expected


def test_a_namespace_whose_first_fork_failed(watch: Watch) -> None:
    """Up to 7.0 it is dead from then on."""
    with playing(refusals.after_a_first_that_failed) as done:
        usable = done.errnos[-1] == errno.EFAULT
        dead = errno.EFAULT if usable else errno.ENOMEM
        assert done.errnos == [errno.EFAULT, *all_of(dead)[1:]]
        told = watch.failed(done, {errno.ENOMEM})
        first = reason("likely", "arguments", text="a pointer among the call's arguments")
        text = f"a dead namespace: no number 1 lives in pid:[{told[0]['children_ns']}]"
        then = first if usable else reason("likely", "number 1", text=text)
        assert [it["reason"] for it in told] == [first, *[then] * (FAILURES - 1)]


def test_a_namespace_after_unshare(watch: Watch) -> None:
    with playing(refusals.after_unshare) as done:
        assert done.errnos == all_of(errno.EINVAL)
        said = watch.reason(done)
        assert (said["known"], said["causes"]) == ("likely", ["pid_ns_for_children"])


def test_no_number_is_free_in_a_namespace(watch: Watch) -> None:
    with playing(refusals.without_numbers_inside) as done:
        assert done.errnos == all_of(errno.EAGAIN) and done.children_ns != HOST_NS
        text = f"pid_max: no number is free in pid:[{done.children_ns}] or in one around it"
        assert watch.reason(done, refused=True) == reason("certain", "pid_max", text=text)


def test_threads_max(watch: Watch) -> None:
    with playing(refusals.too_many_threads) as done:
        assert done.errnos == all_of(errno.EAGAIN)
        told = [event["reason"] for event in watch.failed(done)]
        assert all(it["text"].startswith("threads-max 20 of this host, which has ") for it in told)
        assert {(it["known"], *it["causes"], it["limit"]) for it in told} == {
            ("likely", "threads-max", 20)
        }


def told(text: subprocess.Popen[str], done: Done) -> str:
    """The words below the first failure of the last scene; the others have none."""
    failures, words = 0, ""
    while failures < FAILURES:
        line = text.stdout.readline()
        assert line
        if line.split()[1:3] == ["fork-fail", str(done.by)]:
            failures += 1
        elif failures:
            assert failures == 1 and line.startswith(" ")
            words += " " + line.strip()
    return words.strip()


def test_as_text(text: subprocess.Popen[str], inner: PidsCgroup) -> None:
    inner.set_max(5)
    path = f"/{inner.path.parent.name}/inner"
    with playing(lambda scene: refusals.in_cgroup(scene, inner)) as done:
        assert told(text, done) == f"likely pids.max 5 of {path}, which has 5 tasks"


def test_before_alloc_pid_no_pids_max_can_be_it(
    text: subprocess.Popen[str], inner: PidsCgroup
) -> None:
    """The process that forked has gone, and its RLIMIT_NPROC with it: the stage tells the cause."""

    def prepare() -> None:
        inner.enter()  # the same reason is printed once in each
        refusals.of_five_at_most()

    with ExitStack() as held:
        with stopped(text):
            done = held.enter_context(
                playing(lambda scene: refusals.by_one_that_goes(scene, prepare))
            )
        assert told(text, done) == "likely RLIMIT_NPROC of its user, or threads-max"


def test_behind_alloc_pid_nothing_but_pids_max_can_be_it(
    text: subprocess.Popen[str], inner: PidsCgroup, other: PidsCgroup
) -> None:
    inner.set_max(1)
    other.set_max(0)
    with playing(lambda scene: refusals.into_cgroup(scene, inner, other)) as done:
        said = "likely pids.max of its cgroup or one above it, which could not be read"
        assert told(text, done) == said
