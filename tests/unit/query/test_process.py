from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pidscope import events
from pidscope.containers.container import Container
from pidscope.escape import unescape
from pidscope.query.process import (
    Level,
    Namespace,
    Process,
    is_complete,
    namespaces,
)
from pidscope.query.process import processes as read_processes
from pidscope.render.json import envelope, event_json, namespace_json, owners_json, process_json
from pidscope.snapshot import Mount, Snapshot, Status, TaskReading
from tests.unit.commands.asked import SCHEMA, VALIDATOR

# A loaded machine is no fault of what is tested.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HOST, MIDDLE, INNER = 4026531836, 4026532177, 4026532178
PARENTS = {HOST: 0, MIDDLE: HOST, INNER: MIDDLE}


def task(
    *pid: int,
    tgid: tuple[int, ...] = (),
    ppid: int = 0,
    ns: int | None = HOST,
    state: str = "S",
    name: bytes = b"x",
    ticks: int | None = 250,
) -> TaskReading:
    group = tgid or pid
    zeros = (0,) * len(pid)
    status = Status(name, state, ppid, group[0], pid[0], group, pid, zeros, zeros)
    return TaskReading(pid[0], status, ticks, ns)


def processes(*tasks: TaskReading, parents: dict[int, int] = PARENTS) -> list[Process]:
    made = read_processes(Snapshot(tasks, parents), boot_time=0, ticks_per_second=100)
    VALIDATOR.validate(whole("processes", list(map(process_json, made))))
    return made


def whole(name: str, items: Any) -> dict[str, Any]:
    return envelope(
        name,
        items,
        source="proc",
        mode="proc",
        host="h",
        boot_id=None,
        complete=True,
        mount=Mount(HOST, initial=True),
    )


def ppids(process: Process) -> list[int | None]:
    return [level.ppid for level in process.levels]


def inums(process: Process) -> list[int | None]:
    return [level.ns for level in process.levels]


# --- processes -------------------------------------------------------------------------------


def test_a_process_at_every_level() -> None:
    status = Status(b"a\\nb", "Z", 40, 42, 42, (42, 17), (42, 17), (42, 17), (40, 0))
    parent = task(40, 1, ns=MIDDLE)
    [_, child] = processes(parent, TaskReading(42, status, 1234, MIDDLE))
    none = {"container": None}
    assert process_json(child) == {
        "pid": 42,
        "tid": 42,
        "id": "42@1234",
        "comm": r"a\x0ab",
        "state": "Z",
        "start_time": "1970-01-01T00:00:12Z",
        "ns": MIDDLE,
        "joined": False,
        "container": None,
        "levels": [
            {"ns": HOST, "tid": 42, "pid": 42, "ppid": 40, "pgid": 42, "sid": 40, **none},
            {"ns": MIDDLE, "tid": 17, "pid": 17, "ppid": 1, "pgid": 17, "sid": 0, **none},
        ],
        "ended": None,
        "tracer": None,
    }


def test_a_thread_is_told_from_its_group() -> None:
    made = processes(task(42, 7, ns=MIDDLE), task(43, 8, tgid=(42, 7), ns=MIDDLE))
    assert [(it.pid, it.tid, it.id) for it in made] == [(42, 42, "42@250"), (42, 43, "43@250")]
    assert [(level.pid, level.tid) for level in made[1].levels] == [(42, 43), (7, 8)]


def test_the_parents_number_ends_where_the_parents_namespace_does() -> None:
    made = processes(task(5), task(6, 1, ppid=5, ns=MIDDLE), task(7, 2, 1, ppid=6, ns=INNER))
    assert [ppids(process) for process in made] == [[0], [5, 0], [6, 1, 0]]


def test_a_parent_at_a_level_of_another_namespace_is_none_of_ours() -> None:
    sibling = 4026532999
    made = processes(
        task(6, 3, ns=sibling),
        task(7, 2, ppid=6, ns=MIDDLE),
        parents={**PARENTS, sibling: HOST},
    )
    assert ppids(made[1]) == [6, 0]


def test_a_parent_that_was_not_read_is_not_known() -> None:
    [made] = processes(task(7, 2, 2, ppid=6, ns=INNER))
    assert ppids(made) == [6, None, None]
    assert made.joined is None and not is_complete([made])


def test_joined_is_neither_init_nor_a_child_of_the_namespace() -> None:
    made = processes(
        task(2),  # kthreadd
        task(6, 1, ppid=5, ns=MIDDLE),
        task(7, 2, ppid=6, ns=MIDDLE),
        task(8, 3, ppid=2, ns=MIDDLE),
        task(9, 4, ppid=0, ns=MIDDLE),
        task(5),
    )
    assert {process.pid: process.joined for process in made} == {
        2: False, 5: False, 6: False, 7: False, 8: True, 9: True,
    }  # fmt: skip


def test_joined_is_seen_from_inside_too() -> None:
    made = processes(task(1, ns=MIDDLE), task(9, ns=MIDDLE), parents={MIDDLE: 0})
    assert [process.joined for process in made] == [False, True]


DEEPEST = 4026532179


@pytest.mark.parametrize(
    ("reading", "parents", "known"),
    [
        (task(7, 2, 1, ns=INNER), PARENTS, [HOST, MIDDLE, INNER]),
        (task(5, ns=None), PARENTS, [HOST]),  # one number: the mount's own namespace
        (task(7, 2, 1, ns=None), PARENTS, [HOST, None, None]),
        (task(5, ns=None), {}, [None]),
        (task(7, 2, 1, ns=MIDDLE), PARENTS, [HOST, None, MIDDLE]),
        (task(7, 4, 2, 1, ns=DEEPEST), {HOST: 0, DEEPEST: INNER}, [HOST, None, INNER, DEEPEST]),
    ],
    ids=[
        "outwards from the chain of parents",
        "one number, not read",
        "several numbers, not read",
        "no namespace is read",
        "an inum given out again at another depth",
        "a chain that ends early",
    ],
)
def test_the_namespaces_of_a_process_are_those_that_were_read(
    reading: TaskReading, parents: dict[int, int], known: list[int | None]
) -> None:
    [made] = processes(reading, parents=parents)
    assert inums(made) == known and made.ns == known[-1]
    assert is_complete([made]) == (None not in known)


@pytest.mark.parametrize(
    ("ticks", "offset_ns", "id_", "start_time"),
    [
        (100_250, 1_000_000_000_000, "5@250", "1970-01-01T00:00:02Z"),
        (100_250, 1_000_000_000_001, "5@249-250", "1970-01-01T00:00:02Z"),
        (250, -1, "5@250-251", "1970-01-01T00:00:02Z"),
        (99_999, 999_995_000_000, "5@0", "1970-01-01T00:00:00Z"),
    ],
)
def test_a_start_seen_from_a_time_namespace(
    ticks: int, offset_ns: int, id_: str, start_time: str
) -> None:
    snapshot = Snapshot((task(5, ticks=ticks),), PARENTS)
    [made] = read_processes(snapshot, boot_time=0, ticks_per_second=100, start_offset_ns=offset_ns)
    VALIDATOR.validate(whole("processes", [process_json(made)]))
    assert (made.id, made.start_time) == (id_, start_time)


def test_without_starts_all_but_the_starts_is_the_same() -> None:
    tasks = (task(1), task(5, 2, ppid=1, ns=INNER), task(7, 0), task(8, tgid=(5,), name=b"a\\\\b"))
    made = processes(*tasks)
    unstarted = tuple(one._replace(start_ticks=None) for one in tasks)
    snapshot = Snapshot(unstarted, PARENTS, starts=False)
    asked = read_processes(snapshot, boot_time=0, ticks_per_second=100)
    assert all(process.id and process.start_time for process in made)
    assert asked == [process._replace(id="", start_time="") for process in made]


@pytest.mark.parametrize(
    "leaving", [task(7, 0, tgid=(7, 5), ns=None), task(7, ticks=None), task(0), task(7, tgid=(0,))]
)
def test_a_task_that_left_meanwhile_is_left_out(leaving: TaskReading) -> None:
    assert [process.pid for process in processes(task(5), leaving)] == [5]


def test_order_is_by_group_then_thread_whatever_the_reading() -> None:
    made = processes(task(9), task(8, tgid=(5,)), task(5))
    assert [(process.pid, process.tid) for process in made] == [(5, 5), (5, 8), (9, 9)]


# --- namespaces ------------------------------------------------------------------------------


def test_namespaces_count_those_whose_innermost_they_are() -> None:
    snapshot = Snapshot(
        (
            task(1, ns=None),
            task(6, 1, ns=MIDDLE),
            task(7, 2, ns=MIDDLE, state="Z"),
            task(8, 3, tgid=(6, 1), ns=MIDDLE),
            task(9, 4, 1, ns=INNER),
            task(11, 5, ns=MIDDLE, ticks=None),
        ),
        PARENTS,
    )
    made = list(map(namespace_json, namespaces(snapshot, {HOST: 99})))
    VALIDATOR.validate(whole("namespaces", made))
    common = {"container": None, "shared": [], "dying": None}
    assert made == [
        {"ns": HOST, "level": 0, "parent": 0, "init": 1, "processes": 1, "threads": 1,
         "zombies": 0, "last_pid": 99, **common},
        {"ns": MIDDLE, "level": 1, "parent": HOST, "init": 6, "processes": 2, "threads": 3,
         "zombies": 1, "last_pid": None, **common},
        {"ns": INNER, "level": 2, "parent": MIDDLE, "init": 9, "processes": 1, "threads": 1,
         "zombies": 0, "last_pid": None, **common},
    ]  # fmt: skip


def test_whose_a_namespace_is_and_who_shares_it() -> None:
    snapshot = Snapshot((task(1), task(6, 1, ns=MIDDLE)), PARENTS)
    web = Container("docker", "a" * 64, "web")
    hostile = Container("lxc", "a\n\udcff\\", "a\n\udcff\\")
    made = namespaces(snapshot, {}, {MIDDLE: web}, {HOST: (hostile,), MIDDLE: (web,)})
    VALIDATOR.validate(whole("namespaces", list(map(namespace_json, made))))
    host, middle, _ = made
    assert host.container is None
    assert [shared.name for shared in host.shared] == ["a\\x0a\\xff\\\\"]
    assert middle.container == web == middle.shared[0]
    owners = owners_json({MIDDLE: web})
    everyone = [process_json(it, owners) for it in processes(task(1), task(6, 1, ns=MIDDLE))]
    VALIDATOR.validate(whole("processes", everyone))
    told = [[level["container"] for level in process["levels"]] for process in everyone]
    assert told == [[None], [None, web._asdict()]]


def test_a_namespace_is_as_deep_as_its_tasks_or_those_inside_it_say() -> None:
    parents = {HOST: 0, INNER: MIDDLE, DEEPEST: INNER}  # nobody could tell of MIDDLE's parent
    made = namespaces(Snapshot((task(1), task(7, 4, 2, 1, ns=DEEPEST)), parents), {})
    assert {it.ns: (it.level, it.parent) for it in made} == {
        HOST: (0, 0), INNER: (2, MIDDLE), DEEPEST: (3, INNER),
    }  # fmt: skip


def test_children_follow_their_parent_oldest_init_first() -> None:
    parents = {10: 0, 20: 10, 30: 10, 21: 20, 99: 30}
    tasks = (task(2, 1, ns=30), task(3, 1, ns=20), task(4, 2, 1, ns=21), task(1, ns=10))
    made = namespaces(Snapshot(tasks, parents), {})
    assert [document.ns for document in made] == [10, 30, 99, 20, 21]
    assert made[2].level == 2 and made[2].init is None


@steady
@given(st.dictionaries(st.integers(1, 9), st.integers(0, 9)))
def test_no_namespace_is_lost_whatever_the_parents(parents: dict[int, int]) -> None:
    made = namespaces(Snapshot((), parents), {})
    assert sorted(document.ns for document in made) == sorted(parents)


def test_a_parent_that_cannot_be_asked_is_not_known() -> None:
    [made] = namespaces(Snapshot((task(5, 1, ns=MIDDLE),), {}), {})
    assert (made.parent, made.level) == (None, 1)


# --- events ----------------------------------------------------------------------------------

EVENT_CLASSES = get_args(events.Event)
_integers = st.integers(0, 2**32 - 1)
_values: dict[str, st.SearchStrategy[Any]] = {
    "flags": st.integers(0, 2**64 - 1),
    "cgroup_id": st.integers(0, 2**64 - 1),
    "ts_ns": st.integers(0, 2**63),
    "start_ns": st.integers(0, 2**63),
    "leader_start_ns": st.integers(0, 2**63),
    "comm": st.binary(max_size=15),
}
_pid_numbers = st.builds(
    events.PidNumbers, st.lists(_integers, min_size=1, max_size=33).map(tuple), _integers
)


def strategy(cls: Any) -> st.SearchStrategy[Any]:
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "PidNumbers": _pid_numbers,
        "PidType": st.sampled_from(events.PidType),
    }
    fields = {
        name: _values.get(name, kinds.get(kind.__forward_arg__, _integers))
        for name, kind in cls.__annotations__.items()
    }
    if "birth" in fields:
        fields["birth"] = st.none() | strategy(events.Birth)
    return st.builds(cls, **fields)


stream: st.SearchStrategy[Any] = st.one_of([strategy(cls) for cls in EVENT_CLASSES])


@steady
@given(stream)
def test_every_event_is_a_valid_line(event: Any) -> None:
    line = event_json(event)
    assert json.loads(json.dumps(line)) == line
    VALIDATOR.validate(line)
    assert line["type"] == type(event).__name__
    assert list(line) == ["type", *event._fields]
    if hasattr(event, "comm"):
        assert unescape(line["comm"]) == event.comm


@pytest.mark.parametrize("cls", [*EVENT_CLASSES, events.Birth, events.PidNumbers])
def test_the_schema_has_the_fields_of_event_py(cls: Any) -> None:
    names = {events.Birth: "birth", events.PidNumbers: "pid_numbers"}
    definition = SCHEMA["$defs"][names.get(cls, cls.__name__)]
    head = [] if cls in names else ["type"]
    by_watch = {events.ForkFailed: ["reason"], events.TaskExited: ["process_ended"]}
    added = by_watch.get(cls, [])
    assert list(definition["properties"]) == [*head, *cls._fields, *added]
    assert definition["required"] == [*head, *cls._fields]


def test_the_schema_has_every_event() -> None:
    listed = [entry["$ref"] for entry in SCHEMA["$defs"]["event"]["oneOf"]]
    assert listed == [f"#/$defs/{cls.__name__}" for cls in EVENT_CLASSES]


def test_an_event_in_full() -> None:
    numbers = events.PidNumbers((42, 17), MIDDLE)
    birth = events.Birth(42, 40, 7, b"\x1b[", HOST, numbers, events.PidNumbers((40, 0), MIDDLE))
    assert event_json(events.PidAttached(5, 40, 42, events.PidType.PID, numbers, birth)) == {
        "type": "PidAttached",
        "ts_ns": "5",
        "by": 40,
        "tid": 42,
        "pid_type": "PID",
        "pid": {"numbers": [42, 17], "ns": MIDDLE},
        "birth": {
            "tgid": 42,
            "ppid": 40,
            "start_ns": "7",
            "comm": r"\x1b[",
            "ns_parent": HOST,
            "pgid": {"numbers": [42, 17], "ns": MIDDLE},
            "sid": {"numbers": [40, 0], "ns": MIDDLE},
        },
    }


@pytest.mark.parametrize(
    ("flags", "shown"), [(2**53, 2**53), (2**53 + 1, "9007199254740993"), (0x11, 17)]
)
def test_an_integer_that_json_readers_round_is_a_string(flags: int, shown: object) -> None:
    line = event_json(events.TaskCreated(1, 2, 3, flags, 5, HOST))
    assert (line["flags"], line["children_ns"]) == (shown, HOST)


# --- the rest of the schema ------------------------------------------------------------------

VERIFICATION = {
    "type": "verification", "events": 1, "lost": 0, "repairs": 0, "snapshots": 1, "compared": 9,
    "agree": 9, "moved": 0, "held": 0, "unjudged": 0, "missing": 0, "ghost": 0, "wrong": 0,
    "ungrammatical": 0, "skipped": 0, "births": {"proc_stat": 3, "told": 3},
    "complete": True, "probes": "fentry", "elapsed_s": 0.5,
    "hooks": {"attach_pid": {"hits": 2, "accounted": 1}}, "hooks_at_rest": True,
}  # fmt: skip
DISAGREEMENT = {
    "type": "disagreement", "verdict": "ghost", "tid": 7, "reason": "r", "expected": "1",
    "seen": "",
}  # fmt: skip
CHECK = {"name": "btf", "ok": False, "detail": "absent", "hint": "install it"}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "document",
    [
        VERIFICATION,
        {**VERIFICATION, "cmd_status": 1, "cmd_counts": {"births": 3}},
        DISAGREEMENT,
        {"schema": 1, "checks": [CHECK], "live": False, "probes": None},
        {"schema": 1, "source": "live", "mode": "fentry", "host": "h", "boot_id": None,
         "complete": True, "checks": [], "live": True, "probes": "fentry"},
    ],
)  # fmt: skip
def test_the_schema_accepts(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {**VERIFICATION, "lost": -1},
        {**VERIFICATION, "verified": True},
        {key: value for key, value in VERIFICATION.items() if key != "complete"},
        {**DISAGREEMENT, "verdict": "agree"},
        {"schema": 2, "checks": [CHECK], "live": False, "probes": None},
        {**event_json(events.Lost(1, 2)), "more": 1},
        {"type": "Lost", "ts_ns": 1, "total": 2},
        {"type": "Unheard", "ts_ns": "1"},
        {**event_json(events.TaskRenamed(1, 2, 3, b"")), "comm": "a\x1b"},
        {**event_json(events.TaskRenamed(1, 2, 3, b"")), "comm": "a\\"},
        {**event_json(events.TaskRenamed(1, 2, 3, b"")), "tid": -1},
    ],
)
def test_the_schema_refuses(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize(
    ("fields", "definition"),
    [
        (Process._fields, "process"),
        ((*Level._fields, "container"), "level"),
        (Namespace._fields, "namespace"),
    ],
)
def test_the_schema_has_the_fields_of_the_values(fields: Sequence[str], definition: str) -> None:
    assert list(SCHEMA["$defs"][definition]["properties"]) == list(fields)
    assert SCHEMA["$defs"][definition]["required"] == list(fields)
