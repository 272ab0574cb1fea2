"""NumberIndex from one namespace to another: the plain rules, and the command on scenarios."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pidscope import cli
from pidscope.containers.container import Container
from pidscope.query.ended import Ended
from pidscope.query.lookup import Answer, Held, Numbered, NumberIndex, number_in, tids
from pidscope.query.process import Level, Process
from pidscope.simulated.procfs import SimulatedProcFs
from pidscope.simulated.scenario import builtin_names
from pidscope.simulated.stage import set_stage
from pidscope.sources.listing import Listed
from pidscope.sources.playback import play
from tests import CHECKOUT
from tests.unit.commands.asked import STATUS, needs_root, played, put_proc, tasks_of, valid

HOST, BOX, DEEP = 4026531836, 4026531840, 4026531841

Run = Callable[..., tuple[int, list[list[str]], list[str]]]


@pytest.fixture
def lookup(capfd: pytest.CaptureFixture[str]) -> Run:
    """The command's status, its cells, and what it said on standard error."""

    def run(*arguments: str, source: str = "session") -> tuple[int, list[list[str]], list[str]]:
        code = cli.main(["lookup", *arguments, "--source", f"simulated:{source}"])
        out, err = capfd.readouterr()
        lines = out.splitlines()
        assert all(len(line) < 80 and line.isprintable() for line in [*lines, *err.splitlines()])
        assert all(line.startswith("pidscope: ") for line in err.splitlines())
        said = [line.removeprefix("pidscope: ") for line in err.splitlines()]
        return code, [line.split() for line in lines], said

    return run


@pytest.fixture
def document(capfd: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """The entries of a valid document."""

    def ask(*arguments: str, source: str = "session") -> list[dict[str, Any]]:
        cli.main(["lookup", "-J", *arguments, "--source", f"simulated:{source}"])
        made = valid(capfd.readouterr().out)
        assert made["source"] == f"simulated:{source}"
        found: list[dict[str, Any]] = made["lookups"]
        return found

    return ask


# --- the rules -------------------------------------------------------------------------------


def task(*tid: int, pid: tuple[int, ...] = (), pgid: int = 0, sid: int = 0) -> Process:
    """A task of two levels; its group and session have the given number in the inner one."""
    levels = [
        Level(ns=HOST, tid=tid[0], pid=(pid or tid)[0], ppid=1, pgid=pgid + 1000, sid=sid + 1000),
        Level(ns=BOX, tid=tid[1], pid=(pid or tid)[1], ppid=1, pgid=pgid, sid=sid),
    ]
    return Process(
        pid=levels[0].pid, tid=tid[0], id="", comm="x", state="S", start_time="", ns=BOX,
        joined=False, container=None, levels=levels,
    )  # fmt: skip


def test_a_number_counts_in_its_namespace_only() -> None:
    tasks = [task(42, 17), task(17, 5)]
    assert NumberIndex(tasks, BOX).what_has(17).task is tasks[0]
    assert NumberIndex(tasks, HOST).what_has(17).task is tasks[1]
    assert NumberIndex(tasks, None).what_has(17).task is tasks[1]
    assert NumberIndex(tasks, DEEP).what_has(17).task is None
    assert NumberIndex(tasks, BOX).processes() == [42, 17]


def test_a_number_without_a_task_is_held_by_its_group_and_its_session() -> None:
    members = [task(42, 17, pgid=9, sid=3), task(43, 18, pgid=8, sid=9)]
    known = NumberIndex([*members, task(44, 19, pid=(42, 17), pgid=9, sid=3)], BOX)
    assert known.what_has(9).held == Held((Numbered(HOST, 1009), Numbered(BOX, 9)), (42,), (43,))
    assert known.what_has(7).held is None and known.what_has(7).task is None


def test_further_inwards_than_its_members_a_held_number_is_not_known() -> None:
    taken = NumberIndex([task(42, 17, pgid=9)], BOX).what_has(9)
    assert Answer(BOX, HOST, taken).translated == 1009
    assert Answer(BOX, DEEP, taken).translated is None
    assert Answer(BOX, DEEP, NumberIndex([task(42, 17)], BOX).what_has(17)).translated == 0


def test_who_has_a_number_of_its_own_does_not_hold_it() -> None:
    leader = task(42, 17, pgid=17, sid=17)
    assert NumberIndex([leader], BOX).what_has(17).held is None


def test_the_number_elsewhere_is_known_absent_or_unknown() -> None:
    levels = tids(task(42, 17))
    assert [number_in(levels, ns) for ns in (None, HOST, BOX, DEEP)] == [42, 42, 17, 0]
    hidden = (Numbered(HOST, 42), Numbered(None, 17))
    assert [number_in(hidden, ns) for ns in (None, HOST, BOX)] == [42, 42, None]


@pytest.mark.parametrize("name", [*builtin_names(), "random:1", "random:2", "random:3"])
def test_every_number_of_every_namespace_is_as_the_table_has_it(name: str) -> None:
    """The table is rebuilt from events, the look-up from /proc: they share no code."""
    stage = set_stage(name)
    table = play(stage.world).table
    everyone = tasks_of(stage)
    compared = 0
    for ns in table.namespaces.values():
        known = NumberIndex(everyone, ns.inum)
        for number in {*range(1, 80), *ns.pids}:
            taken, pid = known.what_has(number), ns.pids.get(number)
            if pid is None:
                assert taken.task is None and taken.held is None
            elif pid.task is not None:
                assert taken.task is not None and taken.held is None
                assert [tid for _, tid in tids(taken.task)] == list(pid.numbers)
                compared += 1
            else:
                assert taken.task is None and taken.held is not None
                numbers = tuple(number for _, number in taken.held.levels)
                assert numbers == pid.numbers[: len(numbers)]
                leaders = {group.tgid.nr for group in pid.groups if group.tgid is not None}
                assert set(taken.held.group) == leaders
    assert compared >= 8


# --- the command, as text --------------------------------------------------------------------


def test_a_number_of_a_container_is_translated(lookup: Run) -> None:
    code, lines, said = lookup("17", "18", "--in", "pid:19", source="containers")
    assert lines == [
        ["NUMBER", "TO", "NSPID", "NS", "COMM", "WHAT"],
        ["17", "35", "35", "17", str(BOX), "nginx", "process"],
        ["18", "36", "36", "18", str(BOX), "nginx", "process"],
    ]
    assert (code, said) == (0, [])


def test_and_back_again(lookup: Run) -> None:
    code, lines, _ = lookup("35", "--to", f"ns:{BOX}", "-n", source="containers")
    assert (code, lines) == (0, [["35", "17", "35", "17", str(BOX), "nginx", "process"]])


def test_only_the_number_for_a_script(lookup: Run) -> None:
    code, lines, said = lookup("-q", "17", "--in", "pid:19", source="containers")
    assert (code, lines, said) == (0, [["35"]], [])
    code, lines, said = lookup("-q", "17", "--in", "pid:19", "--to", "pid:42", source="containers")
    assert (code, lines) == (1, [])
    assert said == [f"no number in pid:[{DEEP}] for 17 in pid:[{BOX}]"]


def test_a_thread_is_told_with_its_process_as_that_namespace_counts(
    lookup: Run, capfd: Any
) -> None:
    host = [process.tid for process in tasks_of(played("containers")) if not process.is_leader]
    for tid in host:
        code, lines, _ = lookup("-n", str(tid), source="containers")
        assert code == 0 and lines[0][0] == lines[0][1] == str(tid)
        assert lines[0][-5:-3] == ["thread", str(tid)]


def test_no_thread_is_looked_for_whose_number_names_its_file(
    lookup: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = next(it.tid for it in tasks_of(played("containers")) if not it.is_leader)

    def listed(self: SimulatedProcFs, number: int) -> list[int]:
        raise AssertionError(f"the threads of {number} were listed")

    monkeypatch.setattr(SimulatedProcFs, "threads", listed)
    assert lookup("-q", str(thread), source="containers")[1] == [[str(thread)]]


def test_a_thread_inside_is_found_by_its_inner_number(lookup: Run, tmp_path: Path) -> None:
    mine = tmp_path / "t.scenario"
    mine.write_text("init: clone NEWPID -> box\nbox: fork -> web = 2\nweb: clone THREAD -> t = 3\n")
    code, lines, _ = lookup("3", "--in", "pid:3", "-n", "-o", "TO,WHAT", source=str(mine))
    assert (code, lines) == (0, [["5", "thread", "3", "of", "process", "2"]])
    code, lines, _ = lookup("5", "-n", "-o", "WHAT,NSTGID", source=str(mine))
    assert lines == [["thread", "5", "of", "process", "4", "4", "2"]]
    assert lookup("-q", "3", "--in", "pid:3", source=str(mine))[1] == [["5"]]


def test_a_number_that_only_a_session_has_is_no_process(lookup: Run) -> None:
    code, lines, said = lookup("9", "--in", "pid:3", "-n", "-o", "TO,NSPID,COMM,WHAT")
    assert " ".join(lines[0]) == "12 12 9 - no process: session of 1, group of 1"
    assert (code, said) == (1, [])
    code, lines, said = lookup("-q", "9", "--in", "pid:3")
    assert (code, lines) == (1, [])
    assert said == [f"no process has PID 9 in pid:[{BOX}]: a group or session has it"]


def test_who_ended_is_told_with_when_how_and_whether_it_was_given_out_again(lookup: Run) -> None:
    code, lines, said = lookup(
        "5", "300", "--in", "pid:4", "-n", "-o", "TO,COMM,WHAT", source="reuse"
    )
    texts = [" ".join(line) for line in lines]
    assert texts[0] == "9 report process"
    assert texts[1].startswith("8 backup ended ") and texts[1].endswith(":03, status 0, reused")
    assert texts[2] == "15 job process" and "reused" in texts[3]
    assert (code, said) == (0, [])
    code, lines, said = lookup("12", "-n", "-o", "COMM,WHAT", source="dying-init")
    [text] = [" ".join(line) for line in lines]
    assert text.startswith("sh ended ") and text.endswith(":32, signal 9")
    assert (code, said) == (1, [])
    code, lines, said = lookup("-q", "12", source="dying-init")
    assert (code, lines, said) == (1, [], [f"no process has PID 12 in pid:[{HOST}] now"])


def test_a_thread_that_ended_is_told_as_the_namespace_counts(lookup: Run) -> None:
    _, [inside], _ = lookup("3", "--in", "pid:4", "-n", "-o", "WHAT", source="exec-thread")
    assert inside[:3] == ["thread", "of", "2,"]
    _, [outside], _ = lookup("6", "-n", "-o", "WHAT", source="exec-thread")
    assert outside[:3] == ["thread", "of", "5,"]


def test_who_entered_from_outside_is_marked(lookup: Run) -> None:
    _, lines, _ = lookup("12", "13", "-n", "-o", "STAT,WHAT", source="nested")
    assert lines == [["Sj", "process,", "joined"], ["S", "process"]]


def test_a_zombie_is_told_with_who_does_not_wait(lookup: Run, tmp_path: Path) -> None:
    mine = tmp_path / "z.scenario"
    mine.write_text("init: clone NEWPID -> box\nbox: fork -> dead = 2\ndead: exit 3\n")
    code, lines, _ = lookup("2", "--in", "pid:3", "-n", "-o", "WHAT", source=str(mine))
    assert (code, lines) == (0, [["zombie,", "1", "has", "yet", "to", "wait"]])
    _, lines, _ = lookup("19", "-n", "-o", "WHAT", source="dying-init")
    assert " ".join(lines[0]) == "zombie, 11 has yet to wait, joined"
    _, lines, _ = lookup("3", "--in", "pid:17", "-n", "-o", "WHAT", source="dying-init")
    assert " ".join(lines[0]) == "zombie, its parent has yet to wait, joined"


def test_nobody_has_it_and_the_record_goes_back_to_the_boot(lookup: Run) -> None:
    code, lines, said = lookup("99", "98", "--in", "pid:3", "-n")
    assert (code, lines) == (1, [])
    text = f"no process has PID 99 or 98 in pid:[{BOX}], and none had it before"
    assert " ".join(said) == text


def test_what_the_record_has_dropped_is_not_known(
    lookup: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ended.__init__, "__defaults__", (1,))
    code, _, said = lookup("99", source="dying-init")
    assert code == 4
    assert said[1] == "what had it before is not known: only the last 1 that ended are kept"


def test_many_missing_numbers_are_one_line(lookup: Run) -> None:
    _, _, said = lookup(*map(str, range(100, 115)))
    text = " ".join(said)
    assert text.startswith("no process has PID 100, 101, ") and ", 109 or 5 others in " in text


def test_a_column_and_its_heading_and_an_unknown_one(lookup: Run) -> None:
    _, lines, _ = lookup("2", "-o", "+level,stat", source="containers")
    assert lines[0][-2:] == ["LEVEL", "STAT"] and lines[1][-2:] == ["0", "S"]
    code, _, said = lookup("2", "-o", "CMD")
    assert code == 2 and "no column 'CMD'" in said[0]


# --- standard input, and what is no number ---------------------------------------------------


def given(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_numbers_from_standard_input(lookup: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"17\n\n 18\t1\n")
    code, lines, _ = lookup("2", "-", "--in", "pid:19", "-q", source="containers")
    assert (code, lines) == (1, [["35"], ["36"], ["19"]])


@pytest.mark.parametrize(
    "word", ["x", "-1x", "0", "1.5", "4194305", "99999999999", "\u0661", "0x1"]
)
def test_what_is_no_number_is_wrong_usage(
    word: str, lookup: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, f"1 {word}".encode())
    code, lines, said = lookup("-")
    assert (code, lines) == (2, []) and said[0].startswith("not a PID: '")


def test_what_0_stands_for_is_told(lookup: Run) -> None:
    code, _, said = lookup("0")
    assert code == 2 and "a task that has no number there" in " ".join(said)


@pytest.mark.parametrize("raw", [b"\x1b[2J", b"\xff\xfe", b"1\x00"])
def test_hostile_input_is_escaped(raw: bytes, lookup: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, raw)
    assert lookup("-")[0] == 2


def test_endless_input_is_refused(lookup: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"1 " * (1 << 20))
    code, _, said = lookup("-")
    assert code == 2 and "more than 1 MiB" in said[0]


def test_no_standard_input_at_all(lookup: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert lookup("-")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["1", "-q", "-J"], 2, "do not go together"),
        (["1", "--in", "pid:x"], 2, "'pid:x': no such place"),
        (["1", "--to", "ns:"], 2, "'ns:': no such place"),
        (["1", "--in", "ns:7"], 1, "no PID namespace pid:[7]"),
        (["1", "--in", "pid:999"], 1, "no process 999"),
        (["1", "--in", "name:web"], 3, "containers cannot be named here"),
        (["1", "-o", "CONTAINER"], 2, "none is known to --source"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, list) else None,
)
def test_what_cannot_be_answered(lookup: Run, arguments: list[str], code: int, named: str) -> None:
    got, lines, said = lookup(*arguments)
    assert (got, lines) == (code, []) and named in said[0]


# --- with containers, as whoever names them will tell of them --------------------------------


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """web is nginx's container; db is called so twice."""
    web, db = Container("docker", "ab" * 32, "web"), Container("docker", "cd" * 32, "\x1bdb")
    chains = {19: (web,), 35: (web,), 36: (web,), 42: (db,)}
    monkeypatch.setattr(Listed, "containers", lambda self, cgroups: chains)
    monkeypatch.setattr(SimulatedProcFs, "sees_cgroups_whole", lambda self: True)


@pytest.mark.usefixtures("named")
def test_a_container_by_its_name(lookup: Run, capfd: Any) -> None:
    for where in ("web", "name:web", "id:abab", "abab"):
        assert lookup("-q", "17", "--in", where, source="containers")[1] == [["35"]]
    _, lines, _ = lookup("17", "--in", "web", "-n", "-o", "TO,CONTAINER", source="containers")
    assert lines == [["35", "web"]]
    cli.main(["ns", "--source", "simulated", "-o", "INIT,CONTAINER"])
    assert [line.split() for line in capfd.readouterr().out.splitlines()] == [
        ["INIT", "CONTAINER"], ["1", "-"], ["19", "web"], ["42", "\\x1bdb"],
    ]  # fmt: skip
    cli.main(["ps", "--source", "simulated", "--in", "web", "-o", "PID,CONTAINER", "-n"])
    assert capfd.readouterr().out.split() == ["19", "web", "35", "web", "36", "web"]


@pytest.mark.usefixtures("named")
def test_an_ambiguous_word_lists_what_it_may_be(
    lookup: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = {19: (Container("docker", "ab" * 32, "x"),), 42: (Container("podman", "cd" * 32, "x"),)}
    monkeypatch.setattr(Listed, "containers", lambda self, cgroups: same)
    code, lines, said = lookup("17", "--in", "x", source="containers")
    assert (code, lines) == (2, [])
    assert said == [
        "'x' is more than one place",
        "one of these:",
        f"ns:{BOX}  docker container x",
        f"ns:{DEEP}  podman container x",
    ]


def test_a_shared_namespace_is_told(lookup: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chains = {
        19: (Container("docker", "ab" * 32, "web"),),
        35: (Container("docker", "cd" * 32, "side"),),
    }
    monkeypatch.setattr(Listed, "containers", lambda self, cgroups: chains)
    code, _, said = lookup("17", "--in", "side", "-n", source="containers")
    assert code == 0
    assert " ".join(said) == f"docker container side shares pid:[{BOX}] with docker container web"


@pytest.mark.usefixtures("named")
def test_containers_in_json(document: Any, capfd: Any) -> None:
    [entry] = document("17", "--in", "web", source="containers")
    assert entry["process"]["container"]["name"] == "web"
    cli.main(["ns", "-J", "--source", "simulated"])
    made = valid(capfd.readouterr().out)
    assert [ns["container"] and ns["container"]["name"] for ns in made["namespaces"]] == [
        None, "web", "\\x1bdb",
    ]  # fmt: skip


# --- the command, in JSON --------------------------------------------------------------------


def test_json_of_one_who_lives_and_one_who_did(document: Any) -> None:
    [entry] = document("5", "--in", "pid:4", source="reuse")
    assert (entry["number"], entry["ns"], entry["to"]) == (5, BOX, {"ns": HOST, "number": 9})
    assert entry["process"]["comm"] == "report" and entry["held"] is None
    [life] = entry["ended"]
    assert life == {
        "pid": 8, "tid": 8, "comm": "backup",
        "start_time": "2026-01-01T00:00:02Z", "start_ns": life["start_ns"],
        "exited_time": "2026-01-01T00:00:03Z", "exited_ns": "3000039000",
        "released_ns": "3000040000", "exit_status": 0, "signal": None, "given_out_again": True,
        "levels": [{"ns": HOST, "tid": 8, "pid": 8}, {"ns": BOX, "tid": 5, "pid": 5}],
    }  # fmt: skip


def test_json_of_a_held_number_and_of_nobody(document: Any) -> None:
    held, nobody = document("9", "77", "--in", "pid:3")
    assert held["process"] is None and held["to"]["number"] == 12
    assert held["held"] == {
        "levels": [{"ns": HOST, "number": 12}, {"ns": BOX, "number": 9}],
        "group": [13],
        "session": [13],
    }
    assert held["ended"][0]["given_out_again"] is False
    assert (nobody["process"], nobody["held"], nobody["ended"]) == (None, None, [])
    assert nobody["to"]["number"] is None


def test_json_of_one_whom_a_signal_ended(document: Any) -> None:
    [entry] = document("12", source="dying-init")
    assert (entry["ended"][0]["exit_status"], entry["ended"][0]["signal"]) == (None, 9)


# --- this host -------------------------------------------------------------------------------


def live(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pidscope", "lookup", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)


def test_this_process_is_what_it_is() -> None:
    done = live("-q", str(os.getpid()))
    assert (done.returncode, done.stdout) == (0, f"{os.getpid()}\n")


def test_of_the_dead_nothing_is_known_here() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    done = live(str(child.pid))
    assert (done.returncode, done.stdout) == (4, "")
    assert "nothing was recording" in done.stderr and "pidscope watch" in done.stderr
    made = valid(live("-J", str(child.pid)).stdout)
    assert made["lookups"][0]["ended"] is None
    quiet = live("-q", str(child.pid))
    assert (quiet.returncode, quiet.stdout) == (1, "")


def test_who_may_be_hidden_is_not_called_nobody(tmp_path: Path) -> None:
    put_proc(tmp_path)
    done = live("9", "--proc", str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert "no visible process has PID 9 in pid:[77]" in done.stderr
    assert "run as root" in done.stderr
    (tmp_path / "1" / "status").write_text(STATUS.format(1))
    assert live("9", "--proc", str(tmp_path)).returncode == 4
    assert live("7", "--proc", str(tmp_path)).returncode == 0
    assert live("7", "--in", "host", "--proc", str(tmp_path)).returncode == 3


HELD = """
import os, sys
leader = os.fork()
if not leader:
    os.setsid()
    if not os.fork():
        sys.stdin.read()
    os._exit(0)
os.wait()
print(leader, flush=True)
sys.stdin.read()
"""


def test_a_session_of_this_host_without_its_leader() -> None:
    command = [sys.executable, "-c", HELD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        leader = process.stdout.readline().decode().strip()
        done = live(leader, "-n", "-o", "WHAT")
        process.stdin.close()
    assert (done.returncode, done.stdout) == (1, "no process: session of 1, group of 1\n")


@needs_root
def test_the_init_of_a_new_namespace_and_a_thread_in_it() -> None:
    code = (
        "import sys, threading\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "print(threading.enumerate()[1].native_id, flush=True)"
    )
    command = ["unshare", "-p", "-f", sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        tid = process.stdout.readline().decode().strip()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        [init] = children.split()
        inside = live("-q", "1", "--in", f"pid:{init}").stdout
        thread = live(tid, "--in", f"pid:{init}", "-n", "-o", "WHAT").stdout
        back = live("-q", init, "--to", f"pid:{init}").stdout
        process.stdin.close()
    assert (inside, back) == (f"{init}\n", "1\n")
    assert thread == f"thread {tid} of process 1\n"


def test_who_else_has_the_number_is_told_if_no_namespace_was_named(lookup: Run) -> None:
    code, [line], said = lookup("17", "-n", source="containers")
    assert (code, line[:3], line[5]) == (1, ["17", "17", "17"], "ended")
    assert said == [
        f"17 in pid:[{BOX}] is 35 nginx",
        f"17 in pid:[{DEEP}] is 58 postgres",
        "choose a namespace with --in",
    ]


@pytest.mark.parametrize("more", [["--in", "host"], ["--to", "pid:19"], ["-q"]])
def test_who_has_named_one_or_asks_for_a_script_hears_of_nobody_else(
    lookup: Run, more: list[str]
) -> None:
    said = lookup("17", *more, source="containers")[2]
    assert not [line for line in said if "nginx" in line]


def test_a_number_that_only_an_inner_namespace_has_now_is_told(lookup: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    steps = ["init: clone NEWPID -> b", *["b: fork -> x", "x: exit 0", "b: wait"] * 3, "b: fork"]
    mine.write_text("".join(f"{step}\n" for step in steps))
    code, _, said = lookup("5", "-n", source=str(mine))
    assert code == 1  # here it was one that has ended
    assert said[0].endswith("is 7 init")


def test_only_some_of_many_namesakes_are_told(lookup: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("init: fork -> two\n" + "init: clone NEWPID -> b\n" * 7)
    _, _, said = lookup("1", "-n", source=str(mine))
    assert [line.split()[:2] for line in said[:5]] == [["1", "in"]] * 5
    assert said[5:] == ["… and 2 more", "choose a namespace with --in"]
