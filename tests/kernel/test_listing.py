"""The listing against /proc: the same tasks, byte for byte, while others are born and die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest

from pidscope.host.proc import ProcFs
from pidscope.host.reading import read_host
from pidscope.live.iterator import TaskIterator
from pidscope.live.listing import TaskListing
from pidscope.live.supply import Supply
from pidscope.query.process import Process, namespaces, processes
from pidscope.render.json import namespace_json, process_json
from pidscope.snapshot import ProcReading

ROUNDS = 5
# Everything whose reading differs from a plain process: each prints nothing and stays until it is
# killed: levels deeper than a row, a zombie, a leader that ended before a thread, and so on.
SCENE = r"""
import ctypes, os, signal, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def child(of):
    pid = os.fork()
    if not pid:
        of()
        signal.pause()
        os._exit(0)
    return pid

def descend(level):
    os.setsid()
    if level == 6:
        os.write(1, b"on\n")
        return
    if libc.unshare(0x20000000):
        os._exit(1)
    child(lambda: descend(level + 1))

def leaderless():
    threading.Thread(target=signal.pause, daemon=True).start()
    libc.syscall(60, 0)  # exit(2), of this thread alone

def beside():  # a process in the group of one in another namespace, at the same level
    os.setsid()
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    pids = []
    for _ in range(2):
        libc.setns(own, 0x20000000)
        libc.unshare(0x20000000)
        pids.append(child(lambda: None))
    for pid in pids:
        os.setpgid(pid, pids[0])

def named(name):
    libc.prctl(15, name)

child(lambda: named(b"a\\b\nc d"))
child(lambda: named(b"0123456789abcde"))
child(lambda: named(b"\xff\x1b[31m"))
child(lambda: os.setpgid(0, 0))
child(lambda: os._exit(3))
child(leaderless)
child(lambda: os.kill(os.getpid(), signal.SIGSTOP))
child(lambda: [threading.Thread(target=signal.pause, daemon=True).start() for _ in range(3)])
child(lambda: descend(0))
child(beside)
signal.pause()
"""
STORM = "while :; do /bin/true & /bin/true | /bin/true; done"


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()


@pytest.fixture(scope="module")
def listing() -> Iterator[TaskListing]:
    with contextlib.closing(TaskIterator(Supply().listing())) as iterator:
        yield TaskListing(iterator.read_bytes, ProcFs())


@pytest.fixture
def scene() -> Iterator[int]:
    with running(sys.executable, "-c", SCENE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        yield process.pid


def listed(reading: ProcReading) -> list[Process]:
    return processes(
        reading.snapshot,
        boot_time=reading.boot_time,
        ticks_per_second=reading.ticks_per_second,
        start_offset_ns=reading.start_offset_ns,
    )


def documents(reading: ProcReading) -> dict[tuple[str, int], str]:
    """What ps and ns print, by a thread's number or an inum."""
    cgroups = reading.snapshot.cgroups or {}
    tasks = {
        ("task", it.tid): [process_json(it), repr(cgroups.get(it.pid))] for it in listed(reading)
    }
    tree = {("ns", it.ns): namespace_json(it) for it in namespaces(reading.snapshot, {})}
    return {key: json.dumps(value) for key, value in {**tasks, **tree}.items()}


def steady(key: tuple[str, int], text: str) -> str:
    """What runs may sleep at the next look, and a worker's name tells what it works at."""
    if key[0] == "ns":
        return ""  # of others: it counts tasks that come and go
    value = json.loads(text)
    value[0].update(state="", comm=value[0]["comm"].split("-")[0].split("+")[0])
    return json.dumps(value)


def family(found: Iterable[Process], ancestor: int) -> set[tuple[str, int]]:
    """The keys of a process, its descendants, and the namespaces that they made."""
    parents = {it.pid: it.levels[0].ppid for it in found}
    pids: set[int | None] = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in pids} - pids:
        pids |= more
    mine = [it for it in found if it.pid in pids]
    made = {("ns", it.ns) for it in mine if it.ns is not None and len(it.levels) > 1}
    return {("task", it.tid) for it in mine} | made


@pytest.mark.parametrize("threads", [False, True], ids=["processes", "threads"])
def test_it_is_what_proc_shows_under_a_fork_storm(
    listing: TaskListing, scene: int, threads: bool
) -> None:
    """What /proc shows before and after, alike, the listing shows between; the scene in full."""
    procfs = ProcFs()
    with running("sh", "-c", STORM):
        for _ in range(ROUNDS):
            before = documents(read_host(procfs, threads, True, True))
            seen = read_host(procfs, threads, True, True, snapshot=listing.snapshot)
            after = documents(read_host(procfs, threads, True, True))
            shown, mine = documents(seen), family(listed(seen), scene)
            assert len(mine) > 20
            assert {key: shown[key] for key in mine} == {key: before[key] for key in mine}
            same = {key: text for key, text in before.items() if after.get(key) == text}
            lacking = {key: (text, shown.get(key)) for key, text in same.items()}
            differing = {
                key: (text, other)
                for key, (text, other) in lacking.items()
                if other is None or steady(key, text) != steady(key, other)
            }
            assert differing == {}


def test_the_scene_is_seen_whole(listing: TaskListing, scene: int) -> None:
    """So that the comparison is of something: each kind is there once."""
    found = processes(listing.snapshot(), boot_time=0, ticks_per_second=100)
    mine = [it for it in found if it.levels[0].sid == scene]
    assert {len(it.levels) for it in found} >= set(range(1, 8))
    assert [it.comm for it in mine if it.comm.startswith("a")] == ["a\\\\b\\x0ac d"]
    assert [it.comm for it in mine if it.comm.startswith("0")] == ["0123456789abcde"]
    states = [it.state for it in mine if it.is_leader]
    assert states.count("Z") == 2 and states.count("T") == 1
    assert sorted(str(it.ended) for it in mine if it.state == "Z") == ["False", "True"]


def test_every_listed_process_is_in_it(listing: TaskListing) -> None:
    """Also those that the walk leaves out, as 6.18 here does number 1: /proc is asked for them."""
    procfs = ProcFs()
    before, shown, after = procfs.numbers(), listing.snapshot(threads=False), procfs.numbers()
    assert {*before} & {*after} <= {task.number for task in shown.tasks}
