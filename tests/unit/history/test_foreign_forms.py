"""OCSF and ECS: each field is one of the schema's, with its type, and what is not known is absent.

The tables hold what pidscope uses, as github.com/ocsf/ocsf-schema 1.8.0 and github.com/elastic/ecs
9.4.0 have it.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from pidscope.containers.container import Container
from pidscope.history.export import ecs, forms, ndjson, ocsf
from pidscope.history.export.task import Place, Task, task_of
from pidscope.wire.lives import UID_UNKNOWN, Life, LifeKind
from tests.unit.history.lives import HOST, life

BOOT = "2899dae4-4fa4-4eef-95b6-6bc95325f61a"
WALL = 1_764_500_000 * 10**9
POD_UID = "0a1b2c3d-0000-4000-8000-000000000001"
POD = Container(
    "containerd", "ab" * 32, None, "web-0", POD_UID, "shop", container_name="nginx", unit=None
)
NGINX = Container("docker", "cd" * 32, "web")
SERVICE = Container("systemd", "", unit="nginx.service")
INTEGER, LONG, TEXT, UUID, OBJECT = "integer", "long", "string", "uuid", "object"
# Of objects/process_entity.json and process.json; a process in a process has the same.
PROCESS: dict[str, Any] = {
    "pid": INTEGER,
    "uid": TEXT,
    "cpid": UUID,
    "name": TEXT,
    "created_time": LONG,
    "terminated_time": LONG,
    "namespace_pid": INTEGER,
    "user": {"uid": TEXT},
    "parent_process": {"pid": INTEGER, "created_time": LONG},
    "container": {"uid": TEXT, "name": TEXT, "runtime": TEXT, "pod_uuid": UUID},
}
EVENT = {
    "activity_id": INTEGER,
    "activity_name": TEXT,
    "category_uid": INTEGER,
    "class_uid": INTEGER,
    "type_uid": LONG,
    "severity_id": INTEGER,
    "time": LONG,
    "metadata": {
        "version": TEXT,
        "product": {"name": TEXT, "vendor_name": TEXT, "version": TEXT},
        "profiles": [TEXT],
    },
    "device": {"type_id": INTEGER, "hostname": TEXT, "boot_uid": TEXT},
    "actor": {"process": PROCESS},
    "process": PROCESS,
    "exit_code": INTEGER,
    "unmapped": OBJECT,
}
REQUIRED = {
    *("activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata"),
    *("device", "actor", "process"),
}
DATE, KEYWORD, BOOLEAN = "date", "keyword", "boolean"
LEADER = {"pid": LONG, "same_as_process": BOOLEAN}
DOCUMENT = {
    "@timestamp": DATE,
    "ecs": {"version": KEYWORD},
    "event": {
        "kind": KEYWORD,
        "category": [KEYWORD],
        "type": [KEYWORD],
        "module": KEYWORD,
        "dataset": KEYWORD,
        "start": DATE,
        "end": DATE,
        "duration": LONG,
    },
    "host": {
        "hostname": KEYWORD,
        "name": KEYWORD,
        "boot": {"id": KEYWORD},
        "pid_ns_ino": KEYWORD,
    },
    "process": {
        "pid": LONG,
        "vpid": LONG,
        "entity_id": KEYWORD,
        "name": KEYWORD,
        "start": DATE,
        "end": DATE,
        "exit_code": LONG,
        "parent": {"pid": LONG, "start": DATE},
        "group_leader": LEADER,
        "session_leader": LEADER,
        "real_user": {"id": KEYWORD},
    },
    "container": {"id": KEYWORD, "name": KEYWORD, "runtime": KEYWORD},
    "orchestrator": {
        "type": KEYWORD,
        "namespace": KEYWORD,
        "resource": {"type": KEYWORD, "name": KEYWORD},
    },
    "pidscope": OBJECT,
}


def fits(value: Any, form: Any) -> bool:
    """Tell whether a value is as a table has it."""
    if isinstance(form, dict):
        known = isinstance(value, dict) and set(value) <= set(form)
        return known and bool(value) and all(fits(it, form[name]) for name, it in value.items())
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(it, form[0]) for it in value)
    if form == OBJECT:
        return isinstance(value, dict)
    if form in (INTEGER, LONG):
        return isinstance(value, int) and not isinstance(value, bool)
    if form == BOOLEAN:
        return isinstance(value, bool)
    patterns = {DATE: r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", UUID: r"[0-9a-f-]{36}"}
    return isinstance(value, str) and bool(re.fullmatch(patterns.get(form, r"(?s).+"), value))


def place(**others: Any) -> Place:
    chains = {1: (), 2: (POD,), 3: (NGINX, SERVICE), 4: (SERVICE,)}
    made = Place(BOOT, "web-1", HOST, lambda ns: WALL + ns, {1: "/", 2: "/kubepods/x"}, chains)
    return made._replace(**others)


def task(alive: bool = False, where: Place | None = None, **others: Any) -> Task:
    numbers, inums = others.pop("numbers", (42, 7)), others.pop("inums", (HOST, HOST + 1))
    lived: Life = life(numbers, inums, start_ns=5 * 10**9, end_ns=6 * 10**9, **others)
    return task_of(lived, where or place(), alive)


TASKS = {
    "of a pod": task(cgroup_id=2, status=256),
    "in a container's service": task(cgroup_id=3, status=9),
    "in a service": task(cgroup_id=4),
    "whose cgroup is not known": task(cgroup_id=99),
    "of the host": task(numbers=(42,), inums=(HOST,), ppid=0, pgid=0, sid=0),
    "alive": task(alive=True),
    "alive, by /proc": task(alive=True, uid=UID_UNKNOWN, cgroup_id=0, parent_start_ns=0),
    "whose status is not known": task(status=None),
    "five levels deep": task(numbers=range(5, 10), inums=range(HOST, HOST + 5)),
}


@pytest.mark.parametrize("of", TASKS)
def test_each_field_is_one_of_the_schemas(of: str) -> None:
    it = TASKS[of]
    event, document = ocsf.event(it, "0.1"), ecs.document(it)
    assert event is not None and document is not None
    assert fits(event, EVENT), event
    assert set(event) >= REQUIRED
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert fits(document, DOCUMENT), document


def test_what_is_not_known_is_absent() -> None:
    event, document = ocsf.event(TASKS["alive, by /proc"], "0.1"), ecs.document(TASKS["alive"])
    assert event is not None and document is not None
    assert event["activity_id"] == 99 and event["activity_name"] == "Running"
    assert not {"user", "terminated_time", "container"} & set(event["process"])
    assert "created_time" not in event["process"]["parent_process"]
    assert "exit_code" not in event and "end" not in document["process"]
    assert (document["event"]["kind"], document["event"]["type"]) == ("state", ["info"])


def test_a_signal_is_no_exit_code() -> None:
    """128 and the signal would be what exit() may have been given, too."""
    it = TASKS["in a container's service"]
    event, document = ocsf.event(it, "0.1"), ecs.document(it)
    assert event is not None and document is not None
    assert "exit_code" not in event and "exit_code" not in document["process"]
    assert event["unmapped"]["pidscope"]["signal"] == document["pidscope"]["signal"] == 9


def test_numbers_are_where_the_schemas_have_them() -> None:
    it = TASKS["of a pod"]
    event, document = ocsf.event(it, "0.1"), ecs.document(it)
    assert event is not None and document is not None
    assert (event["process"]["pid"], event["process"]["namespace_pid"]) == (42, 7)
    assert (document["process"]["pid"], document["process"]["vpid"]) == (42, 7)
    levels = [{"ns": HOST, "tid": 42}, {"ns": HOST + 1, "tid": 7}]
    assert event["unmapped"]["pidscope"]["levels"] == document["pidscope"]["levels"] == levels
    assert event["process"]["cpid"] == document["process"]["entity_id"] == it.cpid
    assert event["process"]["container"]["pod_uuid"] == POD_UID
    assert document["orchestrator"]["resource"] == {"type": "pod", "name": "web-0"}
    assert (event["exit_code"], document["process"]["exit_code"]) == (1, 1)
    assert document["process"]["group_leader"] == {"pid": 42, "same_as_process": True}


@pytest.mark.parametrize("kind", [LifeKind.THREAD, LifeKind.LEADER, LifeKind.EXECED])
def test_what_is_no_process_has_no_place(kind: LifeKind) -> None:
    assert ocsf.event(task(kind=kind), "0.1") is None
    assert ecs.document(task(kind=kind)) is None


def test_without_the_host_there_is_no_event() -> None:
    """Of a file without its head; OCSF requires one of a device's names."""
    it = task(where=place(boot_id=None, host=None, initial_ns=None))
    document = ecs.document(it)
    assert ocsf.event(it, "0.1") is None
    assert document is not None and "host" not in document and fits(document, DOCUMENT)


def test_without_the_wall_clock_there_is_no_event() -> None:
    """Its time is required there; pidscope's own line has null."""
    it = task(where=place(wall_ns=lambda ns: None))
    assert ocsf.event(it, "0.1") is None and ecs.document(it) is None
    line = ndjson.life_line(it)
    assert line["start_time"] is None and line["start_ns"] == "5000000000"


def test_times_are_to_the_nanosecond() -> None:
    it = task(where=place(wall_ns=lambda ns: 1_764_511_385_000_000_007))
    assert forms.timestamp(it.start) == "2025-11-30T14:03:05.000000007Z"
    assert forms.timestamp(task(where=place(wall_ns=lambda ns: 1 << 63)).start) is None


def test_what_is_in_a_service_is_in_no_container() -> None:
    event, document = ocsf.event(TASKS["in a service"], "0.1"), ecs.document(TASKS["in a service"])
    assert event is not None and document is not None
    assert "container" not in event["process"] and "container" not in document
    assert event["unmapped"]["pidscope"]["facts"]["containers"][0]["unit"] == "nginx.service"
    inner = ecs.document(TASKS["in a container's service"])
    assert inner is not None and inner["container"]["name"] == "web"


def test_known_is_not_none() -> None:
    """In none is an empty list; that it is not known, null."""
    assert forms.containers(TASKS["of the host"]) == []
    assert forms.containers(TASKS["whose cgroup is not known"]) is None


def test_the_starts_of_a_thread_by_proc_are_not_its_processes() -> None:
    """A snapshot that was read from /proc has the thread's own start where its leader's stands."""
    alone = {"numbers": (42,), "inums": (HOST,), "tgid": 40, "kind": LifeKind.THREAD}
    assert task(**alone).cpid is not None
    assert task(alive=True, **alone).cpid is not None
    assert task(alive=True, uid=UID_UNKNOWN, **alone).cpid is None
