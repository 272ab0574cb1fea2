from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pidscope.commands import ns, ps
from pidscope.errors import HostError, NotFound, UsageError
from pidscope.escape import unescape
from pidscope.gc_pause import gc_paused
from tests import CHECKOUT
from tests.unit.commands.asked import (
    AS_USER,
    STATUS,
    Answer,
    alive,
    needs_root,
    put_proc,
    run,
    valid,
)

NOBODY = 65534
CONTAINER = ("unshare", "-p", "-f", "--mount-proc")
NAMED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """``ps -J`` with more options, as a valid document."""

    def ask(*arguments: str) -> Answer:
        assert run(ps, "-J", *arguments) == 0
        return valid(capsys.readouterr().out)

    return ask


def numbers(document: Answer) -> list[int]:
    return [process["pid"] for process in document["processes"]]


def below(document: Answer, pid: int) -> dict[str, list[Answer]]:
    """The descendants of ``pid`` by name."""
    family = {pid}
    named: dict[str, list[Answer]] = {}
    for _ in range(9):
        for process in document["processes"]:
            if process["levels"][0]["ppid"] in family and process["pid"] not in family:
                family.add(process["pid"])
                named.setdefault(process["comm"], []).append(process)
    return named


# --- as any user -----------------------------------------------------------------------------


def test_the_document_tells_of_this_process(answer: Callable[..., Answer]) -> None:
    document = answer()
    assert document["source"] == document["mode"] == "proc"
    assert document["host"] == os.uname().nodename
    [own] = [it for it in document["processes"] if it["pid"] == os.getpid()]
    [level] = own["levels"]
    assert level == {
        "ns": Path("/proc/self/ns/pid").stat().st_ino,
        "tid": os.getpid(),
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "pgid": os.getpgrp(),
        "sid": os.getsid(0),
        "container": None,
    }
    assert own["start_time"].endswith("Z")


@pytest.mark.parametrize(
    "name",
    [b"a\x1b[2Jb", b"x\ny", b"a\\nb", b"p) R (", b"", b"\xff\xfe", "\u202eabc".encode(), b" a  b"],
)
def test_hostile_names_come_back_as_they_are(
    name: bytes, answer: Callable[..., Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    with alive(sys.executable, "-c", NAMED, name.hex()) as pid:
        [process] = [it for it in answer()["processes"] if it["pid"] == pid]
        assert unescape(process["comm"]) == name
        assert run(ps) == 0
    lines = capsys.readouterr().out.split("\n")
    assert all(line.isprintable() for line in lines)
    assert [line.split()[0] for line in lines if line].count(str(pid)) == 1


@pytest.mark.parametrize("column", ["START", "ID"])
def test_a_start_is_read_if_it_is_shown(
    column: str, answer: Callable[..., Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    [own] = [it for it in answer()["processes"] if it["pid"] == os.getpid()]
    assert run(ps, "-n", "-o", f"PID,{column}") == 0
    cells = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert cells[str(os.getpid())] == own["start_time" if column == "START" else "id"]


def test_the_collector_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), gc_paused():
        assert not gc.isenabled()
        assert run(ps) == 0
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()


def test_zombies_and_only_they(answer: Callable[..., Answer]) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    document = answer("--zombies")
    child.wait()
    assert child.pid in numbers(document)
    assert {it["state"] for it in document["processes"]} == {"Z"}


def test_the_table_has_no_headings_if_told(capsys: pytest.CaptureFixture[str]) -> None:
    run(ps)
    heading = capsys.readouterr().out.partition("\n")[0]
    assert heading.split() == ["PID", "NSPID", "NS", "PPID", "PGID", "SID", "STAT", "COMM"]
    run(ps, "-n", "-o", "pid")
    assert str(os.getpid()) in capsys.readouterr().out.split()
    run(ps, "-n", "-o", "+id")
    assert f"{os.getpid()}@" in capsys.readouterr().out


@pytest.mark.parametrize(
    "where", ["id:", "pod:x/", "pid:", "pid:x", "pid:[1", "ns:[1]", "ns:-1", ""]
)
def test_an_unknown_place_is_wrong_usage(where: str) -> None:
    with pytest.raises(UsageError, match="no such place"):
        run(ps, "--in", where)


def test_a_place_that_is_not_there() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(NotFound, match="no process"):
        run(ps, "--in", f"pid:{child.pid}")
    with pytest.raises(NotFound, match=r"no PID namespace pid:\[1\]"):
        run(ps, "--in", "ns:1")


@pytest.mark.parametrize("command", [ps, ns], ids=["ps", "ns"])
def test_an_unknown_column_is_wrong_usage(command: Any) -> None:
    with pytest.raises(UsageError, match="no column 'CMD'"):
        run(command, "-o", "NS,CMD")


def test_self_is_where_this_process_is(answer: Callable[..., Answer]) -> None:
    for where in ("self", f"pid:{os.getpid()}"):
        assert os.getpid() in numbers(answer("--in", where))


def test_host_is_the_initial_namespace_or_refused(
    answer: Callable[..., Answer], tmp_path: Path
) -> None:
    if answer()["outermost"]["initial"]:
        assert os.getpid() in numbers(answer("--in", "host"))
    put_proc(tmp_path)
    with pytest.raises(HostError, match=r"pid:\[77\], which is not known to be the host's"):
        run(ps, "--proc", str(tmp_path), "--in", "host")


@pytest.mark.parametrize("command", [ps, ns], ids=["ps", "ns"])
def test_a_root_that_is_no_proc(command: Any, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not a mounted proc"):
        run(command, "--proc", str(tmp_path))


def test_complete_is_false_where_init_is_hidden(
    tmp_path: Path, answer: Callable[..., Answer]
) -> None:
    put_proc(tmp_path)
    assert answer("--proc", str(tmp_path))["complete"] is False
    (tmp_path / "1" / "status").write_text(STATUS.format(1))
    assert answer("--proc", str(tmp_path))["complete"] is True


def test_a_kernel_without_pid_namespaces_says_so(tmp_path: Path) -> None:
    put_proc(tmp_path)
    status = tmp_path / "7" / "status"
    status.write_text(status.read_text().partition("NStgid")[0])
    with pytest.raises(HostError, match="no NS lines") as caught:
        run(ps, "--proc", str(tmp_path))
    assert "CONFIG_PID_NS" in caught.value.hint


# --- as root, with three nested namespaces alive ---------------------------------------------


@needs_root
def test_the_tree_at_every_level(tree: int, answer: Callable[..., Answer]) -> None:
    document = answer()
    named = below(document, tree)
    [job] = named["job"]
    chain = [level["ns"] for level in job["levels"]]
    assert len(set(chain)) == 4
    assert job["ns"] == chain[3] == Path(f"/proc/{job['pid']}/ns/pid").stat().st_ino
    inits = sorted(named["init"], key=lambda it: len(it["levels"]))
    innermost = [it["levels"][-1] for it in inits]
    assert [(level["pid"], level["ppid"]) for level in innermost] == [(1, 0)] * 3
    parents = [level["ppid"] for level in job["levels"]]
    assert parents == [level["pid"] for level in inits[2]["levels"]]
    [database] = named["db"]
    assert database["levels"][-1]["sid"] == database["levels"][-1]["pid"]
    assert job["levels"][-1]["sid"] == 0


@needs_root
def test_in_is_a_namespace_with_those_inside_it(tree: int, answer: Callable[..., Answer]) -> None:
    named = below(answer(), tree)
    [database] = named["db"]
    inside = {it["comm"] for it in answer("--in", f"pid:{database['pid']}")["processes"]}
    assert inside == {"init", "db", "runtime", "job"}
    for where in (f"ns:{database['ns']}", f"pid:[{database['ns']}]"):
        exact = answer("--in", where, "--exact")["processes"]
        assert sorted(it["comm"] for it in exact) == ["db", "init", "runtime"]
    outermost = answer("--exact")["processes"]
    assert {len(it["levels"]) for it in outermost} == {1}


@needs_root
def test_threads(tree: int, answer: Callable[..., Answer]) -> None:
    [database] = below(answer(), tree)["db"]
    found = answer("--threads", "--in", f"ns:{database['ns']}")["processes"]
    threads = [it for it in found if it["pid"] == database["pid"]]
    assert [it["tid"] for it in threads] == sorted(
        int(path.name) for path in Path(f"/proc/{database['pid']}/task").iterdir()
    )
    assert len({it["levels"][-1]["tid"] for it in threads}) == len(threads) > 1
    assert {it["levels"][-1]["pid"] for it in threads} == {database["levels"][-1]["pid"]}


@needs_root
def test_who_comes_from_outside_is_marked(tree: int, answer: Callable[..., Answer]) -> None:
    [cron] = below(answer(), tree)["cron"]
    command = ["nsenter", "-t", str(cron["pid"]), "-p", "sh", "-c", "echo; read x; :"]
    with alive(*command):
        joined = [it for it in answer()["processes"] if it["joined"]]
    [shell] = [it for it in joined if it["ns"] == cron["ns"]]
    assert shell["comm"] == "sh"
    assert shell["levels"][-1]["ppid"] == 0
    assert cron["joined"] is False


def as_user(uid: int, place: Sequence[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*place, sys.executable, "-c", AS_USER, str(uid), "ps", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)


@needs_root
def test_nobody_sees_all_numbers_and_is_told_what_is_missing() -> None:
    """In a namespace with a /proc of its own, where nothing else runs."""
    with alive(*CONTAINER, sys.executable, "scripts/workload", "tree") as outside:
        namespace = f"--pid=/proc/{outside}/ns/pid_for_children"
        place = ("nsenter", f"--mount=/proc/{outside}/ns/mnt", namespace)
        as_root = json.loads(as_user(0, place, "-J").stdout)
        assert as_root["complete"] is True
        [job] = below(as_root, 1)["job"]
        document = valid(as_user(NOBODY, place, "-J").stdout)
        assert document["complete"] is False
        [seen] = below(document, 1)["job"]
        own, *hidden = job["levels"]
        assert own["ns"] == as_root["outermost"]["ns"] and len(hidden) == 3
        assert seen["levels"] == [
            own,
            *({**level, "ns": None, "container": None} for level in hidden),
        ]
        text = as_user(NOBODY, place)
        assert text.returncode == 0 and "run as root" in text.stderr
        hidden = as_user(NOBODY, place, "--in", f"pid:{job['pid']}")
        assert "HostError: this user may not read the namespace" in hidden.stderr
        absent = as_user(NOBODY, place, "--in", f"ns:{job['ns']}")
        assert "HostError: no PID namespace pid:[" in absent.stderr


# --- as root, somewhere else -----------------------------------------------------------------

CONTAINER_WITHOUT_ITS_PROC = ("unshare", "-p", "-f")


def elsewhere(place: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = as_user(0, place, *arguments)
    done.check_returncode()
    return done


@needs_root
def test_a_container_is_right_about_itself_and_says_where_it_is() -> None:
    text = elsewhere(CONTAINER, "-n", "-o", "PID,NSPID,LEVEL,COMM")
    assert text.stdout.split()[:3] == ["1", "1", "0"]
    said = " ".join(line.removeprefix("pidscope: ") for line in text.stderr.splitlines())
    document = valid(elsewhere(CONTAINER, "-J").stdout)
    [only] = document["processes"]
    assert document["outermost"] == {"ns": only["ns"], "initial": False}
    assert document["complete"] is True
    assert re.fullmatch(r"read from pid:\[[0-9]+\], not from the host: .*", said)


@needs_root
def test_a_container_with_the_hosts_proc_has_the_hosts_numbers(
    tree: int, answer: Callable[..., Answer]
) -> None:
    text = elsewhere(CONTAINER_WITHOUT_ITS_PROC)
    assert ("read from pid:[" in text.stderr) == (not answer()["outermost"]["initial"])
    document = valid(elsewhere(CONTAINER_WITHOUT_ITS_PROC, "-J").stdout)
    here = answer()
    assert document["outermost"] == here["outermost"]
    assert below(document, tree) == below(here, tree)


@needs_root
def test_self_is_the_container_in_the_hosts_proc() -> None:
    document = json.loads(elsewhere(CONTAINER_WITHOUT_ITS_PROC, "-J", "--in", "self").stdout)
    [own] = document["processes"]
    assert [level["pid"] for level in own["levels"]] == [own["pid"], 1]
    assert own["levels"][0]["ns"] == Path("/proc/self/ns/pid").stat().st_ino


@needs_root
@pytest.mark.parametrize("offset", ["86400", "-5"])
def test_a_time_namespace_shifts_nothing(offset: str, answer: Callable[..., Answer]) -> None:
    place = ("unshare", "-T", "--boottime", offset, "-f")
    seen = valid(elsewhere(place, "-J").stdout)
    starts = [
        {it["pid"]: (it["id"], it["start_time"]) for it in document["processes"]}
        for document in (seen, answer())
    ]
    assert starts[0][os.getpid()] == starts[1][os.getpid()]
