"""The quick way: whatever the bytes are, it comes out as event by event, or leaves it to that."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import pytest
from hypothesis import example, given, settings, strategies

from pidscope.errors import WireError
from pidscope.events import Event, PidAttached, PidDetached, PidNumbers, PidType
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.syscalls import call
from pidscope.session.session import Session
from pidscope.session.tracepoint import TracepointSession
from pidscope.simulated.random_workload import random_play
from pidscope.simulated.ring import SimulatedRing
from pidscope.simulated.world import SimulatedWorld
from pidscope.table.pid import Pid
from pidscope.table.table import Table
from pidscope.table.tracepoint import TracepointTable
from pidscope.verify.verdicts import Window
from pidscope.wire.decode import decode
from pidscope.wire.encode import encode
from pidscope.wire.layout import LAYOUTS, RecordType
from tests.unit.acting import boot, container, fork
from tests.unit.compare import of_table
from tests.unit.tracing import TracedWorld

BEFORE = 40  # steps until the start
STEPS = 160
SEEDS = strategies.integers(0, 1 << 40)
INIT = PidNumbers((1,), 1)

HOOKS, TRACES = WORLDS = (SimulatedWorld, TracedWorld)
Change = Callable[[list[bytes]], list[bytes]]
in_each_world = pytest.mark.parametrize("of", WORLDS)


def begun(world: SimulatedWorld, tells_all: bool) -> tuple[Session, Table]:
    """A session, and the table that it has at its start."""
    session = TracepointSession(world) if isinstance(world, TracedWorld) else Session(world)
    session.tells_all = tells_all
    session.begin()
    assert session.table is not None
    return session, session.table


def records_of(world: SimulatedWorld) -> list[bytes]:
    return list(world.ring.drain(world.ring.position))


def refill(world: SimulatedWorld, records: Sequence[bytes]) -> None:
    world.ring = SimulatedRing(1 << 24)
    for record in records:
        assert world.ring.write(record)


def outcome(session: Session, window: Window | None = None) -> dict[str, Any]:
    """All that a session knows after it has read everything."""
    try:
        session.pump(session.stream.position, window)
        error = ""
    except WireError as broken:
        error = str(broken)
    table, stream = session.table, session.stream
    return {
        "error": error,
        "table": of_table(table),
        "generations": sorted((nr, pid.generation) for nr, pid in table.root.pids.items()),
        "starts": [(task.start_ns, task.group.exits) for task in table.tasks()],
        "parents": [
            (group.parent and group.parent.tgid and group.parent.tgid.nr, group.parent_exits)
            for group in (task.group for task in table.tasks())
        ],
        "counts": (stream.events, stream.births, stream.lost, dict(stream.accounted)),
        "doubts": (session.suspect, session.broken, session.breaks),
        "faults": [str(fault) for fault in session.faults.latest({})],
        "seen": isinstance(table, TracepointTable) and (table.exited, table.unsure, table.ended),
        "touched": getattr(session, "_touched", None),
        "versions": window and (versions_told(window), window.absent, window.exchanged),
    }


def versions_told(window: Window) -> list[list[tuple[Any, ...]]]:
    return [[tuple(map(repr, v)) for v in history] for history in window.histories.values()]


def played(
    of: type[SimulatedWorld], seed: int, tells_all: bool, change: Change, watched: int
) -> dict[str, Any]:
    """The outcome of a random workload for a session that begins in its middle."""
    kernel = Kernel()
    world = of(kernel, random_play(kernel, seed).step, seed, 1 << 24)
    for _ in range(BEFORE):
        world.step()
    session, table = begun(world, tells_all)
    for _ in range(STEPS):
        world.step()
    refill(world, change(records_of(world)))
    numbers = sorted(table.root.pids)
    window = Window(table, numbers[watched % len(numbers)]) if watched else None
    return outcome(session, window)


def both(
    of: type[SimulatedWorld], seed: int, change: Change = list, watched: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The outcome of the same records by the quick way and by the long one."""
    quick, slow = (played(of, seed, tells_all, change, watched) for tells_all in (False, True))
    return quick, slow


@settings(max_examples=60, deadline=None)
@given(
    strategies.sampled_from(WORLDS),
    SEEDS,
    strategies.integers(0, 1 << 20),
)
def test_a_stream_comes_out_the_same_both_ways(
    of: type[SimulatedWorld], seed: int, watched: int
) -> None:
    quick, slow = both(of, seed, watched=watched)
    assert quick == slow
    assert not quick["error"] and not quick["doubts"][0] and not quick["faults"]


@settings(max_examples=200, deadline=None)
@given(strategies.sampled_from(WORLDS), strategies.integers(0, 30), SEEDS)
@example(TRACES, 29, 29)  # a birth in a namespace around which none of its parent's inum can be
def test_records_that_were_tampered_with_come_out_the_same(
    of: type[SimulatedWorld], seed: int, tampering: int
) -> None:
    quick, slow = both(of, seed, lambda records: tampered(records, random.Random(tampering)))
    assert quick == slow


def tampered(records: list[bytes], rng: random.Random) -> list[bytes]:
    """One to three of them dropped, told twice, swapped, or with other bytes inside."""
    records = list(records)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(records) - 1)
        act = rng.randrange(5)
        if act == 0:
            del records[place]
        elif act == 1:
            records.insert(rng.randrange(len(records)), records[place])
        elif act == 2:
            records[place], records[place + 1] = records[place + 1], records[place]
        else:
            record = bytearray(records[place])
            other = records[rng.randrange(len(records))]
            at = rng.randrange(min(len(record), len(other)))
            record[at] = other[at] if act == 3 else rng.choice((0, 1, 2, 4, 6, 33, 255))
            records[place] = bytes(record)
    return records


def test_a_stretch_that_ends_inside_a_record_ends_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pidscope.session.stream._STRETCH", 1_000)  # 15 and a half of the smallest
    quick, slow = both(HOOKS, seed=1)
    assert quick == slow and not quick["error"]


# Each field of each record with other values


class Stage:
    """A container's shell and a session that has begun, and what one more life makes of it."""

    def __init__(self, tells_all: bool, of: type[SimulatedWorld] = HOOKS) -> None:
        self.shell = container(boot())
        self.world = of(self.shell.kernel, lambda: False, 0, 1 << 24)
        self.session, self.table = begun(self.world, tells_all)

    def live(self) -> None:
        process = fork(self.shell)
        fork(process, CLONE_THREAD)
        call(process, "execve", b"other")
        call(process, "exit_group", 0)
        call(self.shell, "wait4")
        if isinstance(self.world, TracedWorld):
            self.world.quiet()


@pytest.fixture(params=[False, True], ids=["quick", "slow"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(request.param)


def life(of: type[SimulatedWorld]) -> list[bytes]:
    stage = Stage(True, of)
    stage.live()
    return records_of(stage.world)


def fields(record: bytes) -> Iterator[tuple[int, str]]:
    """Where each value of a record lies, and its format."""
    at = 0
    for _, code in LAYOUTS[RecordType(record[0])].fields:
        kind, size = code[-1], struct.calcsize("=" + code[-1])
        if kind not in "sx":
            yield from ((at + nth * size, kind) for nth in range(int(code[:-1] or 1)))
        at += struct.calcsize("=" + code)


def with_others(records: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each record with one value replaced by one that means something elsewhere."""
    values = {0, 1, 2, 3, 4, 6, 33, 0x7FFFFFFF}
    values |= {v for r in records[:8] for at, k in fields(r) for v in struct.unpack_from(k, r, at)}
    for place, record in enumerate(records):
        for at, kind in fields(record):
            for value in sorted(values):
                if value < 1 << 8 * struct.calcsize(kind):
                    changed = bytearray(record)
                    struct.pack_into("=" + kind, changed, at, value)
                    yield place, bytes(changed)


def expect_the_same(
    of: type[SimulatedWorld], records: list[bytes], place: int, record: bytes
) -> None:
    """Of a life with another record at one place both ways make the same."""
    outcomes = []
    for tells_all in (False, True):
        stage = Stage(tells_all, of)
        refill(stage.world, [*records[:place], record, *records[place + 1 :]])
        outcomes.append(outcome(stage.session))
    assert outcomes[0] == outcomes[1], (place, record)


@in_each_world
def test_each_value_of_each_record_comes_out_the_same(of: type[SimulatedWorld]) -> None:
    records = life(of)
    kinds = {record[0]: place for place, record in enumerate(records)}  # the last of each type
    births = [place for place, record in enumerate(records) if record[0] == RecordType.BIRTH]
    places = {*kinds.values(), *births}
    for place, record in with_others(records):
        if place in places:
            expect_the_same(of, records, place, record)


@pytest.mark.parametrize("size", [0, 8, 48, 55, 64, 112, 120, 184])
@in_each_world
def test_a_record_of_another_size_comes_out_the_same(of: type[SimulatedWorld], size: int) -> None:
    records = life(of)
    for place, record in enumerate(records):
        expect_the_same(of, records, place, record[:size].ljust(size, b"\0"))


# What only a history shows


def test_who_is_born_under_a_watched_number_is_a_version(stage: Stage) -> None:
    number = fork(stage.shell).pid + 1  # of who comes next
    stage.session.pump()
    window = Window(stage.table, number)
    child = fork(stage.shell)
    stage.session.pump(window=window)
    assert child.pid == number and window.absent
    pids = stage.table.root.pids
    links = (pids[number], pids[number], *group_and_session(stage))
    assert versions_told(window) == [[tuple(map(repr, links))]]


def group_and_session(stage: Stage) -> tuple[Pid | None, Pid | None]:
    group = stage.table.root.pids[stage.shell.pid].process
    assert group is not None
    return group.pgid, group.sid


def test_a_group_with_the_numbers_of_an_earlier_one_is_another(stage: Stage) -> None:
    found = []
    for _ in range(2):
        leader = fork(stage.shell, set_tid=(30, 40))
        call(leader, "setsid")
        member = fork(leader)
        stage.session.pump()
        found.append(stage.table.root.pids[40])
        assert len(found[-1].groups) == len(found[-1].sessions) == 2
        for process in (member, leader):
            call(process, "exit_group", 0)
        for _ in range(2):
            call(stage.shell, "wait4")
    assert found[0] is not found[1]


def test_a_partial_group_is_completed_by_a_birth(stage: Stage) -> None:
    init = stage.shell.kernel.init
    leader = fork(init)
    call(leader, "setsid")
    member = fork(leader)
    call(leader, "exit_group", 0)
    call(init, "wait4")
    stage.world.tasks = lambda: None  # type: ignore[method-assign,return-value,assignment]
    session, table = begun(stage.world, stage.session.tells_all)
    (held,) = [pid for pid in table.held() if pid.partial]
    fork(member)
    session.pump()
    assert not held.partial and len(held.groups) == 2


@pytest.mark.parametrize(
    "event",
    [PidDetached(1, 2, 3, 3, 0), PidAttached(1, 2, 3, PidType.PGID, INIT)],
    ids=lambda event: type(event).__name__,
)
def test_what_no_tracepoint_tells_of_is_an_error(event: Event) -> None:
    stage = Stage(False, TRACES)
    assert stage.world.ring.write(encode(event))
    with pytest.raises(WireError, match="no tracepoint reports"):
        stage.session.pump()


@in_each_world
def test_a_fork_storm_goes_the_quick_way(of: type[SimulatedWorld]) -> None:
    """And all of it is counted, to the last hit."""
    stage = Stage(False, of)
    session, world = stage.session, stage.world
    before = session.stream.events
    for _ in range(100):
        stage.live()
    unread = records_of(world)
    refill(world, unread)
    decoded: list[bytes] = []
    drain = world.ring.drain
    world.ring.drain = lambda until: (  # type: ignore[method-assign]
        decoded.append(record) or record for record in drain(until)
    )
    session.pump(session.stream.position)
    assert len(unread) >= 1_000
    # A leader may be freed before its thread, which its table knows then: that is not plain.
    late = {RecordType.TASK_FREED} if of is TRACES else set()
    assert {record[0] for record in decoded} <= late and len(decoded) < 100
    told = sum(2 if decode(record).then else 1 for record in unread)
    assert session.stream.events - before == told
    assert not session.suspect and session.faults.count({}) == 0
    hooks, at_rest = session.hooks()
    assert at_rest and all(hook["hits"] == hook["accounted"] for hook in hooks.values())
