"""Questions about a time put to a recording of all events, against what the model was then."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pidscope import cli
from pidscope.errors import NotKnown
from pidscope.history.answer import Holder
from pidscope.history.event_file import EventFile
from pidscope.history.events_recording import EventsRecording
from pidscope.history.frames import EVENTS
from pidscope.history.moment import Clock, Moment
from pidscope.history.past import Past
from pidscope.history.segment import walk
from pidscope.model.pid import PIDTYPE_PGID, PIDTYPE_SID
from pidscope.model.sched import PF_EXITING
from pidscope.sources.command import Stop
from pidscope.sources.events_recorder import EventsRecorder, follow
from pidscope.sources.watch import SimulatedHost
from tests.unit.commands.asked import valid

_STEPS = 60


class Truth(NamedTuple):
    """What lived at a time, by number in the initial namespace; and what ended until then."""

    now_ns: int
    tasks: dict[int, tuple[Any, ...]]
    parents: dict[int, int]


def truth(host: SimulatedHost) -> Truth:
    kernel = host._world.kernel
    tasks, parents = {}, {}
    for task in kernel.tasks():
        pid = task.thread_pid
        mine = task.signal.threads if task.pid == task.tgid else [task]
        if pid is None or all(it.flags & PF_EXITING for it in mine):
            continue  # a leader's end is its process's
        links = [task.signal.pids[kind] for kind in (PIDTYPE_PGID, PIDTYPE_SID)]
        numbers = pid.pid_numbers.numbers
        inums = tuple(it.ns.inum for it in pid.numbers)
        pgid, sid = (0 if it is None else it.pid_numbers.numbers[0] for it in links)
        tasks[task.pid] = (numbers, inums, task.tgid, task.comm, pgid, sid)
        parents[task.pid] = task.real_parent.tgid
    return Truth(kernel.now_ns, tasks, parents)


def recorded(path: Path, scenario: str, rng: random.Random) -> list[Truth]:
    """Record a scenario; return what was so between its steps, at moments without an event."""
    host = SimulatedHost(scenario)
    recorder = EventsRecorder(str(path), host)
    truths: list[Truth] = []
    world = host._world
    step: Callable[[], bool] = world.step

    def quiet_step() -> bool:
        went_on = step()
        world.kernel.now_ns += 1_000  # nothing happens in this microsecond
        truths.append(truth(host)._replace(now_ns=world.kernel.now_ns - 500))
        return went_on

    world.step = quiet_step  # type: ignore[method-assign]
    with recorder.open() as session:
        follow(recorder, session, host, Stop(), lambda: not world.ended, 1e6)
        recorder.list_end()
        recorder.end()
    return truths


def asked(recording: EventsRecording, at_ns: int) -> Past:
    return Past(recording, Moment(Clock.BOOTTIME, at_ns, at_ns))  # type: ignore[arg-type]


def facts(it: Holder) -> tuple[Any, ...]:
    return it.numbers, it.inums, it.tgid, it.comm, it.pgid, it.sid


@settings(max_examples=3)
@given(st.integers(0, 1 << 32))
def test_who_lived_at_random_moments_and_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """All tasks, at every level, with name, group, session, and the parent where it is certain.

    Execs, setsid and setpgid after the moment do not show.
    """
    path, rng = tmp_path_factory.mktemp("past") / "one.rec", random.Random(seed)
    truths = recorded(path, f"random:{seed % 1000}", rng)
    with EventsRecording(str(path)) as recording:
        sure = 0
        for it in rng.sample(truths[10:-10], 6):
            past = asked(recording, it.now_ns)
            answer = past.alive()
            assert answer.gap is None
            assert {one.numbers[0]: facts(one) for one in answer.holders} == it.tasks
            for one in answer.holders:
                number = one.numbers[0]
                assert number is not None
                assert one.ppid in (None, it.parents[number])
                sure += one.ppid is not None
                assert one.facts_ns == it.now_ns
                inner = past.holders(one.inums[-1], one.numbers[-1] or 0)
                assert inner.holders == (one,) and inner.gap is None
        assert sure


def test_a_change_after_the_moment_does_not_show(tmp_path: Path) -> None:
    """At T it is a shell in its parent's session; then it calls setsid, executes, and ends."""
    path, source = tmp_path / "one.rec", tmp_path / "x.scenario"
    lines = [
        "init: fork -> a",
        "a: comm sh",
        "sleep 10",
        "a: setsid",
        "a: exec worker",
        "a: exit 3",
    ]
    source.write_text("\n".join(lines))
    truths = [it for it in recorded(path, str(source), random.Random(1)) if 3 in it.tasks]
    found = []
    with EventsRecording(str(path)) as recording:
        for it in truths:
            (one,) = asked(recording, it.now_ns).holders(4026531836, 3).holders
            assert facts(one) == it.tasks[3]
            assert one.status == 3 << 8 and one.end_ns is not None and one.end_ns > it.now_ns
            found.append((one.comm, one.sid, one.ppid))
    assert found[1] == found[2] == (b"sh", 0, 1)
    assert found[3:] == [(b"sh", 3, 1), (b"worker", 3, 1)]


def test_outside_of_it_nothing_is_known(tmp_path: Path, whole: Path) -> None:
    with EventsRecording(str(whole)) as recording:
        for at_ns in (1 << 62, 0):
            with pytest.raises(NotKnown, match="it was not recording then"):
                asked(recording, at_ns)
        wide = Past(recording, Moment(Clock.BOOTTIME, 0, 1 << 62))  # type: ignore[arg-type]
        gap = wide.holders(4026531836, 999).gap
        assert gap is not None and gap.reason == "it was not recording yet"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("past") / "one.rec"
    assert cli.main(["record", "--events", str(path), "--source", "simulated:containers"]) == 0
    return path


def test_the_command_answers(capsys: pytest.CaptureFixture[str], whole: Path) -> None:
    """By the clock of the kernel, in the namespace of a process, as text, JSON and a number."""
    words = ("lookup", "--source", str(whole), "--at", "@1767225610.0000005")
    assert cli.main([*words, "36", "-J"]) == 0
    document = valid(capsys.readouterr().out)
    ((holder,),) = [it["holders"] for it in document["past_lookups"]]
    assert holder["facts"]["at_ns"] == "10000000599"  # the last one of its last digit
    assert holder["facts"]["pgid"] and holder["facts"]["uid"] is None
    inner = holder["levels"][-1]
    assert cli.main([*words, "--in", f"ns:{inner['ns']}", str(inner["tid"]), "-q"]) == 0
    assert capsys.readouterr().out == "36\n"
    assert cli.main([*words, "--in", f"ns:{inner['ns']}", str(inner["tid"])]) == 0
    assert "process, born" in capsys.readouterr().out
    assert cli.main([*words, "32000"]) == 1
    assert "no task had it then" in capsys.readouterr().err


def test_where_it_is_cut_nothing_is_known(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, whole: Path
) -> None:
    path = tmp_path / "cut.rec"
    with EventFile(str(whole)) as file:
        last = [it for it in walk(file._fd, file.size) if it.kind == EVENTS][-2]
    path.write_bytes(whole.read_bytes()[: last.offset])
    assert cli.main(["lookup", "--source", str(path), "--at", "@1767225613.2", "36"]) == 4
    capsys.readouterr()
