"""Lives by the life stream and by the full stream: what differs is seen, field by field.

Both streams are the model's, so no kernel is needed; `scripts/lives puppets` compares a kernel's.
"""

from __future__ import annotations

from functools import cache

import pytest
from pidscope_dev.lives import model
from pidscope_dev.lives.equal import (
    CLOCKS_NS,
    Ways,
    compare_births,
    compare_lives,
    told,
)
from pidscope_dev.lives.full_stream import FamilyStream, FullStream

from pidscope.events import Birth, PidAttached, PidNumbers, PidType, TaskExited
from pidscope.wire.hooks import events_of
from pidscope.wire.lives import Life, LifeKind

SEEDS = range(3)
BY_FUNCTIONS = Ways("fentry", "fentry")
KEY = {"kind", "tgid", "leader_start_ns", "numbers", "start_ns"}  # what pairs two lives
ROOT = 4026531836


class ByTracepoints(FullStream):
    """The full stream without what no tracepoint reports."""

    def add(self, event):
        is_change = isinstance(event, PidAttached) and event.birth is None
        if type(event) in events_of("tracepoint") and not is_change:
            super().add(event)


@cache
def lived(seed=0):
    return model.lived(seed, 1_500)


def by_tracepoints(lives, full):
    """As tracepoint mode has them: of a thread that called exec another name, and one number."""
    told_names = {
        (end.life.numbers[0], end.life.end_ns): end.name
        for end in told(full)
        if end.life.kind is LifeKind.EXECED
    }
    return [
        life._replace(
            numbers=(life.numbers[0], *[None] * (len(life.numbers) - 1)),
            comm=told_names[life.numbers[0], life.end_ns],
        )
        if life.kind is LifeKind.EXECED
        else life
        for life in lives
    ]


def altered(life, name):
    """The same life, but for one field."""
    value = getattr(life, name)
    if name == "end_ns":
        other = value + CLOCKS_NS + 1
    elif name == "kind":
        other = LifeKind.LEADER if value is LifeKind.PROCESS else LifeKind.PROCESS
    elif name in ("numbers", "inums"):
        other = (*value[:-1], (value[-1] or 0) + 1)
    elif isinstance(value, bool):
        other = not value
    elif isinstance(value, bytes):
        other = value + b"x"
    else:
        other = (value or 0) + 1
    return life._replace(**{name: other})


@pytest.mark.parametrize("seed", SEEDS)
def test_both_streams_of_the_model_tell_the_same_lives(seed):
    it = lived(seed)
    compared = compare_lives(it.lives, told(it.full), BY_FUNCTIONS)
    assert compared.differences == []
    assert compared.equal == compared.all == len(it.lives) > 100
    births = compare_births(it.births, it.full.births)
    assert births.differences == []
    assert births.equal == births.all == len(it.births) > 100


@pytest.mark.parametrize("seed", SEEDS)
def test_what_tracepoints_report_is_enough_for_all_but_groups(seed, monkeypatch):
    """An exec by a thread too, of which they have no event at the exchange itself."""
    functions = lived(seed)
    monkeypatch.setattr(model, "FullStream", ByTracepoints)
    it = lived.__wrapped__(seed)
    assert compare_lives(it.lives, told(it.full), Ways("fentry", "tracepoint")).differences == []
    lives = by_tracepoints(it.lives, functions.full)
    for full in (it.full, functions.full):
        ways = Ways("tracepoint", "tracepoint" if full is it.full else "fentry")
        assert compare_lives(lives, told(full), ways).differences == []


def test_the_model_has_threads_that_exec():
    """Else the test above shows less than it says."""
    kinds = {life.kind for seed in SEEDS for life in lived(seed).lives}
    assert kinds == set(LifeKind)


@pytest.mark.parametrize("kind", LifeKind)
@pytest.mark.parametrize("name", Life._fields)
def test_a_field_that_differs_is_seen(kind, name):
    """In a life of each kind, of which the full stream knows each field."""
    for seed in SEEDS:
        it = lived(seed)
        for at, end in enumerate(told(it.full)):
            if end.life.kind is kind and end.parent is not None and not end.life.by_thread:
                lives = [*it.lives]
                lives[at] = altered(lives[at], name)
                compared = compare_lives(lives, told(it.full), BY_FUNCTIONS)
                assert compared.equal < compared.all
                words = [name] if name not in KEY else ["missing", "not in the full stream", name]
                assert any(line.startswith(tuple(words)) for line in compared.differences)
                return
    raise AssertionError(f"no {kind!r} whose parent is known")


def test_what_the_full_stream_cannot_say_is_no_difference():
    it = lived()
    lives, ends = [*it.lives], told(it.full)
    orphan = next(at for at, end in enumerate(ends) if end.parent is None)
    lives[orphan] = altered(altered(lives[orphan], "ppid"), "joined")
    assert compare_lives(lives, ends, BY_FUNCTIONS).differences == []
    known = next(at for at, end in enumerate(ends) if end.parent is not None)
    lives[known] = altered(altered(lives[known], "pgid"), "sid")
    assert compare_lives(lives, ends, Ways("fentry", "tracepoint")).differences == []
    (line,) = compare_lives(lives, ends, BY_FUNCTIONS).differences
    assert line.startswith("pgid, sid: ")


def test_one_that_is_missing_or_there_twice_is_seen():
    it = lived()
    (line,) = compare_lives(it.lives[1:], told(it.full), BY_FUNCTIONS).differences
    assert line.startswith("missing: Life(")
    twice = [*it.lives, it.lives[0]]
    (line,) = compare_lives(twice, told(it.full), BY_FUNCTIONS).differences
    assert line.startswith("not in the full stream: Life(")


def test_births_that_differ_are_seen():
    it = lived()
    other = [it.births[0]._replace(by=0), *it.births[1:]]
    assert len(compare_births(other, it.full.births).differences) == 2
    assert len(compare_births(it.births[1:], it.full.births).differences) == 1
    twice = [*it.births, it.births[0]]
    assert len(compare_births(twice, it.full.births).differences) == 1


def birth(by, tid, ns=ROOT, inner=()):
    """A process is born, whose parent is its forker."""
    numbers = PidNumbers((tid, *inner), ns)
    of = Birth(tid, by, tid * 10, b"x", ROOT if inner else 0, numbers, numbers)
    return PidAttached(tid * 10, by, tid, PidType.PID, numbers, of)


def test_who_is_of_the_family_follows_from_who_forked_whom():
    full = FamilyStream()
    full.tasks[1] = FullStream()._attach(1, PidNumbers((1,), ROOT), birth(0, 1).birth)
    for event in (birth(1, 5), birth(2, 6), birth(5, 7, 99, (1,)), birth(6, 8)):
        full.add(event)
    assert set(full.tasks) == {1, 5, 7}
    for tid in (5, 6, 7):
        full.add(TaskExited(200, tid, tid, tid, 0))
    assert [life.tgid for life in full.lives] == [5, 7]
    family = full.family()
    five, seven = full.lives
    assert family.has_life(five) and family.has_life(seven)
    assert not family.has_life(five._replace(tgid=6, numbers=(6,)))
    assert not family.has_life(five._replace(leader_start_ns=51))
    assert set(full.renewed(1).tasks) == {1}


def test_who_was_born_in_a_namespace_of_the_familys_is_one_of_it():
    """Were it otherwise, a life with another number would only be missing.

    Observed on 6.18: an inum that a stranger's namespace had until then, which had ended meanwhile.
    """
    it = lived()
    born = [born for born in it.full.births if len(born.numbers) > 1]
    first, last = min(it.start_ns for it in born), max(it.start_ns for it in born)
    deep = next(life for life in it.lives if life.inums[-1] == born[0].ns)
    other = deep._replace(tgid=1_000_000, numbers=(1_000_000, 1), leader_start_ns=first)
    full = FamilyStream(births=[it for it in born if it.ns == born[0].ns])
    starts = sorted(it.start_ns for it in full.births)
    assert first <= starts[0] < starts[-1] <= last
    for start_ns, is_own in ((starts[0], True), (starts[0] - 1, False), (starts[-1] + 1, False)):
        assert full.family().has_life(other._replace(leader_start_ns=start_ns)) is is_own
        stranger = full.births[0]._replace(numbers=(1_000_000, 1), start_ns=start_ns)
        assert full.family().has_birth(stranger) is is_own


def test_a_number_that_is_a_strangers_now_is_not_the_familys():
    full = FamilyStream()
    full.tasks[1] = FullStream()._attach(1, PidNumbers((1,), ROOT), birth(0, 1).birth)
    full.add(birth(1, 5))
    full.add(TaskExited(200, 5, 5, 5, 0))  # by tracepoints nothing else reports its end
    full.add(birth(2, 5))
    full.add(TaskExited(300, 5, 5, 5, 0))
    assert len(full.lives) == 1
