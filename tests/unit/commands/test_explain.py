"""explain, against the pointers of the model itself, which it knows from its /proc only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pidscope.cli import main
from pidscope.events import PidType
from pidscope.model.pid import Pid, find_task_by_pid_ns, task_active_pid_ns
from pidscope.model.sched import TaskStruct
from pidscope.query.explain import Explained, StructPid, explain
from pidscope.query.process import Process, is_complete
from pidscope.render.dot import dot
from pidscope.render.drawing import lines
from pidscope.render.json import explained_json
from pidscope.simulated.stage import Stage, set_stage
from tests.unit.commands.asked import Answer, played, printable, scenario, tasks_of, valid

HELD = (
    "init: fork -> sh",
    "sh: clone NEWPID -> box",
    "box: fork -> job",
    "job: setsid",
    "job: fork -> kid",
    "kid: fork -> grand",
    "job: exit",
    "box: wait",
    "grand: exit",
)


def drawing(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["explain", *arguments]) == 0
    return printable(capsys.readouterr().out)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    assert main(["explain", "-J", *arguments]) == 0
    return valid(capsys.readouterr().out)


def explained(stage: Stage, everyone: list[Process], number: int, **changes: Any) -> Explained:
    procfs = stage.world.procfs
    [task] = [it for it in everyone if it.tid == number]
    known: dict[str, Any] = {
        "initial": True,
        "nobody_hidden": True,
        "all_read": is_complete(everyone),
        "children_ns": procfs.children_ns(number),
        "ns_is_read": procfs.pid_ns(number) is not None,
    }
    return explain(task, everyone, **{**known, **changes})


# --- the truth ------------------------------------------------------------------------------------


def expect_the_pointers_of(task: TaskStruct, it: Explained) -> int:
    """Compare; return how many struct pids have no task of their own."""
    pointers = [task.thread_pid, *task.signal.pids[1:]]
    assert list(it.links.values()) == [pid and pid.numbers[0].nr for pid in pointers]
    by_nr = {pid.numbers[0].nr: pid for pid in pointers if pid is not None}
    assert [pid.nr for pid in it.pids] == list(by_nr)
    for found in it.pids:
        expect_the_pid(by_nr[found.nr], found)
    assert it.threads == sorted(thread.pid for thread in task.signal.threads)
    assert it.leader is not None and it.leader.tid == task.group_leader.pid
    assert (it.parent.pid if it.parent is not None else 0) == task.real_parent.tgid
    children = task.nsproxy and task.nsproxy.pid_ns_for_children
    assert (it.children and it.children.ns) == (children and children.inum)
    active = task_active_pid_ns(task)
    assert active is not None
    assert [space.ns for space in it.spaces][::-1] == [ns.inum for ns in active.outwards()]
    for space, ns in zip(reversed(it.spaces), active.outwards()):
        assert space.level == ns.level
        assert space.init is not None and ns.child_reaper is not None
        assert space.init.tid == ns.child_reaper.signal.pids[PidType.TGID].numbers[0].nr  # type: ignore[union-attr]
    return sum(pid.partial for pid in it.pids)


def expect_the_pid(pid: Pid, found: StructPid) -> None:
    upids = [(upid.nr, upid.ns.inum) for upid in pid.numbers]
    shown = list(zip(found.numbers, found.ns))
    assert shown == upids[: len(shown)]
    own = pid.tasks[PidType.PID] and pid.numbers[0].nr
    assert found.partial == (not own and pid.numbers[0].nr != 0)
    assert found.partial or shown == upids
    for kind in PidType:
        members = {task.pid for task in pid.tasks[kind] if task.pid}  # the swapper is not seen
        assert {task.tid for task in found.tasks[kind.name]} == members


@pytest.mark.parametrize(
    "name", ["containers", "nested", "session", "exec-thread", "random:2", "random:5", "random:11"]
)
def test_the_pointers_are_those_of_the_kernel(name: str) -> None:
    stage = set_stage(name)
    partial = 0
    for step in range(min(stage.steps, 300)):
        stage.world.step()
        if step % 10 and step < stage.steps - 1:
            continue
        everyone = tasks_of(stage)
        for process in everyone:
            task = find_task_by_pid_ns(process.tid, stage.world.kernel.init_pid_ns)
            assert task is not None
            it = explained(stage, everyone, process.tid)
            partial += expect_the_pointers_of(task, it)
            assert all(len(line) < 80 for line in lines(it))
    assert partial or name not in ("session", "random:5")


# --- the drawing ----------------------------------------------------------------------------------


DRAWN = """\
task_struct 36  nginx, state S (sleeping)
├─ thread_pid ───▶ struct pid 36/18
├─ group_leader ─▶ task_struct 36 (itself)
├─ real_parent ──▶ a task_struct of process 19 (nginx)
├─ nsproxy
│  └─ pid_ns_for_children ─▶ pid_namespace 4026531840 (where it lives)
└─ signal ───────▶ signal_struct of process 36, 1 thread
   ├─ pids[PIDTYPE_TGID] ─▶ struct pid 36/18
   ├─ pids[PIDTYPE_PGID] ─▶ struct pid 19/1
   └─ pids[PIDTYPE_SID] ──▶ struct pid 19/1

struct pid 36/18  level 1
├─ numbers[0]           = {nr 36, ns ▶ 4026531836}
├─ numbers[1]           = {nr 18, ns ▶ 4026531840}
├─ tasks[PIDTYPE_PID] ──▶ 36 nginx
├─ tasks[PIDTYPE_TGID] ─▶ 36 nginx
├─ tasks[PIDTYPE_PGID]  = empty
└─ tasks[PIDTYPE_SID]   = empty

struct pid 19/1  level 1
├─ numbers[0]           = {nr 19, ns ▶ 4026531836}
├─ numbers[1]           = {nr 1, ns ▶ 4026531840}
├─ tasks[PIDTYPE_PID] ──▶ 19 nginx
├─ tasks[PIDTYPE_TGID] ─▶ 19 nginx
├─ tasks[PIDTYPE_PGID] ─▶ 19 nginx, 35 nginx, 36 nginx
└─ tasks[PIDTYPE_SID] ──▶ 19 nginx, 35 nginx, 36 nginx

pid_namespace 4026531836 (init_pid_ns)  level 0, child_reaper ▶ 1 systemd
└─ pid_namespace 4026531840  level 1, child_reaper ▶ 19 nginx
   ▲ it lives here, and its children will
"""


def test_a_process_in_a_container(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawing(capsys, "36", "--source", "simulated") == DRAWN.splitlines()


def test_the_number_is_that_of_where(capsys: pytest.CaptureFixture[str]) -> None:
    by_host = drawing(capsys, "36", "--source", "simulated")
    assert drawing(capsys, "18", "--in", "pid:19", "--source", "simulated") == by_host
    assert drawing(capsys, "18", "--in", "ns:4026531841", "--source", "simulated") != by_host


def test_a_thread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = drawing(capsys, "3", "--source", scenario(tmp_path, "init: clone THREAD -> t"))
    assert told[1] == "├─ thread_pid ───▶ struct pid 3"
    assert told[2] == "├─ group_leader ─▶ task_struct 1 (init)"
    assert "└─ signal ───────▶ signal_struct of process 1, 2 threads" in told
    place = told.index("struct pid 3  level 0")
    assert told[place + 3] == "├─ tasks[PIDTYPE_TGID]  = empty"


def test_a_zombie_has_no_nsproxy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = scenario(tmp_path, *HELD)
    told = drawing(capsys, "7", "--source", source)
    assert told[0].endswith("state Z (zombie)")
    assert "├─ nsproxy       = NULL: it has exited" in told
    assert "▲ it lives here" in told[-1]
    assert document(capsys, "7", "--source", source)["pid_ns_for_children"] is None
    assert main(["explain", "7", "--dot", "--source", source]) == 0
    assert "nsproxy" not in capsys.readouterr().out


def test_a_number_without_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = scenario(tmp_path, *HELD)
    told = drawing(capsys, "6", "--source", source)
    place = told.index("struct pid 5/2/?  its level is not known: no task has it as its own")
    assert told[place + 3 : place + 8] == [
        "├─ numbers[…]           = not known",
        "├─ tasks[PIDTYPE_PID]   = empty",
        "├─ tasks[PIDTYPE_TGID]  = empty",
        "├─ tasks[PIDTYPE_PGID] ─▶ 6 init, 7 init",
        "└─ tasks[PIDTYPE_SID] ──▶ 6 init, 7 init",
    ]
    held = [pid for pid in document(capsys, "6", "--source", source)["pids"] if pid["partial"]]
    assert [(pid["nr"], pid["numbers"]) for pid in held] == [(5, [5, 2])]
    assert main(["explain", "5", "--source", source]) == 1
    said = capsys.readouterr().err
    assert "it stays taken, as the group and the session of process 6" in said


def test_who_is_furthest_inwards_shows_most(tmp_path: Path) -> None:
    """A group is left by its first process; one member lives outside, one inside."""
    lines = (
        "init: clone NEWPID -> box",
        "box: setsid",
        "box: fork -> sh",
        "sh: clone NEWPID -> inner",
        "inner: fork -> job",
        "job: setpgid",
        "sh: setpgid 0 job",
        "job: fork -> kid",
        "job: exit",
        "inner: wait",
    )
    stage = played(scenario(tmp_path, *lines).partition(":")[2])
    everyone = tasks_of(stage)
    for number in (4, 7):  # sh and kid
        [held] = [pid for pid in explained(stage, everyone, number).pids if pid.partial]
        assert (held.nr, held.numbers) == (6, [6, 4, 2])
        assert [task.tid for task in held.tasks["PGID"]] == [4, 7]


def test_33_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["init", *(f"box{level}" for level in range(1, 33))]
    lines = [f"{outer}: clone NEWPID -> {box}" for outer, box in zip(names, names[1:])]
    source = scenario(tmp_path, "init: sysctl ns_last_pid 30000", *lines, "box32: fork -> job")
    told = drawing(capsys, "30033", "--source", source)
    assert told[1] == "├─ thread_pid ───▶ struct pid 30033/…/14/13/12/11/10/9/8/7/6/5/4/3/2"
    assert any("level 32, child_reaper ▶ 30032" in line for line in told)
    [pid, *_] = document(capsys, "30033", "--source", source)["pids"]
    assert len(pid["numbers"]) == len(pid["ns"]) == 33


def test_after_unshare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = scenario(tmp_path, "init: fork -> sh", "sh: unshare NEWPID")
    told = drawing(capsys, "3", "--source", source)
    assert any(line.endswith("(not where it lives)") for line in told)
    assert told[-5:] == [
        "pid_namespace 4026531836 (init_pid_ns)  level 0, child_reaper ▶ 1 init",
        "▲ it lives here",
        "└─ pid_namespace 4026531840  level ?,",
        "   child_reaper ▶ NULL, or one that has exited",
        "   ▲ its children will live here",
    ]
    source = scenario(tmp_path, "init: fork -> sh", "sh: unshare NEWPID", "sh: fork -> box")
    told = drawing(capsys, "3", "--source", source)
    assert "└─ pid_namespace 4026531840  level 1, child_reaper ▶ 4 init" in told


def test_hostile_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = scenario(tmp_path, r"init: comm a\"];b\x1b[2J\x0ax".replace('\\"', '"'))
    told = drawing(capsys, "1", "--source", source)
    assert told[0] == r'task_struct 1  a"];b\x1b[2J\x0ax, state S (sleeping)'
    assert main(["explain", "1", "--dot", "--source", source]) == 0
    graph = capsys.readouterr().out
    assert r'label="task_struct 1 a\"];b\\x1b[2J\\x0ax"' in graph
    assert unquoted(graph).isascii() and "2J" not in unquoted(graph)


def unquoted(graph: str) -> str:
    """What is outside the strings, as graphviz reads them."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', "", graph)


@pytest.mark.parametrize("name", ["containers", "random:7"])
def test_the_graph_has_every_node_that_an_edge_names(name: str) -> None:
    stage = played(name)
    everyone = tasks_of(stage)
    for process in everyone:
        graph = unquoted(dot(explained(stage, everyone, process.tid)))
        nodes = set(re.findall(r"^  (\w+) \[label", graph, re.MULTILINE))
        edges = re.findall(r"^  (\w+) -> (\w+) \[label=\];$", graph, re.MULTILINE)
        assert edges and {end for edge in edges for end in edge} <= nodes
        assert f"task_{process.tid}" in nodes


def test_long_lists_are_cut_in_the_drawing_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = scenario(tmp_path, "init: setsid", "200 * init: fork -> child")
    told = drawing(capsys, "1", "--source", source)
    assert sum("more" in line for line in told) == 2
    counted = [re.search(r"and ([0-9]+) more", line) for line in told]
    left_out = next(int(match[1]) for match in counted if match)
    named = "\n".join(told).partition("tasks[PIDTYPE_PGID]")[2].partition("tasks[")[0]
    assert left_out + len(re.findall(r"[0-9]+ init", named)) == 201
    [pid] = document(capsys, "1", "--source", source)["pids"]
    assert len(pid["tasks"]["PGID"]) == 201


# --- what is not seen -----------------------------------------------------------------------------


def test_not_known_is_never_nobody() -> None:
    """A list on which no task is visible may have one on it that is hidden."""
    stage = played("containers")
    everyone = tasks_of(stage)
    whole_ = "\n".join(lines(explained(stage, everyone, 36)))
    hidden = "\n".join(lines(explained(stage, everyone, 36, nobody_hidden=False, all_read=False)))
    assert "empty" in whole_ and "perhaps" not in whole_
    assert "= not known: no task is visible" in hidden and "and perhaps others" in hidden
    alone = [it for it in everyone if it.tid != 19]
    unseen = "\n".join(lines(explained(stage, alone, 36, nobody_hidden=False, all_read=False)))
    assert "struct pid 19/1/?  its level is not known: no visible task has" in unseen
    assert unseen.count("empty") == 0


def test_a_thread_whose_leader_went_while_it_was_read(tmp_path: Path) -> None:
    stage = played(
        scenario(tmp_path, "init: fork -> sh", "sh: clone THREAD -> t").partition(":")[2]
    )
    alone = [task for task in tasks_of(stage) if task.tid != 3]
    told = lines(explained(stage, alone, 4))
    assert "├─ group_leader ─▶ task_struct 3 (?)" in told
    place = told.index("struct pid 3/?  its level is not known: no visible task has it as its own")
    assert told[place + 4] == "├─ tasks[PIDTYPE_TGID]  = not known: no task is visible"


def from_inside(process: Process) -> Process:
    _, *levels = process.levels
    return process._replace(pid=levels[0].pid, tid=levels[0].tid, levels=levels)


def test_from_inside_a_container() -> None:
    """Whoever is outside has no number there: which struct pid it is cannot be told."""
    stage = played("containers")
    inner = [from_inside(it) for it in tasks_of(stage) if it.ns == 4026531840]
    inner[1] = inner[1]._replace(levels=[inner[1].levels[0]._replace(sid=0)])
    number = inner[1].tid
    it = explain(
        inner[1],
        inner,
        initial=False,
        nobody_hidden=True,
        all_read=True,
        children_ns=4026531840,
        ns_is_read=True,
    )
    told = lines(it)
    assert f"struct pid {number}  level n+0" in told
    assert "   └─ pids[PIDTYPE_SID] ──▶ one that has no number here" in told
    assert told[-1].startswith("n is not known")
    assert "init_struct_pid" not in "\n".join(told) and "init_pid_ns" not in "\n".join(told)
    assert not it.all_seen
    assert explained_json(it)["signal"]["pids"]["SID"] is None


@pytest.mark.parametrize(
    ("is_read", "said"),
    [(False, "this user may not read it"), (True, "has had no number 1 yet")],
)
def test_why_the_namespace_of_the_children_is_not_known(is_read: bool, said: str) -> None:
    stage = set_stage("containers")
    everyone = tasks_of(stage)
    it = explained(stage, everyone, 1, children_ns=None, ns_is_read=is_read)
    assert said in " ".join(" ".join(lines(it)).split())


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["777"], 1, "no task has PID 777 in pid:[4026531836]"),
        (["36", "--in", "pid:19"], 1, "no task has PID 36 in pid:[4026531840]"),
        (["36", "--in", "pid:x"], 2, "no such place"),
        (["0"], 2, "not a PID: '0'"),
        (["-5"], 2, "-5"),
        (["x"], 2, "not a PID: 'x'"),
        (["36", "-J", "--dot"], 2, "not allowed with"),
    ],
)
def test_refusals(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert main(["explain", *arguments, "--source", "simulated"]) == code
    except SystemExit as error:
        assert error.code == code
    assert said in capsys.readouterr().err


def test_the_document_names_what_the_drawing_does(capsys: pytest.CaptureFixture[str]) -> None:
    answer = document(capsys, "36", "--source", "simulated")
    assert answer["complete"] is True
    assert answer["task"]["id"].startswith("36@")
    assert (answer["thread_pid"], answer["group_leader"], answer["real_parent"]) == (36, 36, 19)
    assert answer["signal"] == {"pids": {"TGID": 36, "PGID": 19, "SID": 19}, "threads": [36]}
    assert [space["child_reaper"] for space in answer["namespaces"]] == [1, 19]
    assert answer["pid_ns_for_children"] == 4026531840
    assert [pid["nr"] for pid in answer["pids"]] == [36, 19]


def test_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    own = document(capsys, str(os.getpid()))
    assert own["task"]["pid"] == os.getpid()
    assert own["signal"]["pids"] == {
        "TGID": os.getpid(),
        "PGID": os.getpgrp(),
        "SID": os.getsid(0),
    }
    assert own["pid_ns_for_children"] == Path("/proc/self/ns/pid").stat().st_ino
    assert drawing(capsys, str(os.getpid()))[0].startswith(f"task_struct {os.getpid()}  ")


THREAD = """
import threading
done = threading.Event()
thread = threading.Thread(target=done.wait, daemon=True)
thread.start()
print(thread.native_id, flush=True)
input()
done.set()
"""


def test_a_thread_of_a_living_process(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", THREAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        tid = int(process.stdout.readline())
        answer = document(capsys, str(tid))
        process.communicate("\n")
    assert answer["group_leader"] == process.pid
    assert answer["signal"]["threads"] == sorted([process.pid, tid])
    tasks = {pid["nr"]: pid["tasks"] for pid in answer["pids"]}
    assert (tasks[tid]["PID"], tasks[tid]["TGID"]) == ([tid], [])
    assert tasks[process.pid]["TGID"] == [process.pid]
