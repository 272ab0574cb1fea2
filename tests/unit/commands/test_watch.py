"""``pidscope watch`` over simulated kernels: what is chosen, why forks fail, counts, the sum."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import pidscope
from pidscope import cli
from pidscope.commands import watch_filters
from pidscope.commands.watch_filters import Targets, WatchFilter
from pidscope.containers.container import Container
from pidscope.errors import HostError, NotFound
from pidscope.events import Event, PidAttached
from pidscope.query.where import Place
from pidscope.render.event_names import CHOICES
from pidscope.session.session import Session
from pidscope.simulated.stage import set_stage
from pidscope.simulated.world import SimulatedWorld
from pidscope.sources.watch import SimulatedHost

VALIDATOR = jsonschema.Draft202012Validator(
    json.loads((Path(pidscope.__file__).parent / "schema.json").read_text())
)
BOMB = "simulated:fork-bomb"


class Watch:
    """One run of the command, and what it said."""

    def __init__(self, capfd: pytest.CaptureFixture[str], *arguments: str) -> None:
        capfd.readouterr()
        self.code = cli.main(["watch", *arguments])
        self.out, self.err = capfd.readouterr()
        # The head names the scenario's file, however long that is called.
        assert [line for line in self.err.splitlines()[1:] if len(line) > 79] == []

    @property
    def lines(self) -> list[str]:
        found = self.out.splitlines()
        assert [line for line in found if len(line) > 79 or not line.isprintable()] == []
        return found

    @property
    def words(self) -> list[str]:
        return [line[13:22].strip() for line in self.lines if not line.startswith(" ")]

    @property
    def objects(self) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.out.splitlines()]
        for one in found:
            VALIDATOR.validate(one)
        return found

    @property
    def said(self) -> list[str]:
        return [line.removeprefix("pidscope: ") for line in self.err.splitlines()]


@pytest.fixture
def box(tmp_path: Path) -> str:
    """A namespace in a namespace, one beside it, and a hostile name."""
    path = tmp_path / "box.scenario"
    path.write_text(
        "init: fork -> other\n"
        "init: clone NEWPID -> one\n"  # 4
        "one: comm o\\x1b[31m\n"
        "other: fork -> stranger\n"  # 5
        "one: fork -> web\n"  # 6/2
        "one: clone NEWPID -> inner\n"  # 7/3/1
        "inner: clone THREAD -> thread\n"  # 8/4/2
        "other: clone NEWPID -> beside\n"  # 9/1
        "web: exec nginx\n"
        "beside: exec nginx\n"
        "web: exit 3\n"
        "one: wait = web\n"
    )
    return f"simulated:{path}"


def pids(watch: Watch, word: str) -> list[str]:
    return [line.split()[2] for line in watch.lines if line[13:22].strip() == word]


# --in


def test_in_shows_those_with_a_number_there_and_says_nothing_of_others(
    capfd: Any, box: str
) -> None:
    watch = Watch(capfd, "--source", box, "--in", "pid:4")
    assert watch.code == 0
    assert pids(watch, "birth") == ["6/2", "7/3/1"] and pids(watch, "thread") == ["8/4/2"]
    assert watch.words[1:] == ["birth", "ns-new", "birth", "thread", "exec", "exit", "release"]
    assert watch.said[-1] == "11 events, 7 shown, 0 lost; births 3, failed forks 0"


def test_in_takes_what_names_the_same_place(capfd: Any, box: str) -> None:
    by_pid = Watch(capfd, "--source", box, "--in", "pid:4")
    by_inum = Watch(capfd, "--source", box, "--in", "ns:4026531840")
    assert by_pid.out == by_inum.out and len(by_pid.lines) == 8
    assert Watch(capfd, "--source", box, "--in", "host").out == Watch(capfd, "--source", box).out


def test_in_the_inner_one_the_outer_one_is_a_stranger(capfd: Any, box: str) -> None:
    watch = Watch(capfd, "--source", box, "--in", "pid:7", "-J")
    first, *rest = watch.objects
    assert first["only"] == {"ns": 4026531841, "tree": None, "cmd": False, "types": None}
    assert [one["tid"] for one in rest if one["type"] == "PidAttached"] == [8]


def test_a_namespace_that_ends_is_told_of(capfd: Any) -> None:
    watch = Watch(capfd, "--source", "simulated:dying-init", "--in", "pid:4", "--type", "release")
    assert watch.code == 0
    assert watch.said[-2] == "pid:[4026531840] has ended: it has no task any more"
    assert "has ended" not in Watch(capfd, "--source", BOMB, "--in", "pid:4").err


def test_failed_forks_into_a_dead_namespace_are_its_own(capfd: Any) -> None:
    """The forker lives outside; what it wanted was a process in there."""
    watch = Watch(capfd, "--source", "simulated:dying-init", "--in", "pid:4", "--failed", "-n")
    assert watch.words == ["fork-fail", "fork-fail"]
    assert "runc" in watch.lines[0] and "ENOMEM number 1?" in watch.lines[0]
    assert watch.lines[1].strip() == (
        "likely a dead namespace: no number 1 lives in pid:[4026531840]"
    )


# --tree


def test_tree_shows_the_living_descendants_and_those_to_come(capfd: Any, box: str) -> None:
    watch = Watch(capfd, "--source", box, "--tree", "4", "-J")
    first, *rest = watch.objects
    assert first["only"]["tree"] == 4
    births = [one["tid"] for one in rest if one["type"] == "PidAttached"]
    assert births == [6, 7, 8]


def test_tree_begins_with_who_is_there_threads_too(tmp_path: Path) -> None:
    """A host has its processes before it is watched; a simulated kernel has to play a while."""
    path = tmp_path / "late.scenario"
    path.write_text(
        "init: fork -> a\na: fork -> b\nb: clone THREAD -> t\ninit: fork -> late\n"
        "t: fork -> c\nlate: fork -> no\nc: fork -> d\n"
    )
    expected = {3: [7, 9], 4: [7, 9], 6: [8], 1: [7, 8, 9]}
    for root, births in expected.items():
        world = set_stage(str(path)).world
        told: list[Event] = []
        session = Session(world, lambda event, _: told.append(event))  # noqa: B023
        for _ in range(4):
            world.step()
        session.begin()
        narrowed = WatchFilter(Targets(root=root), session)
        told.clear()
        while world.step():
            pass
        session.pump()
        mine = [event for event in told if narrowed.includes(event, session)]
        assert [e.tid for e in mine if isinstance(e, PidAttached) and e.birth] == births


def test_who_has_ended_before_the_watch_began_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "gone.scenario"
    path.write_text("init: fork -> a\na: exit\ninit: wait = a\n")
    world = set_stage(str(path)).world
    session = Session(world)
    while world.step():
        pass
    session.begin()
    with pytest.raises(NotFound, match="process 3 ended before"):
        WatchFilter(Targets(root=3), session)
    with pytest.raises(NotFound, match=r"pid:\[77\] ended before"):
        WatchFilter(Targets(Place(77)), session)


def test_in_and_tree_together_are_what_is_of_both(capfd: Any, box: str) -> None:
    arguments = ("--source", box, "--in", "pid:7", "--tree", "4", "-n")
    assert Watch(capfd, *arguments).words == ["thread"]


# --type and --failed


def test_every_type_shows_itself_alone(capfd: Any) -> None:
    all_words = Counter(Watch(capfd, "-v", "-n", "--source", "simulated:exec-thread").words)
    assert len(all_words) > 12
    for word in CHOICES:
        watch = Watch(capfd, "-n", "--type", word, "--source", "simulated:exec-thread")
        assert Counter(watch.words) == ({word: all_words[word]} if all_words[word] else {}), word


def test_types_are_a_list_and_are_told_in_json(capfd: Any, box: str) -> None:
    watch = Watch(capfd, "--source", box, "-J", "--type", "exec,birth")
    first, *rest = watch.objects
    assert first["only"]["types"] == ["birth", "exec"]
    assert Counter(one["type"] for one in rest) == {"PidAttached": 6, "TaskExecuted": 2}


def test_failed_shows_failed_forks_and_nobody_who_ended_badly(capfd: Any, box: str) -> None:
    assert set(Watch(capfd, "--source", "simulated:reuse", "--failed", "-n").words) == {
        "fork-fail",
        "no-number",
    }
    assert Watch(capfd, "--source", box, "--failed", "-n").lines == []  # web ends with 3


# Why


def test_why_is_said_once_until_it_is_another(capfd: Any) -> None:
    watch = Watch(capfd, "--source", BOMB, "--failed", "-n")
    why = [line for line in watch.lines if line.startswith(" ")]
    assert why == [" " * 13 + "likely pids.max 8 of /containers/bomb, which has 8 tasks"]
    assert watch.words == ["fork-fail"] * 25
    assert all(line.endswith(" EAGAIN pids.max?") for line in watch.lines if line not in why)
    assert watch.said[-1].endswith("; births 10, failed forks 25: EAGAIN 25")


def test_why_in_json_of_every_failure(capfd: Any) -> None:
    _, *failures = Watch(capfd, "--source", BOMB, "--failed", "-J").objects
    assert len(failures) == 25
    assert {json.dumps(one["reason"], sort_keys=True) for one in failures} == {
        json.dumps(
            {
                "causes": ["pids.max"],
                "cgroup": "/containers/bomb",
                "known": "likely",
                "limit": 8,
                "text": "pids.max 8 of /containers/bomb, which has 8 tasks",
            },
            sort_keys=True,
        )
    }


def test_numbers_that_are_used_up_are_certain(capfd: Any) -> None:
    watch = Watch(capfd, "--source", "simulated:reuse", "--failed", "-n")
    refused, failed, *why = watch.lines
    assert refused.endswith(" EAGAIN") and failed.endswith(" EAGAIN pid_max")
    text = " ".join(line.strip() for line in why)
    assert text.startswith("pid_max: no number is free in pid:[4026531840]")


def test_a_number_that_is_taken_is_certain(capfd: Any) -> None:
    watch = Watch(capfd, "--source", "simulated:session", "--failed", "-n")
    assert watch.lines[1].endswith(" EEXIST set_tid")
    assert watch.lines[2].strip() == "set_tid: the number asked for is taken"


# --by


def test_by_where_counts_births_and_failures_where_they_were_to_be(capfd: Any) -> None:
    watch = Watch(capfd, "--source", BOMB, "--by", "where")
    heading, bomb, host = watch.lines
    assert " ".join(heading.split()) == "BIRTHS PROCS THREADS FAILED NS LEVEL INIT COMM"
    assert bomb.split() == ["9", "9", "0", "25", "4026531840", "1", "4", "sh"]
    assert host.split()[:6] == ["1", "1", "0", "0", "4026531836", "0"]


@pytest.mark.parametrize("more", [[], ["--type", "birth"]])
def test_by_where_names_the_container_of_what_has_ended(
    capfd: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: list[str]
) -> None:
    chain = (Container("docker", "ab" * 32),)  # at the exec: of the sandbox inside it, too
    named = iter([(), chain, chain, chain, *[()] * 9])
    monkeypatch.setattr(SimulatedHost, "chain", lambda self, tid, ticks: next(named))
    path = tmp_path / "mine"
    path.write_text("""init: clone NEWPID -> box
box: exec web
box: clone NEWPID -> sandbox
sandbox: exec sandbox
box: exit 0
init: wait
""")
    _, last = Watch(capfd, "--source", f"simulated:{path}", "--by", "where", "-J", *more).objects
    owned = {row["init"]: row["container"] and row["container"]["id"] for row in last["rows"]}
    assert owned == {3: "ab" * 32, 4: None}


def test_by_comm_counts_who_forked(capfd: Any) -> None:
    watch = Watch(capfd, "--source", BOMB, "--by", "COMM", "-n")
    assert [line.split() for line in watch.lines] == [
        ["8", "8", "0", "25", "sh"],
        ["1", "1", "0", "0", "containerd-shim"],
        ["1", "1", "0", "0", "systemd"],
    ]


@pytest.mark.parametrize("by", ["where", "comm"])
def test_by_in_json_is_one_object_at_the_end(capfd: Any, by: str) -> None:
    first, last = Watch(capfd, "--source", BOMB, "--by", by, "-J").objects
    assert (first["type"], last["type"], last["by"]) == ("watching", "counts", by)
    assert sum(row["births"] for row in last["rows"]) == 10
    assert sum(row["failed_forks"] for row in last["rows"]) == 25
    assert last["others"] == {"births": 0, "processes": 0, "threads": 0, "failed_forks": 0}


@pytest.mark.parametrize("by", ["where", "comm"])
def test_by_without_the_hook_that_tells_of_failures(
    capfd: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(SimulatedWorld, "sees", lambda self, name: name != "copy_process")
    watch = Watch(capfd, "--source", BOMB, "--by", by, "-J")
    _, last = watch.objects
    assert {row["failed_forks"] for row in (*last["rows"], last["others"])} == {None}
    assert watch.said[-1].endswith("failed forks not observed")


@pytest.mark.parametrize(
    ("way", "arguments", "refused"),
    [
        ("tracepoint", ["--failed"], "fork-fail, no-number"),
        ("tracepoint", ["--type", "pgid,alloc"], "alloc, pgid"),
        ("tracepoint", ["--type", "pgid,exec"], None),
        ("tracepoint", [], None),
        ("fentry", ["--type", "freed,seen"], "freed, seen"),
        ("fentry", ["--failed"], None),
        ("simulated", ["--type", "release"], None),
    ],
)
def test_what_a_way_cannot_tell_of_is_no_empty_answer(
    way: str, arguments: list[str], refused: str | None
) -> None:
    parser = argparse.ArgumentParser()
    watch_filters.add_options(parser)
    args = parser.parse_args(arguments)
    if refused is None:
        watch_filters.expect_told(args, way)
    else:
        with pytest.raises(HostError, match=f"{way} does not report {refused}"):
            watch_filters.expect_told(args, way)


def test_nothing_that_this_source_tells_of_ends_at_once(capfd: Any) -> None:
    watch = Watch(capfd, "--source", BOMB, "--type", "freed")
    assert (watch.code, watch.out) == (3, "")


def test_by_counts_only_what_is_chosen(capfd: Any, box: str) -> None:
    _, last = Watch(capfd, "--source", box, "--in", "pid:4", "--by", "comm", "-J").objects
    assert last["rows"] == [
        {"comm": "o\\x1b[31m", "births": 3, "processes": 2, "threads": 1, "failed_forks": 0}
    ]
    arguments = ("--source", box, "--in", "pid:4", "--by", "comm", "--type", "thread", "-J")
    _, last = Watch(capfd, *arguments).objects
    assert [row["births"] for row in last["rows"]] == [1]


def test_nothing_to_count_is_an_empty_table(capfd: Any, tmp_path: Path) -> None:
    path = tmp_path / "idle.scenario"
    path.write_text("init: getpid = 1\n")
    watch = Watch(capfd, "--source", f"simulated:{path}", "--by", "comm")
    assert watch.lines == ["BIRTHS  PROCS  THREADS  FAILED  COMM"]
    assert Watch(capfd, "--source", f"simulated:{path}", "--by", "comm", "-n").out == ""


# Losses


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that is too small for a while: the first writes after the head are lost."""
    begin, hooked = SimulatedWorld.step, SimulatedWorld._hooked
    steps = iter(range(1 << 30))
    state = {"step": 0}

    def step(self: SimulatedWorld) -> bool:
        state["step"] = next(steps)
        return begin(self)

    def some(self: SimulatedWorld, event: Any) -> None:
        if state["step"] == 12:
            self.lost += 1
        else:
            hooked(self, event)

    monkeypatch.setattr(SimulatedWorld, "step", step)
    monkeypatch.setattr(SimulatedWorld, "_hooked", some)


@pytest.mark.parametrize(
    "narrowed", [("--failed",), ("--tree", "2"), ("--in", "pid:4"), ("--type", "exec")]
)
def test_losses_and_repairs_are_always_shown(
    capfd: Any, losing: None, narrowed: tuple[str, ...]
) -> None:
    watch = Watch(capfd, "--source", BOMB, "-n", *narrowed)
    assert [word for word in watch.words if word.isupper()] == ["LOST", "REPAIRED"]
    assert " 0 lost" not in watch.said[-1]


def test_losses_are_told_though_only_counts_are_shown(capfd: Any, losing: None) -> None:
    watch = Watch(capfd, "--source", BOMB, "--by", "comm", "-n")
    assert [line for line in watch.said if line.startswith("LOST ")]
    assert [line for line in watch.said if line.startswith("REPAIRED ")]


def test_losses_stand_before_the_counts(capfd: Any, losing: None) -> None:
    kinds = [one["type"] for one in Watch(capfd, "--source", BOMB, "--by", "comm", "-J").objects]
    assert kinds == ["watching", "Lost", "Repaired", "counts"]


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--type", "bogus"], 2, "'bogus'"),
        (["--type", ""], 2, "''"),
        (["--type", "birth,"], 2, "''"),
        (["--type", "LOST"], 2, "'LOST'"),
        (["--type", "a\x1bb"], 2, "'a\\x1bb'"),
        (["--tree", "x"], 2, "'x'"),
        (["--tree", "0"], 2, "'0'"),
        (["--tree", "99999999"], 2, "'99999999'"),
        (["--failed", "--type", "exec"], 2, "--type and --failed"),
        (["--tree", "1", "--", "true"], 2, "--tree"),
        (["--in", "ns:x"], 2, "'ns:x'"),
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_loaded(
    capfd: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, named: str
) -> None:
    def loaded(*_: Any) -> Any:
        raise AssertionError("a world was made")

    monkeypatch.setattr("pidscope.commands.watch.watched_host", loaded)
    watch = Watch(capfd, *arguments)
    assert (watch.code, watch.out) == (code, "")
    assert named in watch.said[0]


def test_an_unknown_type_lists_those_there_are(capfd: Any) -> None:
    said = " ".join(Watch(capfd, "--type", "bogus").said)
    assert all(f"{word}," in said + "," for word in CHOICES)


def test_who_is_never_there_is_not_found(capfd: Any, box: str) -> None:
    for arguments, named in (
        (("--tree", "4000"), "no process 4000"),
        (("--in", "pid:4000"), "no process 4000"),
        (("--in", "ns:77"), "pid:[77]"),
    ):
        watch = Watch(capfd, "--source", box, *arguments)
        assert (watch.code, watch.out) == (1, "") and named in watch.said[0]
    watch = Watch(capfd, "--source", box, "--tree", "8")
    assert watch.code == 2 and watch.said == ["8 is a thread of process 7"]


def test_the_help_tells_what_each_word_of_the_events_means(capfd: Any) -> None:
    with pytest.raises(SystemExit):
        cli.main(["watch", "--help"])
    help_text = capfd.readouterr().out
    explained = help_text.partition("TYPE is a word")[2].partition("LOST: ")[0]
    told = re.findall(r"^  (\S[\w, -]*?)(?:  |$)", explained, re.MULTILINE)
    assert sorted(word for words in told for word in words.split(", ")) == sorted(CHOICES)
