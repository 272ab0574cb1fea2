"""A watch over a recording of events comes to what the recorded one came to."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pidscope.errors import NotKnown, PidscopeError
from pidscope.events import Lost, PidAttached, Repaired
from pidscope.history import timeline
from pidscope.history.event_file import Gap
from pidscope.history.replayed_session import replayed_session
from pidscope.history.replayed_world import ReplayedWorld, parse_head
from pidscope.history.tasks_delta import apply_changes, pack_changes
from pidscope.history.timeline import pack_entry, pack_word, parse_entries
from pidscope.model.kernel import Kernel
from pidscope.session.session import Session
from pidscope.session.tracepoint import TracepointSession
from pidscope.simulated.random_workload import random_play
from pidscope.simulated.world import SimulatedWorld
from pidscope.wire.encode import encode
from tests.unit.history.replays import Watched, record, replay
from tests.unit.tracing import TracedWorld

_STEPS = 30
SECOND_NS = 1_000_000_000


def recorded(
    seed: int,
    ring_bytes: int = 8 << 20,
    busy: bool = False,
    all_events: bool = True,
    steps: int = _STEPS,
) -> tuple[Watched, dict[str, Any], list[bytes]]:
    """A watch over random calls; ``busy``: they go on while /proc is read."""
    kernel = Kernel()
    world = SimulatedWorld(kernel, random_play(kernel, seed).step, seed, ring_bytes)
    for _ in range(seed % 50):
        world.step()
    world.ring.advance(world.ring.position - world.ring.consumed)
    world.busy = busy
    left = iter(range(steps))
    rng = random.Random(seed)

    def step() -> bool:
        for _ in range(rng.randrange(1, 30)):
            world.step()
        return next(left, None) is not None

    return record(Session(world), step, all_events)


def traced(seed: int) -> tuple[Watched, dict[str, Any], list[bytes]]:
    """The same by tracepoints."""
    rng, kernel = random.Random(seed), Kernel()
    play = random_play(kernel, seed)
    world = TracedWorld(kernel, play.step, seed)
    steps = iter(range(_STEPS))

    def step() -> bool:
        for _ in range(rng.randrange(1, 10)):
            world.step()
        world.kernel.now_ns += SECOND_NS // 3
        return next(steps, None) is not None

    return record(TracepointSession(world), step)


@settings(max_examples=8)
@given(st.integers(0, 1 << 32), st.booleans(), st.booleans())
@example(3, True, False)
def test_it_sees_judges_and_counts_the_same(seed: int, busy: bool, all_events: bool) -> None:
    """Torn files of /proc, whole runs on the fast path, and the hooks' counts among it."""
    watched, head, pieces = recorded(seed, busy=busy, all_events=all_events)
    assert watched.events or not all_events
    assert replay(head, pieces, all_events).found() == watched.found()
    if not all_events:  # what is on the fast path is in it all the same
        assert len(replay(head, pieces).events) > len(watched.events)


@settings(max_examples=4)
@given(st.integers(0, 1 << 32))
def test_losses_and_repairs_come_where_they_came(seed: int) -> None:
    """A ring of 2 KiB loses records at each longer step."""
    watched, head, pieces = recorded(seed, ring_bytes=2048)
    assert any(isinstance(it, Lost) for it in watched.events)
    assert any(isinstance(it, Repaired) for it in watched.events)
    assert replay(head, pieces).found() == watched.found()


@settings(max_examples=4)
@given(st.integers(0, 1 << 32))
def test_a_watch_by_tracepoints_is_the_same_with_its_sweeps(seed: int) -> None:
    """Changes of groups and sessions are found by a reading of all tasks each second."""
    watched, head, pieces = traced(seed)
    changes = [it for it in watched.events if isinstance(it, PidAttached) and it.birth is None]
    assert changes
    assert replay(head, pieces).found() == watched.found()
    kinds = {entry.kind for piece in pieces for entry in parse_entries(piece)}
    assert timeline.CHANGED_TASKS in kinds


@pytest.mark.parametrize("by_tracepoints", [False, True])
def test_a_missing_piece_is_a_loss_in_its_place(by_tracepoints: bool) -> None:
    """Before it all is the same; and again from the next table on that the recorder kept."""
    watched, head, pieces = traced(5) if by_tracepoints else recorded(5)
    at = next(i for i, piece in enumerate(pieces) if i > 8 and i % 7 == 2 and len(piece) > 900)
    gap = Gap(7, "a part is damaged or missing")
    replayed = Watched()
    world = ReplayedWorld("one", parse_head(head), iter([*pieces[:at], gap, *pieces[at + 1 :]]))
    session = replayed_session(world, replayed.listen)
    session.begin()
    while not world.ended:
        replayed.step(session)
        world.step()
    replayed.finish(session)
    first = next(i for i, it in enumerate(replayed.events) if isinstance(it, Lost))
    assert replayed.events[first] == Lost(replayed.events[first].ts_ns, 7)
    assert replayed.events[:first] == watched.events[:first]
    repaired = next(i for i, it in enumerate(replayed.events) if isinstance(it, Repaired))
    assert repaired > first
    behind = replayed.events[repaired + 1 :]
    assert behind == watched.events[-len(behind) :] and len(behind) > 50
    assert replayed.tables[-5:] == watched.tables[-5:]
    assert not session.suspect and world.gaps and not world.cut
    world.expect_judged()
    replayed.judge(session)
    assert not replayed.tally.disagreed and not session.ungrammatical
    # In tracepoint mode it is certain of less: which tasks had begun to exit was in that part.
    assert by_tracepoints or replayed.tally.counts == watched.tally.counts
    assert replayed.tally.complete == watched.tally.complete
    assert replayed.summary["repairs"] == 1 and replayed.summary["births"] is None


def test_where_no_table_was_kept_behind_a_missing_piece_all_stays_suspect() -> None:
    _, head, pieces = recorded(5)
    at = len(pieces) - 2  # no table follows
    world = ReplayedWorld("one", parse_head(head), iter([*pieces[:at], Gap(7, "x"), pieces[-1]]))
    replayed = Watched()
    session = replayed_session(world, replayed.listen)
    session.begin()
    while not world.ended:
        replayed.step(session)
        world.step()
    session.pump()
    assert session.suspect
    world.expect_judged()
    with pytest.raises(NotKnown):
        for number in range(1, 1000):
            world.procfs.judged_status(number + 10**6)


@pytest.mark.parametrize("kept", range(0, 32, 5))
def test_a_recording_without_its_end_is_a_prefix_that_ends_with_a_loss(kept: int) -> None:
    watched, head, pieces = recorded(9)
    world = ReplayedWorld("one", parse_head(head), iter([*pieces[:kept], Gap(1, "cut")]))
    replayed = Watched()
    if not kept:
        with pytest.raises(NotKnown, match="ends before all tasks"):
            replayed_session(world)
        return
    session = replayed_session(world, replayed.listen)
    session.begin()
    world.look_for_end()
    while not world.ended:
        replayed.step(session)
        world.step()
    session.pump()
    assert isinstance(replayed.events[-1], Lost)
    assert replayed.events[:-1] == watched.events[: len(replayed.events) - 1]
    assert world.cut == "cut" and session.suspect
    with pytest.raises(NotKnown, match="nothing was judged: cut"):
        world.expect_judged()


@settings(max_examples=60)
@given(st.data())
def test_what_no_recorder_writes_is_refused_in_order(data: st.DataObject) -> None:
    """Bytes and whole entries changed at random: an error with a line, or an answer; no other."""
    _watched, head, pieces = _SMALL
    changed = list(pieces)
    at = data.draw(st.integers(0, len(changed) - 1))
    piece = bytearray(changed[at])
    how = data.draw(st.sampled_from(["byte", "word", "cut", "entry", "twice"]))
    place = data.draw(st.integers(0, max(0, len(piece) - 8))) & ~7
    if how == "byte":
        piece[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    elif how == "word":
        piece[place : place + 8] = pack_word(data.draw(st.sampled_from([0, 1, 1 << 63, 2**64 - 1])))
    elif how == "cut":
        del piece[place:]
    elif how == "entry":
        kind, payload = data.draw(st.integers(0, 15)), data.draw(st.binary(max_size=80))
        piece = bytearray(pack_entry(kind, payload)) + piece
    changed[at] = bytes(piece)
    if how == "twice":
        changed.insert(at, changed[at])
    try:
        replay(head, changed)
    except PidscopeError as error:
        assert str(error)


_SMALL = recorded(11, steps=8)


@pytest.mark.parametrize(
    "change",
    [
        {"way": "elsewhere"},
        {"ns_per_tick": 0},
        {"position": -1, "hooks": None},
        {"missing": [1]},
        {"accounted": {"x": "y"}},
        {"own": [[]]},
        {"lost": True},
        {"boot_s": "now"},
        {"boot_s": float("nan")},
        {"boot_s": 1e300},
    ],
)
def test_a_head_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PidscopeError):
        parse_head({**_SMALL[1], **change})


def test_changes_of_tasks_make_the_reading_again() -> None:
    kernel = Kernel()
    play = random_play(kernel, 4)
    world = SimulatedWorld(kernel, play.step, 4)
    before = b""
    for _ in range(30):
        for _ in range(20):
            world.step()
        written = b"".join(map(encode, sorted(world.tasks(), key=lambda it: it.tid)))
        changes = pack_changes(before, written)
        if changes is not None:
            assert apply_changes(before, changes) == written
        before = written
    for bad in (b"", b"\1", b"\xff" * 8, changes or b""):
        with pytest.raises(PidscopeError):
            apply_changes(b"" if bad == changes else before, bad + b"x")


def test_the_nth_question_between_two_marks_gets_the_nth_value() -> None:
    """And one more the last; behind the next mark begin others. What is not there is the last."""
    words = [(timeline.NOW, 5), (timeline.NOW, 7), (timeline.STEP, 9), (timeline.NOW, 11)]
    piece = b"".join(pack_entry(kind, pack_word(value)) for kind, value in words)
    world = ReplayedWorld("one", parse_head(_SMALL[1]), iter([piece, Gap(1, "cut")]))
    assert [world.now_ns() for _ in range(3)] == [5, 7, 7]
    world.step()
    assert (world.present_ns, world.now_ns(), world.now_ns()) == (9, 11, 11)
    lost = world.lost
    world.step()
    assert (world.ended, world.cut, world.lost - lost, world.now_ns()) == (True, "cut", 1, 11)
