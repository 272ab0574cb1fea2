"""NumberIndex from one namespace to another: the plain rules, and the command on scenarios."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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
from pidscope.sources.listed import Around, Listed
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
        lines, messages = (text.splitlines() for text in capfd.readouterr())
        assert all(len(line) < 80 and line.isprintable() for line in [*lines, *messages])
        assert all(line.startswith("pidscope: ") for line in messages)
        said = [line.removeprefix("pidscope: ") for line in messages]
        return code, [line.split() for line in lines], said

    return run


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
    found = {ns: NumberIndex(tasks, ns).what_has(17).task for ns in (BOX, HOST, None, DEEP)}
    assert found == {BOX: tasks[0], HOST: tasks[1], None: tasks[1], DEEP: None}
    assert NumberIndex(tasks, BOX).processes() == [42, 17]


def test_a_number_without_a_task_is_held_by_its_group_and_its_session() -> None:
    members = [task(42, 17, pgid=9, sid=3), task(43, 18, pgid=8, sid=9)]
    known = NumberIndex([*members, task(44, 19, pid=(42, 17), pgid=9, sid=3)], BOX)
    assert known.what_has(9).held == Held((Numbered(HOST, 1009), Numbered(BOX, 9)), (42,), (43,))
    assert known.what_has(7).held is None and known.what_has(7).task is None


def test_further_inwards_than_its_members_a_held_number_is_not_known() -> None:
    held = NumberIndex([task(42, 17, pgid=9)], BOX).what_has(9)
    own = NumberIndex([task(42, 17)], BOX).what_has(17)
    answers = [Answer(BOX, HOST, held), Answer(BOX, DEEP, held), Answer(BOX, DEEP, own)]
    assert [answer.translated for answer in answers] == [1009, None, 0]


def test_who_has_a_number_of_its_own_does_not_hold_it() -> None:
    assert NumberIndex([task(42, 17, pgid=17, sid=17)], BOX).what_has(17).held is None


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
            assert (taken.task is not None) == (pid is not None and pid.task is not None)
            assert (taken.held is not None) == (pid is not None and pid.task is None)
            if taken.task is not None:
                assert [tid for _, tid in tids(taken.task)] == list(pid.numbers)
                compared += 1
            if taken.held is not None:
                numbers = tuple(number for _, number in taken.held.levels)
                assert numbers == pid.numbers[: len(numbers)]
                leaders = {group.tgid.nr for group in pid.groups if group.tgid is not None}
                assert set(taken.held.group) == leaders
    assert compared >= 8


# --- the command, as text --------------------------------------------------------------------


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


def test_what_the_record_has_dropped_is_not_known(
    lookup: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ended.__init__, "__defaults__", (1,))
    code, _, said = lookup("99", source="dying-init")
    assert (code, said[1]) == (
        4,
        "what had it before is not known: only the last 1 that ended are kept",
    )


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


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x1b[2J", "not a PID: '"),
        (b"\xff\xfe", "not a PID: '"),
        (b"1\x00", "not a PID: '"),
        (b"1 " * (1 << 20), "more than 1 MiB"),
    ],
    ids=["an escape sequence", "not UTF-8", "a zero byte", "endless"],
)
def test_hostile_input_is_escaped_and_refused(
    raw: bytes, reason: str, lookup: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, raw)
    code, _, said = lookup("-")
    assert code == 2 and reason in said[0]


def test_no_standard_input_at_all(lookup: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert lookup("-")[0] == 2


# --- with containers, as whoever names them will tell of them --------------------------------


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """web is nginx's container; db is called so twice."""
    web, db = Container("docker", "ab" * 32, "web"), Container("docker", "cd" * 32, "\x1bdb")
    chains = {19: (web,), 35: (web,), 36: (web,), 42: (db,)}
    monkeypatch.setattr(Listed, "containers", lambda self, cgroups: Around(chains))
    monkeypatch.setattr(SimulatedProcFs, "sees_cgroups_whole", lambda self: True)


@pytest.mark.usefixtures("named")
def test_a_container_by_its_name(lookup: Run, capfd: Any) -> None:
    options = ("-n", "-o", "TO,CONTAINER")
    for where in ("web", "name:web", "id:abab", "abab"):
        _, lines, _ = lookup("17", "--in", where, *options, source="containers")
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
    monkeypatch.setattr(Listed, "containers", lambda self, cgroups: Around(same))
    places = [f"ns:{BOX}  docker container x", f"ns:{DEEP}  podman container x"]
    fault = ["'x' is more than one place", "one of these:", *places]
    assert lookup("17", "--in", "x", source="containers") == (2, [], fault)


def test_a_shared_namespace_is_told(lookup: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    web, side = Container("docker", "ab" * 32, "web"), Container("docker", "cd" * 32, "side")
    monkeypatch.setattr(
        Listed, "containers", lambda self, cgroups: Around({19: (web,), 35: (side,)})
    )
    code, _, said = lookup("17", "--in", "side", "-n", source="containers")
    text = f"docker container side shares pid:[{BOX}] with docker container web"
    assert (code, " ".join(said)) == (0, text)


@pytest.mark.usefixtures("named")
def test_containers_in_json(capfd: Any) -> None:
    cli.main(["lookup", "-J", "17", "--in", "web", "--source", "simulated"])
    [entry] = valid(capfd.readouterr().out)["lookups"]
    assert entry["process"]["container"]["name"] == "web"
    cli.main(["ns", "-J", "--source", "simulated"])
    made = valid(capfd.readouterr().out)
    assert [ns["container"] and ns["container"]["name"] for ns in made["namespaces"]] == [
        None, "web", "\\x1bdb",
    ]  # fmt: skip


# --- the command, in JSON --------------------------------------------------------------------


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
    assert "nothing was recording" in done.stderr and "pidscope record" in done.stderr
    assert valid(live("-J", str(child.pid)).stdout)["lookups"][0]["ended"] is None
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


@contextlib.contextmanager
def printing(*command: str) -> Iterator[tuple[int, str]]:
    """A process, and the line that it prints; it ends when its standard input does."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().strip()
        process.communicate()


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
    with printing(sys.executable, "-c", HELD) as (_, leader):
        done = live(leader, "-n", "-o", "WHAT")
    assert (done.returncode, done.stdout) == (1, "no process: session of 1, group of 1\n")


@needs_root
def test_the_init_of_a_new_namespace_and_a_thread_in_it() -> None:
    code = (
        "import sys, threading\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "print(threading.enumerate()[1].native_id, flush=True)"
    )
    with printing("unshare", "-p", "-f", sys.executable, "-c", code) as (outside, tid):
        [init] = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()
        inside = live("-q", "1", "--in", f"pid:{init}").stdout
        thread = live(tid, "--in", f"pid:{init}", "-n", "-o", "WHAT").stdout
        back = live("-q", init, "--to", f"pid:{init}").stdout
    assert (inside, back) == (f"{init}\n", "1\n")
    assert thread == f"thread {tid} of process 1\n"
