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
    told = "\n".join(drawing(capsys, "1", "--source", source))
    left_out, _ = re.findall(r"and ([0-9]+) more", told)
    named = told.partition("tasks[PIDTYPE_PGID]")[2].partition("tasks[")[0]
    assert int(left_out) + len(re.findall(r"[0-9]+ init", named)) == 201
    [pid] = document(capsys, "1", "--source", source)["pids"]
    assert len(pid["tasks"]["PGID"]) == 201


# --- what is not seen -----------------------------------------------------------------------------


def test_not_known_is_never_nobody() -> None:
    """A list on which no task is visible may have one on it that is hidden."""
    stage = played("containers")
    everyone = tasks_of(stage)
    alone = [it for it in everyone if it.tid != 19]
    partly = {"nobody_hidden": False, "all_read": False}
    hidden = "\n".join(lines(explained(stage, everyone, 36, **partly)))
    unseen = "\n".join(lines(explained(stage, alone, 36, **partly)))
    assert "= not known: no task is visible" in hidden and "and perhaps others" in hidden
    assert "struct pid 19/1/?  its level is not known: no visible task has" in unseen
    assert "empty" not in unseen


def test_a_thread_whose_leader_went_while_it_was_read(tmp_path: Path) -> None:
    source = scenario(tmp_path, "init: fork -> sh", "sh: clone THREAD -> t")
    stage = played(source.partition(":")[2])
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
    known = {"children_ns": 4026531840, "initial": False, "nobody_hidden": True}
    it = explain(inner[1], inner, **known, all_read=True, ns_is_read=True)  # type: ignore[arg-type]
    told = lines(it)
    assert f"struct pid {number}  level n+0" in told
    assert "   └─ pids[PIDTYPE_SID] ──▶ one that has no number here" in told
    assert told[-1].startswith("n is not known")
    assert not re.search("init_(struct_pid|pid_ns)", "\n".join(told))
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
    ("arguments", "said"),
    [
        (["0"], "not a PID: '0'"),
        (["-5"], "not a PID: '-5'"),
        (["x"], "not a PID: 'x'"),
        ([""], "not a PID: ''"),
        (["99999999"], "not a PID: '99999999'"),
    ],
    ids=str,
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same words as `pidscope lookup`."""
    told = []
    for command in ("explain", "lookup"):
        assert main([command, *arguments, "--source", "simulated"]) == 2
        told.append(capsys.readouterr().err)
    assert told[0] == told[1] and f"pidscope: {said}\n" in told[0]
    assert ("0 stands for" in told[0]) == (arguments == ["0"])


def test_two_forms_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", "36", "-J", "--dot", "--source", "simulated"])
    assert caught.value.code == 2 and "not allowed with" in capsys.readouterr().err


def test_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    pid = os.getpid()
    own = document(capsys, str(pid))
    assert own["task"]["pid"] == pid
    assert own["signal"]["pids"] == {"TGID": pid, "PGID": os.getpgrp(), "SID": os.getsid(0)}
    assert own["pid_ns_for_children"] == Path("/proc/self/ns/pid").stat().st_ino
    assert drawing(capsys, str(pid))[0].startswith(f"task_struct {pid}  ")


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
    command, pipe = [sys.executable, "-c", THREAD], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        tid = int(process.stdout.readline())
        answer = document(capsys, str(tid))
        process.communicate("\n")
    assert answer["group_leader"] == process.pid
    assert answer["signal"]["threads"] == sorted([process.pid, tid])
    tasks = {pid["nr"]: pid["tasks"] for pid in answer["pids"]}
    assert (tasks[tid]["PID"], tasks[tid]["TGID"]) == ([tid], [])
    assert tasks[process.pid]["TGID"] == [process.pid]
