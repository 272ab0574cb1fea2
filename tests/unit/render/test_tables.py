from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pidscope.containers.container import Container
from pidscope.errors import UsageError
from pidscope.escape import escape
from pidscope.query.process import Level, Namespace, Process
from pidscope.render import tables
from pidscope.render.container_cells import ContainerCells
from pidscope.render.text import WIDTH

# A loaded machine is no fault of what is tested.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NS = 4026532177


def process(*numbers: int, comm: str = "x", **more: Any) -> Process:
    levels = [Level(ns=NS, tid=n, pid=n, ppid=1, pgid=n, sid=n) for n in numbers]
    return Process(
        pid=numbers[0], tid=numbers[0], id=f"{numbers[0]}@9", comm=comm, state="S",
        start_time="1970-01-01T00:00:12Z", ns=NS, joined=False, container=None, levels=levels,
    )._replace(**more)  # fmt: skip


def namespace(ns: int, level: int, init: int | None = 1, **more: Any) -> Namespace:
    return Namespace(
        ns=ns, level=level, parent=0, init=init, processes=2, threads=3, zombies=1, last_pid=None,
        container=None, shared=[],
    )._replace(**more)  # fmt: skip


def table(
    *processes: Process,
    columns: Sequence[str] = tables.PS_DEFAULT,
    comms: Mapping[int, str] = {},
    headings: bool = True,
    width: int | None = WIDTH,
    **more: Any,
) -> list[str]:
    options = {"headings": headings, "width": width, **more}
    return tables.process_table(processes, columns, comms, **options).split("\n")


def tree(
    *spaces: Namespace,
    columns: Sequence[str] = tables.NS_DEFAULT,
    comms: Mapping[int, str] = {},
    headings: bool = True,
    width: int | None = None,
    **more: Any,
) -> list[str]:
    options = {"headings": headings, "width": width, **more}
    return tables.namespace_tree(spaces, comms, columns, **options).split("\n")


def test_the_table() -> None:
    made = table(process(4242, 17, 3, comm="nginx", joined=True), process(7, ns=None))
    assert made == [
        " PID  NSPID      NS          PPID  PGID   SID  STAT  COMM",
        "4242  4242 17 3  4026532177     1  4242  4242  Sj    nginx",
        "   7  7          ?              1     7     7  S     x",
    ]


def test_without_headings_and_without_rows() -> None:
    assert table(process(7), headings=False, columns=["PID", "NSPID"]) == ["7  7"]
    assert table(columns=["PID", "NSPID"]) == ["PID  NSPID"]
    assert table(headings=False) == [""]


@pytest.mark.parametrize("column", list(tables.PS_COLUMNS))
def test_every_column_of_ps_by_itself(column: str) -> None:
    heading, cell = table(process(42, 7), columns=[column], width=None)
    assert heading.strip() == column
    assert cell.strip()


def test_a_reaper_is_the_parents_name_or_not_known() -> None:
    for comms, shown in ({1: "init"}, "init"), ({}, "?"):
        made = table(process(42), columns=["REAPER"], headings=False, comms=comms)
        assert made == [shown]


def test_the_container_gives_way_last_and_in_the_middle() -> None:
    """Issue 15: all pods of a namespace read ``kube-syste…``. Names stay different at any width."""
    pods = [f"kube-system/dns-{it}-server/dns-server-container" for it in ("5d78c", "5d69c")]
    two = [process(42, container=Container("docker", "a" * 64, it), comm="c" * 15) for it in pods]
    made = table(*two, columns=["PID", "CONTAINER", "COMM"], width=20, headings=False)
    assert made == [
        "42  kube-system/dns-5d7…s-server-container  ccccccc…",
        "42  kube-system/dns-5d6…s-server-container  ccccccc…",
    ]


def test_columns_that_show_every_level() -> None:
    outer = process(42, 7).levels[0]._replace(ppid=40)
    inner = Level(ns=NS, tid=8, pid=7, ppid=None, pgid=0, sid=7)
    made = process(42, levels=[outer, inner])
    columns = ["NSPID", "NSTGID", "NSPPID", "NSPGID", "NSSID", "LEVEL"]
    assert table(made, columns=columns, headings=False) == ["42 8  42 7  40 ?  42 0  42 7  1"]


@pytest.mark.parametrize(
    ("numbers", "comm", "line"),
    [
        (
            [4194303, 1234],
            "a" * 15,
            "4194303  4194303 1234  4026532177     1  4194303  4194303  S     aaaaaaaaaaaaa…",
        ),
        (
            [*range(4194000, 4194031), 17],
            "a" * 15,
            "4194000  4194000 … 17  4026532177     1  4194000  4194000  S     aaaaaaaaaaaaa…",
        ),
        (
            [4194301, 4194302, 4194303],
            "a" * 15,
            "4194301  4194301 … 4194303  4026532177     1  4194301  4194301  S     aaaaaaaa…",
        ),
        (
            [12345, 2345, 345],
            "k" * 64,
            "12345  12345 2345 345  4026532177     1  12345  12345  S     kkkkkkkkkkkkkkkkk…",
        ),
        (
            [42],
            "kworker/u8:2-events_unbound_and_more_of_that",
            " 42  42     4026532177     1    42   42  S     kworker/u8:2-events_unbound_and…",
        ),
    ],
    ids=[
        "seven digits at two levels",
        "a deep task loses inner levels but no digit of the ends",
        "the ends stay whole even where they do not fit",
        "what a long name needs is not taken from the numbers",
        "a long name is cut visibly, and only as far as needed",
    ],
)
def test_what_is_cut_and_what_is_not(numbers: list[int], comm: str, line: str) -> None:
    made = table(process(*numbers, comm=comm), process(3, 1, comm="shallow"))
    assert made[1] == line and len(line) == WIDTH
    assert "  3 1  " in made[2] and made[2].endswith("  shallow")
    [_, uncut] = table(process(*numbers, comm=comm), width=None)
    assert uncut.endswith(" " + comm)


@steady
@given(st.lists(st.binary(max_size=64), max_size=4), st.sampled_from([WIDTH, None]))
def test_no_name_breaks_the_table(names: list[bytes], width: int | None) -> None:
    made = table(*[process(n + 1, comm=escape(name)) for n, name in enumerate(names)], width=width)
    assert len(made) == len(names) + 1
    assert all(line.isprintable() for line in made)
    assert width is None or max(map(len, made)) <= width


@pytest.mark.parametrize("name", ["", " ", "a ", " a", "a"])
@pytest.mark.parametrize("columns", [["PID", "COMM"], ["COMM", "PID"], ["COMM"], ["STAT", "COMM"]])
def test_names_of_spaces_stand_as_tabulate_puts_them(name: str, columns: list[str]) -> None:
    rows = [[cell if column == "COMM" else "12" for column in columns] for cell in (name, "other")]
    assert tables.aligned(rows, columns) == tables.tabulated(rows, columns)


@steady
@given(st.data(), st.lists(st.sampled_from(list(tables.PS_COLUMNS)), min_size=1, unique=True))
def test_the_quick_table_is_that_of_tabulate(data: Any, columns: list[str]) -> None:
    """A name may be empty, or begin and end with spaces; nothing else is or does."""
    word = st.text("019 é…", min_size=1).map(str.strip).filter(bool)
    name = st.binary(max_size=9).map(escape)
    cells = st.tuples(*[name if column == "COMM" else word for column in columns]).map(list)
    rows = data.draw(st.lists(cells, min_size=1, max_size=5))
    assert tables.aligned(rows, columns) == tables.tabulated(rows, columns)


@pytest.mark.parametrize("name", [b"  two spaces", b"1e9", b"\x1b[2J", b"\n\n", b"007", b"-"])
def test_a_name_is_shown_as_it_is_escaped(name: bytes) -> None:
    named = process(7, comm=escape(name))
    made = table(named, width=None, columns=["PID", "COMM"], headings=False)
    assert made == ["7  " + escape(name)]


def test_the_tree() -> None:
    spaces = [namespace(10, 0), namespace(20, 1, init=42), namespace(30, 2, init=None)]
    assert tree(*spaces, comms={1: "systemd", 42: "  nginx"}, width=WIDTH) == [
        "NS      LEVEL  INIT  PROCS  THREADS  ZOMBIES  COMM",
        "10          0     1      2        3        1  systemd",
        "  20        1    42      2        3        1    nginx",
        "    30      2     ?      2        3        1  ?",
    ]


@pytest.mark.parametrize("column", [*tables.NS_COLUMNS, "COMM"])
def test_every_column_of_ns_by_itself(column: str) -> None:
    assert tree(namespace(10, 0), comms={1: "c"}, columns=[column])[0].strip() == column


def test_choosing_columns() -> None:
    assert tables.choose_columns("pid, COMM", tables.PS_COLUMNS, ("NS",)) == ["PID", "COMM"]
    assert tables.choose_columns("+pid", tables.PS_COLUMNS, ("NS",)) == ["NS", "PID"]


@pytest.mark.parametrize("wanted", ["", "+", "PID,", "CMD", "PID COMM"])
def test_an_unknown_column_is_wrong_usage(wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        tables.choose_columns(wanted, tables.PS_COLUMNS, ("NS",))
    assert "NSPID" in caught.value.hint


def test_a_container_at_each_level_and_who_shares_a_namespace() -> None:
    named, plain = Container("docker", "a" * 64, "web"), Container("oci", "b" * 64)
    outer, inner = process(7, 1).levels
    made = process(7, container=named, levels=[outer._replace(ns=1), inner])
    cells = ContainerCells({NS: plain})
    assert table(made, columns=["CONTAINER", "NSCONTAINER"], headings=False, containers=cells) == [
        "web  - bbbbbbbbbbbb"
    ]
    spaces = [namespace(1, 0, shared=[named]), namespace(2, 1, container=plain, shared=[named])]
    made = tree(*spaces, columns=["CONTAINER"], headings=False)
    assert made == ["- +web", "bbbbbbbbbbbb +web"]


def test_no_container_and_not_known_are_told_apart() -> None:
    columns = ["CONTAINER", "NSCONTAINER"]
    assert table(process(7, 1), columns=columns, headings=False) == ["-  - -"]
    for unknown in ContainerCells(all_known=False), ContainerCells(homeless=[7, 1], unsure=[NS, 1]):
        more = {"headings": False, "containers": unknown}
        assert table(process(7, 1), columns=columns, **more) == ["?  ? ?"]
        assert tree(namespace(1, 0), columns=columns[:1], **more) == ["?"]
    hidden = process(7, levels=[process(7).levels[0]._replace(ns=None)])
    assert table(hidden, columns=columns, headings=False) == ["-  ?"]
