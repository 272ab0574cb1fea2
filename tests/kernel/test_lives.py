"""The life stream on this kernel, by tracepoints: known workloads, exact counts.

By function hooks the same tests run in test_lives_functions.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pidscope.errors import PidscopeError
from pidscope.live.life_program import LifeProgram, has_atomic_fetch
from pidscope.live.program import Program
from pidscope.live.slots import LifeReader
from pidscope.wire.hooks import TRACEPOINT
from pidscope.wire.lives import LIVES, LifeKind

from .conftest import WORKLOAD, expected
from .lived import Key, Lived, Tree, check_whole, key, life_stream
from .test_workloads import WORKLOADS

FORMS = {"slots": None, "ring": False}  # slots, where this kernel has them
ENTERED = {"injected": 2, "dying-init": 1}  # what enters a namespace by setns and fork


@pytest.fixture(scope="module", params=["slots", pytest.param("ring", marks=pytest.mark.matrix)])
def lived(request: pytest.FixtureRequest) -> Iterator[Lived]:
    with life_stream("tracepoint", FORMS[request.param]) as stream:
        yield stream


@pytest.fixture(scope="session")
def ends(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("ends") / "ends"
    source = Path(__file__).with_name("ends.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-pthread", "-o", program, source], check=True)
    return os.fspath(program)


def workload(name: str) -> list[str]:
    """Its command line with this Python: a python3 on PATH may be a script that forks itself."""
    return [sys.executable, WORKLOAD, *name.split()]


def check_workload(lived: Lived, name: str) -> Tree:
    tree = lived.run(workload(name))
    assert tree.status == 0
    wanted = expected(*name.split())
    assert len(tree.births) - 1 == wanted["births"]
    check_whole(tree)
    assert len(tree.of(LifeKind.PROCESS)) - 1 == wanted["processes"]
    execed = tree.of(LifeKind.EXECED)
    assert len(execed) == wanted["exchange_tids"]
    assert len(tree.of(LifeKind.THREAD)) + len(execed) == wanted["threads"]
    levels = {key(born): len(born.numbers) for born in tree.births}
    for life in tree.of(LifeKind.PROCESS):  # parents that are not of the tree live on the host
        outside = levels.get((life.ppid, life.parent_start_ns), 1) < len(life.numbers)
        assert life.joined == (outside and life.numbers[-1] != 1)
    if name in ENTERED:
        assert sum(life.joined is True for life in tree.of(LifeKind.PROCESS)) == ENTERED[name]
    return tree


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_task_of_a_workload_has_one_life(lived: Lived, name: str) -> None:
    check_workload(lived, name)


WAYS_TO_END = ("alone", "group", "killed", "leader", "exec")
PROCESSES, THREADS = 97, 3


def check_ends(lived: Lived, ends: str, how: str) -> None:
    """Each process has one end, with the status that wait() gave to its parent."""
    tree = lived.run([ends, how, str(PROCESSES), str(THREADS)])
    waited = {int(pid): int(status) for pid, status in map(str.split, tree.output.splitlines())}
    assert len(waited) == PROCESSES and len(tree.births) == 1 + PROCESSES * (1 + THREADS)
    check_whole(tree)
    told = {pid: life.status for pid, life in tree.process.items() if pid != tree.pid}
    if "alone" in how and None in told.values():  # no kernel since 6.1 says so
        assert has_no_group_exit()
        told = {pid: waited[pid] if status is None else status for pid, status in told.items()}
    assert told == waited
    if how == "exec":
        # exchange_tids() comes before the new name, sched_process_exec behind it.
        name = b"true" if lived.program.way == TRACEPOINT else b"ends"
        assert {life.comm for life in tree.of(LifeKind.EXECED)} == {name}
        assert {tree.process[pid].comm for pid in waited} == {b"true"}
        assert len(tree.of(LifeKind.EXECED)) == PROCESSES
    if how == "leader":
        assert all(tree.process[pid].by_thread for pid in waited)


def has_no_group_exit() -> bool:
    return not has_atomic_fetch()  # 5.10: neither is there


@pytest.mark.parametrize("how", WAYS_TO_END)
def test_a_process_with_threads_ends_once_with_its_status(
    lived: Lived, ends: str, how: str
) -> None:
    check_ends(lived, ends, how)


def test_the_number_of_a_thread_that_called_exec(lived: Lived) -> None:
    """By tracepoints only the first is known, the others are not: they are another's by then."""
    tree = lived.run(workload("exec-thread"))
    born = {each.numbers[0]: each for each in tree.births}
    for life in tree.of(LifeKind.EXECED):
        of_birth = born[life.numbers[0] or 0]
        assert life.numbers[1:] == (None,) * (len(of_birth.numbers) - 1)
        assert life.inums[-1] == of_birth.ns and life.start_ns is None
        assert life.tgid == of_birth.tgid


def check_dying_init(lived: Lived) -> None:
    """A namespace's init ends before the processes that it then waits for (zap_pid_ns_processes).

    Killed while an outside parent has not reaped a member, it exits, and stays.
    """
    tree = lived.run(workload("dying-init"))
    inits = [life for life in tree.of(LifeKind.PROCESS) if len(life.numbers) == 2]
    (init,) = [life for life in inits if life.numbers[1] == 1]
    members = [life for life in inits if life.inums == init.inums and life is not init]
    assert members and all(life.end_ns > init.end_ns for life in members)
    assert {life.status for life in members} == {9} == {init.status}


def test_an_init_ends_before_the_members_of_its_namespace(lived: Lived) -> None:
    check_dying_init(lived)


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def check_facts(lived: Lived) -> None:
    """What else a life holds, of a child that changes all of it."""
    code = (
        "import ctypes, os\n"
        "r, w = os.pipe()\n"
        "if not os.fork():\n"
        "    os.setsid(); os.setgid(0); os.setresuid(12345, 54321, 54321); os.read(r, 1)\n"
        "    ctypes.CDLL(None).prctl(15, b'another'); os._exit(77)\n"  # PR_SET_NAME
        "os.write(w, b'.'); os.wait()\n"
    )
    tree = lived.run(python(code))
    (child,) = [life for life in tree.lives if life.tgid != tree.pid]
    parent = tree.process[tree.pid]
    assert (child.uid, child.status, child.comm) == (12345, 77 << 8, b"another")
    assert (child.pgid, child.sid) == (child.tgid, child.tgid)
    assert (child.ppid, child.parent_start_ns) == (parent.tgid, parent.start_ns)
    assert (parent.pgid, parent.sid) == (os.getpgid(0), os.getsid(0))
    assert parent.ppid == os.getpid() and parent.uid == os.getuid()


def test_what_else_a_life_holds(lived: Lived) -> None:
    check_facts(lived)


def test_an_orphan_has_another_parent_at_its_end_than_at_its_birth(lived: Lived) -> None:
    """A subreaper's grandchild: its birth has the child, its life the subreaper."""
    code = (
        "import ctypes, os\n"
        "ctypes.CDLL(None).prctl(36, 1)\n"  # PR_SET_CHILD_SUBREAPER
        "r, w = os.pipe()\n"
        "if not os.fork():\n"
        "    if not os.fork():\n"
        "        os.read(r, 1); os._exit(0)\n"
        "    os._exit(0)\n"
        "os.wait(); os.write(w, b'.'); os.wait()\n"
    )
    tree = lived.run(python(code))
    _, child, grandchild = tree.births
    assert (grandchild.ppid, grandchild.parent_start_ns) == (child.tgid, child.start_ns)
    assert tree.process[grandchild.tgid].ppid == tree.pid
    assert tree.process[child.tgid].ppid == tree.pid


def test_who_is_alive_and_who_has_ended_are_all_there_were(lived: Lived) -> None:
    """First iterate, then drain: each task that was born before is in one of them.

    Of the whole host, while two processes fork. A thread that called exec has given up its number.
    """
    born: set[Key] = set()
    ended: set[Key] = set()
    execed: set[int | None] = set()

    def take() -> None:
        births, lives = lived.take()
        born.update(key(each) for each in births)
        ended.update(key(each) for each in lives if each.is_exit)
        execed.update(each.numbers[0] for each in lives if each.kind is LifeKind.EXECED)

    command, running = workload("short 397 --jobs 2"), True
    with (
        closing(Program(TRACEPOINT, steps=False)) as other,
        subprocess.Popen(command, stdout=subprocess.DEVNULL) as process,
    ):
        while running:
            running = process.poll() is None
            take()
            before = set(born)
            alive = {(each.tid, each.birth.start_ns) for each in other.tasks() or ()}
            take()
            missing = before - alive - ended
            assert {number for number, _ in missing} <= execed
    assert len(born) > 397


def test_threads_can_be_left_out(ends: str) -> None:
    program = LifeProgram("tracepoint", births=True, threads=False)
    with closing(program), closing(LifeReader(program)) as reader:
        tree = Lived(program, reader).run([ends, "leader", "7", "3"])
    assert len(tree.births) == 8
    assert [life.kind for life in tree.lives] == [LifeKind.PROCESS] * 8


def test_births_can_be_left_out(ends: str) -> None:
    program = LifeProgram("tracepoint")
    with closing(program), closing(LifeReader(program)) as reader:
        subprocess.run([ends, "group", "7", "3"], check=True, capture_output=True)
        assert {of.name for of, _ in reader.take()} <= {"lives", "lives_deep"}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_lapped_reader_has_lost_is_exact(form: str) -> None:
    """Read again only after 400 lives: 256 are there, and all others are counted."""
    program = LifeProgram("tracepoint", slots=FORMS[form], lives=256)
    with closing(program), closing(LifeReader(program)) as reader:
        (rows,) = [each for each in reader.rows if each.of is LIVES]
        subprocess.run(workload("short 400"), check=True, capture_output=True)
        taken = sum(map(len, rows.take())) // LIVES.size
        assert taken == (256 if program.slots else 255)  # a ring is never quite full
        lost = rows.lost
        assert lost >= 401 - 256  # the host may have had others
        assert rows.take() == [] or rows.lost == lost  # and it goes on from there


def test_slots_are_refused_where_the_kernel_cannot() -> None:
    if has_atomic_fetch():
        LifeProgram("tracepoint", slots=True).close()
        return
    with pytest.raises(PidscopeError):
        LifeProgram("tracepoint", slots=True).close()
