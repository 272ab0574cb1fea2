"""``ps --at``, ``ns --at``, ``watch --since`` and ``record --gaps`` of what a test has recorded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pidscope import cli
from pidscope.history.frames import ALIVE, Through
from pidscope.history.ring import segment_name
from pidscope.history.segment import SegmentWriter
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import LIVES, Life, LifeKind
from tests.unit.commands.asked import objects, valid
from tests.unit.history.lives import HOST, life, rows

S = 1_000_000_000
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
WEB = {"runtime": "docker", "id": "3f2a91" + "0" * 58, "name": "web"}
DB = {"runtime": "docker", "id": "beef" + "0" * 60, "name": "db"}
USERS = {**DB, "name": "web", "uid": 1000}


class Recorded:
    """Ten minutes up to now, which begin at `begin` of CLOCK_BOOTTIME; times are in seconds."""

    def __init__(self, path: Path, begin_ago_s: int = 600, **head: Any) -> None:
        self.path = path
        wall, boottime = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.wall = wall // S * S - begin_ago_s * S  # a whole second
        self.begin = boottime - (wall - self.wall)
        clock = {"boottime_ns": self.begin, "realtime_ns": self.wall, "monotonic_ns": self.begin}
        first = {"type": "head", "boot_id": BOOT, "threads": True, "from_ns": self.begin}
        whole = {**first, "clock": clock, "initial_ns": HOST, **head}
        self.made = SegmentWriter(str(path), whole, Through(self.begin, self.wall))
        self.made.add_json({"type": "cgroups", "cgroups": {"1": "/"}})
        self.living([], 0)

    def task(self, numbers: tuple[int, ...], start: float, end: float, **more: Any) -> Life:
        spaces = tuple(HOST + level for level in range(len(numbers)))
        begun, ended = self.begin + int(start * S), self.begin + int(end * S)
        return life(numbers, spaces, begun, ended)._replace(**more)

    def ended(self, at: float, *lives: Life) -> None:
        self.made.add_rows(LIVES, rows(*lives), self.begin + int(at * S))

    def living(self, lives: list[Life], at: float) -> None:
        taken = self.begin + int(at * S)
        everyone = [life((1,), start_ns=1, comm=b"init"), *lives]
        self.made.reached(Through(taken, self.wall + int(at * S)))
        snapshot = rows(*(it._replace(end_ns=taken + 1) for it in everyone))
        self.made.add_rows(LIVES, snapshot, taken, alive=True)

    def containers(self, **found: list[dict[str, Any]]) -> None:
        named = {number.removeprefix("c"): chain for number, chain in found.items()}
        self.made.add_json({"type": "containers", "containers": named})

    def close(self, at: float = 600) -> str:
        self.made.reached(Through(self.begin + int(at * S), self.wall + int(at * S)))
        self.made.close()
        return str(self.path)

    def at(self, second: float) -> str:
        """The time as it is typed, to the millisecond."""
        ns = self.wall + int(second * S)
        return f"@{ns // S}.{ns % S // 1_000_000:03}"

    def at_second(self, second: int) -> str:
        """A whole second, as it is typed."""
        return f"@{self.wall // S + second}"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    out, err = capsys.readouterr()
    return code, out, " ".join(err.replace("pidscope: ", "").split())


def test_what_changed_after_the_time_is_not_said_of_it(tmp_path: Path, capsys: Any) -> None:
    """Issue 17: an exec, a setsid, a cgroup move after T. The facts are the end's, and say so."""
    made = Recorded(tmp_path / "one")
    made.containers(c9=[WEB])
    then = made.task((50,), 10, 0, comm=b"sh", sid=1)
    made.living([then], 60)
    after = made.task((50,), 10, 400, comm=b"nginx", sid=50, cgroup_id=9)
    made.ended(401, after)
    made.living([], 500)
    path = made.close()
    code, out, _ = run(capsys, "ps", "--at", made.at(100), "--source", path, "-J")
    document = valid(out)
    assert (code, document["complete"], document["gap"]) == (0, True, None)
    task = next(it for it in document["past_processes"] if it["pid"] == 50)
    assert task["facts"]["at_ns"] == task["exited_ns"] == str(made.begin + 400 * S)
    facts = task["facts"]
    named = facts["container"]["name"]
    assert (facts["comm"], facts["sid"], named) == ("nginx", 50, "web")
    assert {"comm", "sid", "container"}.isdisjoint(task)
    code, out, _err = run(capsys, "ps", "--at", made.at(100), "--source", path)
    heading, init, line = (it.split() for it in out.splitlines())
    assert heading[5:] == ["READ-AT", "READ-PPID", "READ-CONTAINER", "READ-COMM"]
    assert (line[0], line[5:]) == ("50", ["its", "end", "1", "web", "nginx"])
    assert init[-6:-3] != ["its", "end", "1"] and "-" in init  # it lived on
    # Of the snapshot's own time they are that time's.
    code, out, _ = run(capsys, "ps", "--at", made.at(59.999), "--source", path, "-J")
    task = next(it for it in valid(out)["past_processes"] if it["pid"] == 50)
    assert (task["facts"]["comm"], task["exited_ns"]) == ("nginx", str(made.begin + 400 * S))


def test_columns_of_the_past_can_be_chosen(tmp_path: Path, capsys: Any) -> None:
    made = Recorded(tmp_path / "one")
    made.ended(401, made.task((50, 7), 10, 400, uid=33))
    made.living([], 500)
    words = ["ps", "--at", made.at(100), "--source", made.close()]
    out = run(capsys, *words, "-n", "-o", "PID,NSPID,NS,LEVEL,READ-UID")[1]
    assert out.splitlines()[1].split() == ["50", "50", "7", str(HOST + 1), "1", "33"]
    code, _, err = run(capsys, *words, "-o", "STAT")
    assert (code, "no column 'STAT'" in err) == (2, True)


def test_a_gap_lists_what_is_certain_and_is_not_known(tmp_path: Path, capsys: Any) -> None:
    made = Recorded(tmp_path / "one")
    made.ended(401, made.task((50,), 10, 400))
    lost = {"first_ns": made.begin + 90 * S, "last_ns": made.begin + 110 * S}
    made.made.add_json({"type": "gap", **lost, "reason": "records were lost", "count": 3})
    made.living([], 500)
    path = made.close()
    for command, name in (("ps", "past_processes"), ("ns", "past_namespaces")):
        code, out, err = run(capsys, command, "--at", made.at(100), "--source", path)
        assert code == 4 and "records were lost, from" in err
        code, out, _ = run(capsys, command, "--at", made.at(100), "--source", path, "-J")
        document = valid(out)
        gap = document["gap"]
        assert (code, document["complete"]) == (4, False)
        assert (gap["first_ns"], gap["last_ns"]) == tuple(map(str, lost.values()))
        assert document[name]
    assert run(capsys, "ps", "--at", made.at(300), "--source", path)[0] == 0
    code, out, err = run(capsys, "ps", "--at", "-1h", "--source", path)
    assert (code, out) == (4, "") or "nothing was recording" in err
    code, _, err = run(capsys, "lookup", "60", "--at", made.at(100), "--source", path)
    assert code == 4 and "records were lost, from" in err


def test_threads_that_were_left_out_are_not_known(tmp_path: Path, capsys: Any) -> None:
    made = Recorded(tmp_path / "one", threads=False)
    made.ended(401, made.task((50,), 10, 400))
    made.living([], 500)
    path, at = made.close(), made.at(100)
    assert run(capsys, "ps", "--at", at, "--source", path)[0] == 0
    code, _, err = run(capsys, "ps", "--threads", "--at", at, "--source", path)
    assert (code, "threads are not recorded" in err) == (4, True)
    code, out, _ = run(capsys, "ns", "--at", at, "--source", path, "-J")
    (space,) = valid(out)["past_namespaces"]
    assert (code, space["processes"], space["threads"]) == (0, 2, None)
    out = run(capsys, "ns", "--at", at, "--source", path)[1]
    assert out.splitlines()[1].split()[:5] == [str(HOST), "0", "1", "2", "?"]
    code, out, err = run(capsys, "watch", "--by", "comm", "--since", at, "--source", path)
    assert code == 0 and "threads were not recorded" in err


def test_a_process_lives_as_long_as_its_threads(tmp_path: Path, capsys: Any) -> None:
    """Its leader exited before T; threads are listed if they are asked for."""
    made = Recorded(tmp_path / "one")
    process = made.task((50,), 10, 400, by_thread=True)
    left = process._replace(kind=LifeKind.LEADER, end_ns=made.begin + 50 * S, by_thread=False)
    its = {"kind": LifeKind.THREAD, "tgid": 50, "leader_start_ns": process.start_ns}
    made.ended(51, left)
    made.ended(401, made.task((51,), 20, 400, comm=b"worker", **its), process)
    made.living([], 500)
    path, at = made.close(), made.at(100)
    out = run(capsys, "ps", "--at", at, "--source", path, "-n")[1]
    assert [it.split()[0] for it in out.splitlines()] == ["1", "50"]
    out = run(capsys, "ps", "--threads", "--at", at, "--source", path, "-n")[1]
    assert [it.split()[1] for it in out.splitlines()] == ["1", "50", "51"]


def test_a_number_that_several_had_is_ambiguous(tmp_path: Path, capsys: Any) -> None:
    made = Recorded(tmp_path / "one")
    made.ended(201, made.task((50,), 10, 100.2, comm=b"first"))
    made.ended(301, made.task((50,), 100.5, 300, comm=b"second"))
    made.living([], 500)
    path = made.close()
    for second, names, code in ((99, ["first"], 0), (100, ["first", "second"], 2)):
        at = made.at_second(second)
        found, out, err = run(capsys, "ps", "--at", at, "--source", path)
        assert [it.split()[-1] for it in out.splitlines()[2:]] == names
        assert found == code
        assert err == (f"50 in pid:[{HOST}]: several had it in that time" if code else "")
        found, out, _ = run(capsys, "ps", "--at", at, "--source", path, "-J")
        document = valid(out)
        assert (found, document["complete"], len(document["past_processes"])) == (
            code, True, 1 + len(names),
        )  # fmt: skip


def reused(path: Path) -> Recorded:
    """One inum for two containers, one after the other; the second's number 1 lives on."""
    made = Recorded(path)
    made.containers(c9=[WEB], c8=[DB])
    init = made.task((50, 1), 10, 100.2, comm=b"web", cgroup_id=9)
    # A number 1 exits before the tasks that it kills.
    made.ended(105, init, made.task((51, 2), 20, 100.3, cgroup_id=9))
    other = made.task((60, 1), 100.5, 0, comm=b"db", cgroup_id=8)
    made.ended(150, made.task((61, 2), 100.6, 140, cgroup_id=8))
    made.living([other], 200)
    return made


def test_an_inum_that_was_given_out_again_is_told_apart(tmp_path: Path, capsys: Any) -> None:
    made = reused(tmp_path / "one")
    path = made.close()
    for at, init, code in ((made.at(50), "50", 0), (made.at(100.25), "?", 0)):
        found, out, _ = run(capsys, "ns", "--at", at, "--source", path)
        assert (found, out.splitlines()[2].split()[:3]) == (code, [str(HOST + 1), "1", init])
    code, out, err = run(capsys, "ns", "--at", made.at_second(100), "--source", path, "-J")
    spaces = [it for it in valid(out)["past_namespaces"] if it["level"] == 1]
    assert [(it["init"], it["processes"], it["threads"]) for it in spaces] == [
        (50, 2, 2),
        (60, 2, 2),
    ]
    names = [it["init_task"]["facts"]["container"]["name"] for it in spaces]
    assert (names, {it["parent"] for it in spaces}) == (["web", "db"], {HOST})
    assert (code, err) == (2, f"pid:[{HOST + 1}]: several namespaces had it in that time")
    code, _, err = run(
        capsys, "ps", "--at", made.at_second(100), "--source", path, "--in", f"ns:{HOST + 1}"
    )
    assert code == 2 and "was 2 namespaces in that time" in err


def test_in_a_gap_a_number_1_is_not_taken_for_that_of_all(tmp_path: Path, capsys: Any) -> None:
    """Whose number 1 lives on is not known where the record ends."""
    made = reused(tmp_path / "one")
    code, out, _ = run(capsys, "ns", "--at", "-1h", "--source", made.close(), "-J")
    spaces = [it for it in valid(out)["past_namespaces"] if it["level"] == 1]
    assert code == 4
    assert sorted((it["init"] or 0, it["processes"]) for it in spaces) == [(0, 1), (50, 2)]


@pytest.mark.parametrize(
    "words",
    [
        ["ps", "--zombies", "--at", "-5m"],
        ["ns", "--kept", "--at", "-5m"],
        ["ps", "--proc", "/proc", "--at", "-5m"],
        ["ns", "--source", "live", "--at", "-5m"],
        ["lookup", "1", "--source", "simulated", "--at", "-5m"],
        ["watch", "--tree", "1", "--since", "-5m"],
        ["watch", "--type", "exit", "--since", "-5m"],
        ["watch", "--failed", "--since", "-5m"],
        ["watch", "-v", "--since", "-5m"],
        ["watch", "--duration", "1", "--since", "-5m"],
        ["watch", "--probes", "tracepoint", "--since", "-5m"],
        ["watch", "--since", "-5m", "--", "true"],
        ["watch", "--source", "simulated", "--since", "-5m"],
        ["watch", "--proc", "/proc", "--since", "-5m"],
    ],
    ids=" ".join,
)
def test_what_has_no_past_is_refused_in_a_line(words: list[str], capsys: Any) -> None:
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert "do not go together" in err and err.count("pidscope: ") <= 2


def test_until_goes_with_since(tmp_path: Path, capsys: Any) -> None:
    code, _, err = run(capsys, "watch", "--until", "-5m")
    assert (code, err) == (2, "--until goes with --since")
    path = Recorded(tmp_path / "one").close()
    words = ["watch", "--since", "-5m", "--until", "-10m", "--source", path]
    assert run(capsys, *words)[::2] == (2, "--until is before --since")


def test_ago_is_of_this_boot(tmp_path: Path, capsys: Any) -> None:
    """A file of another boot has these seconds since its own."""
    made = Recorded(tmp_path / "one", boot_id="another")
    made.ended(401, made.task((50,), 10, 400))
    made.living([], 500)
    path = made.close()
    for words in (["ps", "--at"], ["lookup", "50", "--at"], ["watch", "--since"]):
        code, out, err = run(capsys, *words, "-5m", "--source", path)
        assert (code, out, "nothing was record" in err) == (4, "", True)
    assert run(capsys, "ps", "--at", made.at(100), "--source", path)[0] == 0


# --- watch --since -------------------------------------------------------------------------------


def a_while(path: Path, **head: Any) -> Recorded:
    """A container, of which one process lives on, and what is not in it."""
    made = Recorded(path, **head)
    made.containers(c9=[WEB])
    made.ended(120, made.task((40,), 10, 119, status=256), made.task((41,), 30, 119.5, cgroup_id=7))
    init = made.task((50, 1), 60, 300, comm=b"nginx", cgroup_id=9)
    made.ended(240, made.task((51, 2), 70, 200, cgroup_id=9, status=9))
    made.ended(301, made.task((52, 3), 80, 250, cgroup_id=9, status=None), init)
    alive = made.task((70,), 310, 0, comm=b"cc1")
    made.living([alive], 420)
    return made


def test_the_past_comes_in_the_order_of_the_ends(tmp_path: Path, capsys: Any) -> None:
    made = a_while(tmp_path / "one")
    words = ["watch", "--source", made.close(), "--since", made.at(100), "--until", made.at(400)]
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "5 ended, 0 gaps")
    lines = [it.split() for it in out.splitlines()]
    assert lines[0] == ["TIME", "EVENT", "PID", "COMM", "DETAIL"]
    assert [it[1:4] for it in lines[1:]] == [
        ["exit", "40", "sh"],
        ["exit", "41", "sh"],
        ["exit", "51/2", "sh"],
        ["exit", "52/3", "sh"],
        ["exit", "50/1", "nginx"],
    ]
    details = [" ".join(it[4:]).partition(", born")[0] for it in lines[1:]]
    assert details == ["status 1", "status 0", "signal 9 KILL", "status not known", "status 0"]
    assert [it[-1] for it in lines[2:]] == ["?", "web", "web", "web"]
    found = objects(run(capsys, *words, "-J")[1])
    assert [it["type"] for it in found] == ["past", *["life"] * 5, "past_ended"]
    assert found[1]["task"]["exit_status"] == 1 and found[1]["task"]["facts"]["container_known"]
    assert found[-1] == {
        "type": "past_ended", "lives": 5, "gaps": 0, "complete": True, "notes": [],
    }  # fmt: skip


def test_without_until_it_goes_as_far_as_is_recorded(tmp_path: Path, capsys: Any) -> None:
    made = a_while(tmp_path / "one")
    code, out, err = run(capsys, "watch", "--source", made.close(550), "--since", made.at(100))
    assert (code, err) == (0, "5 ended, 0 gaps")
    words = ["--since", made.at(100), "--until", made.at(580)]
    code, out, err = run(capsys, "watch", "--source", str(tmp_path / "one"), *words)
    assert code == 4 and "the record ends" in out.splitlines()[-1]


def test_a_gap_is_a_line_in_its_place(tmp_path: Path, capsys: Any) -> None:
    made = a_while(tmp_path / "one")
    times = {"first_ns": made.begin + 150 * S, "last_ns": made.begin + 220 * S}
    made.made.add_json({"type": "gap", **times, "reason": "records were lost", "count": 1})
    path = made.close()
    words = ["watch", "--source", path, "--since", made.at(100), "--until", made.at(400)]
    code, out, err = run(capsys, *words)
    assert (code, err) == (4, "5 ended, 1 gap")
    assert [it.split()[1] for it in out.splitlines()] == [
        "EVENT", "exit", "exit", "GAP", "exit", "exit", "exit",
    ]  # fmt: skip
    found = objects(run(capsys, *words, "-J")[1])
    assert [it["type"] for it in found[1:-1]] == ["life", "life", "gap", "life", "life", "life"]
    assert found[-1]["complete"] is False
    code, out, err = run(capsys, *words, "--by", "comm")
    assert code == 4 and "GAP records were lost" in err
    assert run(capsys, "watch", "--source", path, "--since", made.at(300))[0] == 0
    found = valid(run(capsys, "record", "--gaps", path, "-J")[1])["gaps"]
    assert [it["reason"] for it in found] == ["records were lost"]
    assert run(capsys, "record", "--gaps", path)[1].startswith("records were lost, from ")


def test_a_place_picks_its_lives(tmp_path: Path, capsys: Any) -> None:
    """A container by its cgroup, a namespace by its numbers; one cgroup's path was not recorded."""
    made = a_while(tmp_path / "one")
    path = made.close()
    words = ["watch", "-n", "--source", path, "--since", made.at(1), "--until", made.at(400)]
    code, out, err = run(capsys, *words, "--in", "web")
    assert [it.split()[2] for it in out.splitlines()] == ["51/2", "52/3", "50/1"]
    assert code == 4 and "of 1 tasks it is not known in which container they were" in err
    for where in (f"ns:{HOST + 1}", "pid:50"):
        since = ["--since", made.at(100)]
        code, out, err = run(capsys, *words, *since, "--in", where)
        assert [it.split()[2] for it in out.splitlines()] == ["51/2", "52/3", "50/1"]
        assert (code, err) == (0, "3 ended, 0 gaps")
    code, out, err = run(capsys, *words, "--in", "50")
    assert (code, out) == (2, "") and "may be several things" in err
    assert run(capsys, *words, "--in", "self")[0] == 2
    assert run(capsys, *words, "--in", "host")[2] == "5 ended, 0 gaps"
    made = Recorded(tmp_path / "two")
    made.living([], 500)
    words = ["watch", "--source", made.close(), "--since", made.at(1)]
    assert run(capsys, *words, "--in", "web")[::2] == (1, "0 ended, 0 gaps no place 'web' then")


def test_a_place_that_was_several_is_ambiguous(tmp_path: Path, capsys: Any) -> None:
    made = reused(tmp_path / "one")
    path = made.close()
    words = ["watch", "-n", "--source", path, "--since", made.at(1)]
    code, out, err = run(capsys, *words, "--in", f"ns:{HOST + 1}")
    assert (code, len(out.splitlines())) == (2, 3)
    assert f"pid:[{HOST + 1}] was 2 namespaces in that time" in err
    code, out, err = run(capsys, *words, "--until", made.at(105), "--in", f"ns:{HOST + 1}")
    assert (code, len(out.splitlines())) == (0, 2)
    made = Recorded(tmp_path / "two")
    made.containers(c9=[WEB], c8=[{**DB, "name": "web"}])
    made.ended(101, made.task((50,), 10, 100, cgroup_id=9), made.task((51,), 10, 100, cgroup_id=8))
    words = ["watch", "-n", "--source", made.close(), "--since", made.at(1), "--in", "web"]
    code, out, err = run(capsys, *words)
    assert (code, len(out.splitlines())) == (2, 2)
    assert "'web' was more than one place in that time" in err


def test_a_container_without_a_name_may_be_the_one(tmp_path: Path, capsys: Any) -> None:
    """Its engine did not answer while it was recorded: "not known" is never "no place"."""
    made = Recorded(tmp_path / "one")
    made.containers(c9=[{"runtime": "docker", "id": WEB["id"]}])
    made.ended(101, made.task((50,), 10, 100, cgroup_id=9))
    made.living([], 200)
    path = made.close()
    code, _, err = run(capsys, "ps", "--at", made.at(50), "--source", path, "--in", "web")
    assert code == 4 and "not all containers' names are" in err
    words = ["watch", "-n", "--source", path, "--since", made.at(1), "--in", "web"]
    code, out, err = run(capsys, *words)
    assert (code, out) == (4, "") and "of 1 tasks it is not known" in err
    assert run(capsys, *words[:-1], f"id:{WEB['id'][:6]}")[0] == 0


def test_a_users_container_does_not_take_the_name_of_roots(tmp_path: Path, capsys: Any) -> None:
    made = Recorded(tmp_path / "one")
    made.containers(c9=[WEB], c8=[USERS])
    made.ended(101, made.task((50,), 10, 100, cgroup_id=9), made.task((51,), 10, 100, cgroup_id=8))
    words = ["watch", "-n", "--source", made.close(), "--since", made.at(1), "--in", "web"]
    code, out, _ = run(capsys, *words)
    assert (code, [it.split()[2] for it in out.splitlines()]) == (0, ["50"])


def test_births_of_the_past_are_counted(tmp_path: Path, capsys: Any) -> None:
    """Those that live on, too; the comm is that of the end, and says so."""
    made = a_while(tmp_path / "one")
    path = made.close()
    words = ["watch", "--source", path, "--since", made.at(50), "--until", made.at(400)]
    code, out, err = run(capsys, *words, "--by", "where")
    assert (code, err) == (0, "4 births, 0 gaps")
    lines = [it.split() for it in out.splitlines()]
    assert lines[0] == [
        "BIRTHS", "PROCS", "THREADS", "FAILED", "NS", "LEVEL", "INIT", "READ-COMM",
        "READ-CONTAINER",
    ]  # fmt: skip
    assert lines[1:] == [
        ["3", "3", "0", "?", str(HOST + 1), "1", "50", "nginx", "web"],
        ["1", "1", "0", "?", str(HOST), "0", "1", "init", "-"],
    ]
    found = objects(run(capsys, *words, "--by", "comm", "-J")[1])
    assert [it["type"] for it in found] == ["past", "counts", "past_ended"]
    assert found[1]["counted"] == "recording"
    counted = [(it["comm"], it["births"], it["failed_forks"]) for it in found[1]["rows"]]
    assert counted == [("sh", 2, None), ("cc1", 1, None), ("nginx", 1, None)]
    # Without --until up to the last snapshot
    words = ["watch", "--source", path, "--since", made.at(50), "--by", "comm"]
    assert run(capsys, *words)[::2] == (0, "4 births, 0 gaps")
    # What was born since it is not known yet: not "none".
    recent = ["watch", "--source", path, "--since", made.at(500), "--by", "comm"]
    code, out, err = run(capsys, *recent)
    assert (code, out) == (4, "") and "births are counted up to the last snapshot" in err
    # What was born behind it and lives on is in none
    code, _, err = run(capsys, *words, "--until", made.at(500))
    assert code == 4 and "since the last snapshot may live on" in err


@pytest.mark.parametrize(("first", "last", "code"), [(405, 415, 4), (430, 440, 0)])
def test_what_was_born_may_have_ended_in_a_gap_behind(
    tmp_path: Path, capsys: Any, first: int, last: int, code: int
) -> None:
    """Up to the snapshot that has what lives on, at 420; what ended before is all known."""
    made = a_while(tmp_path / "one")
    times = {"first_ns": made.begin + first * S, "last_ns": made.begin + last * S}
    made.made.add_json({"type": "gap", **times, "reason": "records were lost", "count": 1})
    words = ["watch", "--source", made.close(), "--since", made.at(50), "--until", made.at(400)]
    assert run(capsys, *words, "--by", "comm")[0] == code
    assert run(capsys, *words)[0] == 0


def test_a_damaged_snapshot_costs_what_lives_on(tmp_path: Path, capsys: Any) -> None:
    made = a_while(tmp_path / "one")
    path = Path(made.close())
    with SegmentFile(str(path)) as file:
        frame, _ = list(file.blocks(ALIVE))[-1]
    data = bytearray(path.read_bytes())
    data[frame.data_offset] ^= 1
    path.write_bytes(data)
    words = ["watch", "--source", str(path), "--since", made.at(50), "--until", made.at(400)]
    code, _, err = run(capsys, *words, "--by", "comm")
    assert code == 4 and "is damaged at" in err
    assert run(capsys, *words)[0] == 0


def test_a_thread_that_called_exec_may_have_been_born_then(tmp_path: Path, capsys: Any) -> None:
    made = Recorded(tmp_path / "one")
    of = {"kind": LifeKind.EXECED, "start_ns": None, "tgid": 50}
    gone = made.task((51,), 0, 100)._replace(leader_start_ns=made.begin + 10 * S, **of)
    process = made.task((50,), 10, 300)
    made.ended(101, process._replace(kind=LifeKind.LEADER, end_ns=made.begin + 100 * S), gone)
    made.ended(301, process)
    made.living([], 400)
    path = made.close()
    words = ["watch", "-n", "--source", path, "--since", made.at(5), "--until", made.at(350)]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert ["called exec, takes over 50" in it for it in out.splitlines()] == [False, True, False]
    assert ["main thread only" in it for it in out.splitlines()] == [True, False, False]
    code, out, err = run(capsys, *words, "--by", "comm")
    assert (code, out.split()[:3]) == (4, ["1", "1", "0"])
    assert "1 threads that called exec may have been born then, too" in err
    code, out, err = run(capsys, *words, "--by", "comm", "--until", made.at(8))
    assert (code, out) == (0, "")


def test_two_boots_are_in_their_order(tmp_path: Path, capsys: Any) -> None:
    """Between them nothing was recorded; a number of one boot is not that of the other."""
    old = Recorded(tmp_path / "old", 3_000, boot_id="before")
    old.ended(101, old.task((50,), 10, 100, comm=b"old"))
    old.living([], 200)
    old.close(200)
    new = Recorded(tmp_path / "new")
    new.ended(101, new.task((50,), 10, 100, comm=b"new"))
    new.living([], 200)
    new.close(200)
    ring = tmp_path / "ring"
    ring.mkdir()
    for sequence, it in enumerate((old, new), 1):
        it.path.rename(ring / segment_name(sequence, it.wall))
    words = ["watch", "-n", "--source", str(ring), "--since", old.at(50), "--until", new.at(150)]
    code, out, _ = run(capsys, *words)
    assert code == 4
    order = ["GAP" if "GAP" in it else "old" if " old " in it else "new" for it in out.splitlines()]
    assert order == ["old", "GAP", "GAP", "new"]
    gaps = valid(run(capsys, "record", "--gaps", str(ring), "-J")[1])["gaps"]
    nothing = "nothing was recording"
    expected = [nothing, f"{nothing}, or its file is gone", "the record ends"]
    assert [it["reason"] for it in gaps] == expected
    assert [it["boot_id"] for it in gaps] == ["before", BOOT, BOOT]
    assert [it["last_ns"] is None for it in gaps] == [True, False, False]
    code, out, _ = run(capsys, *words, "--by", "comm", "-J")
    rows_ = next(it for it in objects(out) if it["type"] == "counts")["rows"]
    assert (code, [(it["comm"], it["births"]) for it in rows_]) == (4, [("new", 1)])


def test_help_says_what_is_of_which_time(capsys: Any) -> None:
    for command, words in (
        ("ps", ("--at TIME", "READ-AT", "as it was read")),
        ("ns", ("--at TIME", "READ-AT")),
        ("watch", ("--since TIME", "--until TIME", "GAP:", "READ-COMM")),
        ("record", ("--gaps",)),
    ):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        text = capsys.readouterr().out
        assert all(word in text for word in words), command
