"""The model's task iterator: what it shows at rest, how it tears, and the starts that use it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pidscope.model.kernel import Kernel
from pidscope.session.session import Session
from pidscope.simulated import world as world_module
from pidscope.simulated.random_workload import random_play
from pidscope.simulated.world import SimulatedWorld
from pidscope.verify.verdicts import Tally
from tests.unit.compare import of_model, of_table, start_ticks
from tests.unit.played import scenario_world


def random_world(seed: int, steps: int) -> SimulatedWorld:
    kernel = Kernel()
    world = SimulatedWorld(kernel, random_play(kernel, seed).step, seed)
    for _ in range(steps):
        world.step()
    return world


def _partial(session: Session, world: SimulatedWorld) -> list[int]:
    """The struct pids of which the walk does not show all numbers.

    Only a group's or session's, of a namespace in which no task lives: no row has its parent.
    """
    assert session.table is not None
    partial = [nr for nr, pid in session.table.root.pids.items() if pid.partial]
    for nr in partial:
        inner = world.kernel.init_pid_ns.allocator.pids[nr].numbers[-1].ns
        living = (task.thread_pid for task in world.kernel.tasks())
        assert all(pid is None or inner not in [it.ns for it in pid.numbers] for pid in living)
    return partial


def test_a_group_of_a_namespace_without_tasks_is_partial() -> None:
    """It says so; found by the property below, with this seed."""
    world = random_world(493, 300)
    session = Session(world)
    session.begin()
    assert session.table is not None
    assert _partial(session, world) == [13]
    assert session.table.root.pids[13].numbers == (13,)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 40), st.booleans())
def test_a_start_in_either_way_is_the_model(seed: int, iterates: bool) -> None:
    """Others go on while it reads; what the table is where its window ends, the model is."""
    world = random_world(seed, 300)
    if not iterates:
        world.tasks = lambda: None  # type: ignore[method-assign, assignment, return-value]
    session = Session(world)
    world.busy = True
    session.begin()
    world.busy = False
    session.pump()
    assert session.table is not None and not session.suspect
    if iterates and not _partial(session, world):
        assert of_table(session.table) == of_model(world.kernel)
    ticks = {
        task.pid.nr: session.table.start_ticks(task) for task in session.table.tasks() if task.pid
    }
    assert ticks == start_ticks(world.kernel)
    tally = Tally()
    session.check_all(tally)
    assert not tally.disagreed
    assert tally.complete or _partial(session, world)


def test_at_rest_it_shows_every_task_whole() -> None:
    world = random_world(5, 500)
    rows = {row.tid: row for row in world.tasks()}
    assert rows.keys() == {task.pid for task in world.kernel.tasks()}
    for task in world.kernel.tasks():
        row = rows[task.pid]
        assert task.thread_pid is not None
        assert row.pid == task.thread_pid.pid_numbers
        pgid, sid = (pid.pid_numbers for pid in task.signal.pids[2:] if pid is not None)
        assert row.birth == row.birth._replace(
            tgid=task.tgid,
            ppid=task.real_parent.tgid,
            start_ns=task.start_boottime,
            comm=task.comm,
            pgid=pgid,
            sid=sid,
        )


EXECS = "a: clone THREAD -> b\nb: exec sh\nb: clone THREAD -> a\na: exec sh\n" * 200


def test_its_rows_are_torn_as_a_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task's number with another's struct pid, and a task that is gone when all is read."""
    monkeypatch.setattr(world_module, "_STEP_RATE", 1 / 4)
    world = scenario_world("init: fork -> a\n" + EXECS)
    world.busy = True
    torn = released = 0
    while not world.ended:
        rows = world.tasks()
        alive = {task.pid for task in world.kernel.tasks()}
        torn += sum(row.tid != row.pid.nr for row in rows)
        released += len({row.tid for row in rows} - alive)
    assert torn and released
