"""``pidscope watch`` over simulated kernels: what is chosen, why forks fail, counts, the sum."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

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
from tests.unit.commands.asked import objects, played, scenario

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
    def said(self) -> list[str]:
        return [line.removeprefix("pidscope: ") for line in self.err.splitlines()]


# --tree


@pytest.mark.parametrize(("root", "births"), [(3, [7, 9]), (4, [7, 9]), (6, [8]), (1, [7, 8, 9])])
def test_tree_begins_with_who_is_there_threads_too(
    tmp_path: Path, root: int, births: list[int]
) -> None:
    """A host has its processes before it is watched; a simulated kernel has to play a while."""
    before = ["init: fork -> a", "a: fork -> b", "b: clone THREAD -> t", "init: fork -> late"]
    later = ["t: fork -> c", "late: fork -> no", "c: fork -> d"]
    _, _, path = scenario(tmp_path, *before, *later).partition(":")
    world = set_stage(path).world
    told: list[Event] = []
    session = Session(world, lambda event, _: told.append(event))
    for _ in before:
        world.step()
    session.begin()
    narrowed = WatchFilter(Targets(root=root), session)
    told.clear()
    for _ in later:
        world.step()
    session.pump()
    mine = [event for event in told if narrowed.includes(event, session)]
    assert [e.tid for e in mine if isinstance(e, PidAttached) and e.birth] == births


def test_who_has_ended_before_the_watch_began_is_not_found(tmp_path: Path) -> None:
    source = scenario(tmp_path, "init: fork -> a", "a: exit", "init: wait = a")
    session = Session(played(source.partition(":")[2]).world)
    session.begin()
    with pytest.raises(NotFound, match="process 3 ended before"):
        WatchFilter(Targets(root=3), session)
    with pytest.raises(NotFound, match=r"pid:\[77\] ended before"):
        WatchFilter(Targets(Place(77)), session)


# --type and --failed


def test_every_type_shows_itself_alone(capfd: Any) -> None:
    all_words = Counter(Watch(capfd, "-v", "-n", "--source", "simulated:exec-thread").words)
    assert len(all_words) > 12
    for word in CHOICES:
        watch = Watch(capfd, "-n", "--type", word, "--source", "simulated:exec-thread")
        assert Counter(watch.words) == ({word: all_words[word]} if all_words[word] else {}), word


# --by


@pytest.mark.parametrize("more", [[], ["--type", "birth"]])
def test_by_where_names_the_container_of_what_has_ended(
    capfd: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: list[str]
) -> None:
    chain = (Container("docker", "ab" * 32),)  # at the exec: of the sandbox inside it, too
    named = iter([(), chain, chain, chain, *[()] * 9])
    monkeypatch.setattr(SimulatedHost, "chain", lambda self, tid, ticks: next(named))
    steps = ["init: clone NEWPID -> box", "box: exec web", "box: clone NEWPID -> sandbox"]
    source = scenario(tmp_path, *steps, "sandbox: exec sandbox", "box: exit 0", "init: wait")
    watch = Watch(capfd, "--source", source, "--by", "where", "-J", *more)
    _, last = objects(watch.out)
    owned = {row["init"]: row["container"] and row["container"]["id"] for row in last["rows"]}
    assert owned == {3: "ab" * 32, 4: None}


@pytest.mark.parametrize("by", ["where", "comm"])
def test_by_without_the_hook_that_tells_of_failures(
    capfd: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(SimulatedWorld, "sees", lambda self, name: name != "copy_process")
    watch = Watch(capfd, "--source", BOMB, "--by", by, "-J")
    _, last = objects(watch.out)
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


# Losses


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that is too small for a while: the first writes after the head are lost."""
    step, hooked = SimulatedWorld.step, SimulatedWorld._hooked
    steps: list[SimulatedWorld] = []

    def counted(self: SimulatedWorld) -> bool:
        steps.append(self)
        return step(self)

    def some(self: SimulatedWorld, event: Any) -> None:
        if len(steps) == 13:
            self.lost += 1
        else:
            hooked(self, event)

    monkeypatch.setattr(SimulatedWorld, "step", counted)
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
    said = Watch(capfd, "--source", BOMB, "--by", "comm", "-n").said
    assert {"LOST", "REPAIRED"} <= {line.split()[0] for line in said}


def test_losses_stand_before_the_counts(capfd: Any, losing: None) -> None:
    shown = objects(Watch(capfd, "--source", BOMB, "--by", "comm", "-J").out)
    assert [one["type"] for one in shown] == ["watching", "Lost", "Repaired", "counts"]


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--type", "bogus"], "'bogus'"),
        (["--type", ""], "''"),
        (["--type", "birth,"], "''"),
        (["--type", "LOST"], "'LOST'"),
        (["--type", "a\x1bb"], "'a\\x1bb'"),
        (["--tree", "x"], "'x'"),
        (["--tree", "0"], "'0'"),
        (["--tree", "99999999"], "'99999999'"),
        (["--failed", "--type", "exec"], "--type and --failed"),
        (["--tree", "1", "--", "true"], "--tree"),
        (["--in", "ns:x"], "'ns:x'"),
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_loaded(
    capfd: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], named: str
) -> None:
    def loaded(*_: Any) -> Any:
        raise AssertionError("a world was made")

    monkeypatch.setattr("pidscope.commands.watch.watched_host", loaded)
    watch = Watch(capfd, *arguments)
    assert (watch.code, watch.out) == (2, "")
    assert named in watch.said[0]


def test_the_help_tells_what_each_word_of_the_events_means(capfd: Any) -> None:
    with pytest.raises(SystemExit):
        cli.main(["watch", "--help"])
    explained = capfd.readouterr().out.partition("TYPE is a word")[2].partition("LOST: ")[0]
    told = re.findall(r"^  (\S[\w, -]*?)(?:  |$)", explained, re.MULTILINE)
    assert sorted(", ".join(told).split(", ")) == sorted(CHOICES)
