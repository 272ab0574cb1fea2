"""The rows that are made of the kernel's counts are those that a stream makes."""

from __future__ import annotations

import pytest

from pidscope.query.fork_counts import First, Row
from pidscope.query.kernel_counts import Inits, by_comm, by_namespace
from pidscope.wire.counts import COUNT_LEVEL_SHIFT, NS_LAYOUT, Counted, Init, InitKind

ROOT, NS, OTHER = 4026531836, 4026532177, 4026532178
BEGUN = 1_000
NONE = Counted()


def key(ns: int, init: int, start_ns: int, level: int = 1) -> bytes:
    return NS_LAYOUT.compile().pack(ns, level << COUNT_LEVEL_SHIFT | init, start_ns)


def failed_in(ns: int) -> bytes:
    return NS_LAYOUT.compile().pack(ns, 0, 0)


def init(kind: InitKind, nr: int, start_ns: int, comm: bytes = b"sh", ns: int = NS) -> Init:
    return Init(kind, 1, nr, ns, ROOT, start_ns, start_ns, comm)


def told(row: Row) -> tuple[object, ...]:
    counts = (row.processes, row.threads, row.failed_forks)
    return row.ns, row.level, row.init, row.first, row.comm, counts


@pytest.fixture
def inits() -> Inits:
    made = Inits(BEGUN)
    made.there({1: b"systemd", 42: b"nginx"})
    return made


def test_by_comm_what_lies_behind_the_end_of_a_name_is_no_other_name() -> None:
    counted = {b"sh\0x": Counted(3, 1), b"sh\0y": Counted(4), b"id": Counted(0, 0, 9)}
    made = by_comm(counted, Counted(5, 6, 7))
    assert [(row.comm, row.processes, row.threads, row.failed_forks) for row in made.rows()] == [
        (b"id", 0, 0, 9),
        (b"sh", 7, 1, 0),
    ]
    others = made.others
    assert (others.processes, others.threads, others.failed_forks) == (5, 6, 7)


def test_namespaces_that_were_there_before(inits: Inits) -> None:
    counted = {bytes(16): Counted(9), key(NS, 42, 5): Counted(2, 1)}
    made = by_namespace(counted, NONE, inits, ROOT)
    assert [told(row) for row in made.rows()] == [
        (ROOT, 0, 1, None, b"systemd", (9, 0, 0)),
        (NS, 1, 42, None, b"nginx", (2, 1, 0)),
    ]


def test_an_inum_that_is_given_out_again_has_a_row_each_time(inits: Inits) -> None:
    for nr, start_ns in ((50, BEGUN + 1), (51, BEGUN + 2)):
        inits.add(init(InitKind.BORN, nr, start_ns, b"runc"))
    inits.add(init(InitKind.EXECUTED, 51, BEGUN + 2, b"web"))
    counted = {
        key(NS, 51, BEGUN + 2): Counted(3),
        key(NS, 42, 5): Counted(1),
        key(NS, 50, BEGUN + 1): Counted(2),
    }
    made = by_namespace(counted, NONE, inits, ROOT)
    assert [told(row) for row in made.rows()] == [
        (NS, 1, 51, First(51, BEGUN + 2), b"web", (3, 0, 0)),
        (NS, 1, 50, First(50, BEGUN + 1), b"runc", (2, 0, 0)),
        (NS, 1, 42, None, b"nginx", (1, 0, 0)),
    ]
    assert [made.is_current(row) for row in made.rows()] == [True, False, False]


def test_one_born_while_the_programs_were_attached_is_not_one_from_before(inits: Inits) -> None:
    """Its start lies before; its birth was recorded."""
    inits.add(init(InitKind.BORN, 50, BEGUN - 1))
    [row] = by_namespace({key(NS, 50, BEGUN - 1): Counted(1)}, NONE, inits, ROOT).rows()
    assert row.first == First(50, BEGUN - 1)


def test_an_exec_of_one_from_before_changes_its_name(inits: Inits) -> None:
    inits.add(init(InitKind.EXECUTED, 42, 5, b"new"))
    [row] = by_namespace({key(NS, 42, 5): Counted(1)}, NONE, inits, ROOT).rows()
    assert row.comm == b"new"


@pytest.mark.parametrize(
    ("counted", "rows"),
    [
        # That which was there has them, though one was born later.
        (
            {key(NS, 42, 5): Counted(1), key(NS, 50, BEGUN): Counted(2)},
            [(50, (2, 0, 0)), (42, (1, 0, 7))],
        ),
        # None was there: unshare, a fork that fails, and then one that is number 1.
        ({key(NS, 50, BEGUN): Counted(2)}, [(50, (2, 0, 7))]),
        # No number 1 was ever born.
        ({key(OTHER, 50, BEGUN): Counted(8)}, [(50, (8, 0, 0)), (None, (0, 0, 7))]),
    ],
)
def test_failed_forks_of_which_the_kernel_knew_the_inum_alone(
    inits: Inits, counted: dict[bytes, Counted], rows: list[tuple[int | None, object]]
) -> None:
    counted[failed_in(NS)] = Counted(0, 0, 7)
    made = by_namespace(counted, NONE, inits, ROOT).rows()
    assert sorted((row.init or 0, told(row)[-1]) for row in made) == sorted(
        (number or 0, counts) for number, counts in rows
    )


def test_failed_forks_in_the_initial_namespace_are_its_row(inits: Inits) -> None:
    counted = {bytes(16): Counted(9), failed_in(ROOT): Counted(0, 0, 7)}
    [row] = by_namespace(counted, NONE, inits, ROOT).rows()
    assert told(row) == (ROOT, 0, 1, None, b"systemd", (9, 0, 7))


def test_names_are_not_known_once_an_exec_may_be_lost(inits: Inits) -> None:
    inits.add(init(InitKind.BORN, 50, BEGUN))
    inits.doubt()
    counted = {bytes(16): Counted(9), key(NS, 50, BEGUN): Counted(2)}
    assert {row.comm for row in by_namespace(counted, NONE, inits, ROOT).rows()} == {None}


def test_one_whose_birth_was_lost_is_not_taken_for_another(inits: Inits) -> None:
    """It has the number of one that was there before."""
    [row] = by_namespace({key(NS, 42, BEGUN + 5): Counted(2)}, NONE, inits, ROOT).rows()
    assert (row.first, row.comm) == (First(42, BEGUN + 5), None)


def test_others_are_not_in_a_row(inits: Inits) -> None:
    made = by_namespace({}, Counted(1, 2, 3), inits, ROOT)
    assert made.rows() == [] and made.others.sum == 6
