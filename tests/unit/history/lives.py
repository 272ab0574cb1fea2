"""Lives for the tests of recordings: made by Hypothesis, or with what a test asks for."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from pidscope.wire.lives import LIVES, LIVES_DEEP, Life, LifeKind, pack_life

HOST = 4026531836
_MAX = (1 << 64) - 1
_ROOM = {LIVES: 4, LIVES_DEEP: 32}


def life(
    numbers: Sequence[int] = (42,),
    inums: Sequence[int] = (HOST,),
    start_ns: int = 1_000,
    end_ns: int = 2_000,
    **others: object,
) -> Life:
    """Return a life; what is not given is of a process without parents."""
    made = Life(
        kind=LifeKind.PROCESS,
        numbers=tuple(numbers),
        inums=tuple(inums),
        start_ns=start_ns,
        end_ns=end_ns,
        tgid=numbers[0],
        leader_start_ns=start_ns,
        ppid=1,
        parent_start_ns=10,
        pgid=numbers[0],
        sid=numbers[0],
        comm=b"sh",
        uid=0,
        status=0,
        cgroup_id=1,
        joined=False,
    )
    return made._replace(**others)  # type: ignore[arg-type]


def rows(*lives: Life) -> bytes:
    """Return the rows of lives of one class."""
    return b"".join(pack_life(it)[1] for it in lives)


@st.composite
def any_lives(draw: st.DrawFn, deep: bool = False) -> Life:
    """Any row that a kernel could write, and some that none does."""
    levels = draw(st.integers(5, 32) if deep else st.integers(1, 4))
    u32, u64 = st.integers(0, (1 << 32) - 1), st.integers(0, _MAX)
    inums = st.integers(1, (1 << 32) - 1)  # 0 is no namespace
    times = st.one_of(st.integers(0, 1 << 50), u64)
    numbers = draw(st.lists(u32, min_size=levels, max_size=levels))
    return Life(
        kind=draw(st.sampled_from(LifeKind)),
        numbers=tuple(numbers),
        inums=tuple(draw(st.lists(inums, min_size=levels, max_size=levels))),
        start_ns=draw(times) or None,
        end_ns=draw(times),
        tgid=draw(u32),
        leader_start_ns=draw(times),
        ppid=draw(u32),
        parent_start_ns=draw(u64),
        pgid=draw(u32),
        sid=draw(u32),
        comm=draw(st.binary(max_size=15)).partition(b"\0")[0],
        uid=draw(u32),
        status=draw(u32),
        cgroup_id=draw(u64),
        joined=draw(st.sampled_from([True, False, None])),
        by_thread=draw(st.booleans()),
    )
