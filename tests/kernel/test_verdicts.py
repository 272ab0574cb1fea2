"""The verdicts that need a kernel to stand still, or to move, at the right moment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from pidscope.host.proc import ProcFs
from pidscope.snapshot import Status
from pidscope.verify.verdicts import BUGS, Verdict

from .conftest import Host

FLIPS = 2000


@contextmanager
def waiting() -> Iterator[int]:
    """A child that waits to be killed; its number."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        yield child
    finally:
        os.close(write)
        with suppress(ChildProcessError):  # the test may have waited for it
            os.waitpid(child, 0)


def test_a_number_kept_by_its_group_alone_is_held(host: Host) -> None:
    with waiting() as leader, waiting() as member:
        os.setpgid(leader, leader)
        os.setpgid(member, leader)
        os.kill(leader, 9)
        os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)
        assert host.session.check(leader).verdict is Verdict.AGREE  # a zombie is in /proc
        os.waitpid(leader, 0)
        assert host.session.check(leader).verdict is Verdict.HELD
        assert host.session.check(member).verdict is Verdict.AGREE
        os.setpgid(member, 0)
        assert host.session.check(leader).verdict is Verdict.GONE


def flip(groups: tuple[int, int]) -> None:
    """Move between two process groups, as fast as it goes."""
    for _ in range(FLIPS):
        for group in groups:
            os.setpgid(0, group)
    os._exit(0)


def test_groups_that_alternate_under_the_readers_eyes(host: Host) -> None:
    verdicts: Counter[Verdict] = Counter()
    with waiting() as one, waiting() as two:
        os.setpgid(one, one)
        os.setpgid(two, two)
        flipper = os.fork()
        if flipper == 0:
            flip((one, two))
        while os.waitid(os.P_PID, flipper, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            verdicts[host.session.check(flipper).verdict] += 1
        os.waitpid(flipper, 0)
    assert sum(verdicts.values()) > 0 and not BUGS & verdicts.keys()


def test_a_change_between_the_fence_and_the_read_is_moved(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with waiting() as one, waiting() as two:
        os.setpgid(one, one)
        read_status = ProcFs.judged_status

        def change_first(procfs: ProcFs, number: int) -> Status | None:
            os.setpgid(two, one if os.getpgid(two) != one else two)
            return read_status(procfs, number)

        monkeypatch.setattr(ProcFs, "judged_status", change_first)
        verdicts = {host.session.check(two).verdict for _ in range(20)}
    assert verdicts == {Verdict.MOVED}


def test_missing_when_the_table_forgets(host: Host) -> None:
    with waiting() as child:
        assert host.session.check(child).verdict is Verdict.AGREE
        pids = host.session.table.root.pids
        pid = pids.pop(child)
        assert host.session.check(child).verdict is Verdict.MISSING
        pids[child] = pid
        assert host.session.check(child).verdict is Verdict.AGREE
