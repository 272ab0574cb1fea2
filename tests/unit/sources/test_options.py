"""--source simulated: every command, in text and JSON, without root, bcc or /proc."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import pidscope
from pidscope import cli
from pidscope.events import PidDetached
from pidscope.simulated.scenario import DEFAULT, builtin_names
from pidscope.simulated.world import SimulatedWorld
from pidscope.sources.options import SCENARIOS
from tests import CHECKOUT

SCHEMA = json.loads((Path(pidscope.__file__).parent / "schema.json").read_text())
NAMES = [*builtin_names(), "random", "random:5"]


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, err = capfd.readouterr()
    return code, out, err


def objects(out: str) -> list[dict[str, Any]]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    found = [json.loads(line) for line in out.splitlines()]
    for one in found:
        validator.validate(one)
    return found


def said(err: str) -> list[str]:
    lines = err.splitlines()
    assert all(line.startswith("pidscope: ") for line in lines)
    message, *hint = [line.removeprefix("pidscope: ") for line in lines]
    return [message, " ".join(hint)] if hint else [message]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.scenario"
    path.write_text(
        "init: clone NEWPID -> one\n"
        "one: fork -> web\n"
        "web: comm we\\x0ab\n"
        "one: fork -> gone\n"
        "gone: exit 3\n"
    )
    return path


# ps and ns


def test_ps_prints_the_end_of_the_scenario(capfd: Any, mine: Path) -> None:
    code, out, err = run(capfd, "ps", "--source", f"simulated:{mine}", "-o", "PID,NSPID,STAT,COMM")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["PID", "NSPID", "STAT", "COMM"],
        ["1", "1", "S", "init"],
        ["2", "2", "S", "kthreadd"],
        ["3", "3", "1", "S", "init"],
        ["4", "4", "2", "S", "we\\x0ab"],
        ["5", "5", "3", "Z", "init"],
    ]


def test_ps_in_json(capfd: Any, mine: Path) -> None:
    code, out, _ = run(capfd, "ps", "-J", "--source", f"simulated:{mine}", "--in", "pid:4")
    (document,) = objects(out)
    assert code == 0
    assert document["source"] == f"simulated:{mine}"
    head = (document["mode"], document["host"], document["boot_id"], document["complete"])
    assert head == ("simulated", "simulated", None, True)
    assert [process["pid"] for process in document["processes"]] == [3, 4, 5]
    (web,) = [process for process in document["processes"] if process["pid"] == 4]
    assert web["start_time"] == "2026-01-01T00:00:02Z" and web["id"] == "4@200"
    assert [level["pid"] for level in web["levels"]] == [4, 2]


def test_ns_in_text_and_json(capfd: Any, mine: Path) -> None:
    source = f"simulated:{mine}"
    code, out, _ = run(capfd, "ns", "--source", source, "-o", "LEVEL,INIT,PROCS,ZOMBIES,LAST")
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["0", "1", "2", "0", "5"],
        ["1", "3", "3", "1", "?"],
    ]
    _, out, _ = run(capfd, "ns", "--source", source, "-J")
    (document,) = objects(out)
    assert document["source"] == source and document["mode"] == "simulated"
    assert [ns["level"] for ns in document["namespaces"]] == [0, 1]


def test_two_containers_have_the_same_pid_by_default(capfd: Any) -> None:
    _, out, _ = run(capfd, "ps", "-J", "--source", "simulated")
    (document,) = objects(out)
    assert document["source"] == "simulated:containers"
    inner = [(p["ns"], p["levels"][-1]["pid"]) for p in document["processes"] if p["levels"][1:]]
    assert len({ns for ns, pid in inner if pid == 17}) == 2


def test_zombies_are_shown_with_who_has_to_wait_for_them(capfd: Any, tmp_path: Path) -> None:
    path = tmp_path / "zombie.scenario"
    path.write_text(
        "init: comm systemd\ninit: clone NEWPID -> one\none: comm sleepy\none: fork -> web\n"
        "one: fork -> gone\ngone: comm gone\ngone: exit 3\n"
    )
    code, out, _ = run(capfd, "ps", "--zombies", "--source", f"simulated:{path}")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["PID", "NSPID", "NS", "PPID", "REAPER", "COMM"],
        ["5", "5", "3", "4026531840", "3", "sleepy", "gone"],
    ]


def test_groups_and_sessions_at_every_level(capfd: Any, tmp_path: Path) -> None:
    path = tmp_path / "groups.scenario"
    path.write_text(
        "init: setsid\ninit: clone NEWPID -> one\none: fork -> web\nweb: setsid\n"
        "web: fork -> job\njob: setpgid\n"
    )
    _, out, _ = run(capfd, "ps", "--source", f"simulated:{path}", "-n", "-o", "NSPID,NSPGID,NSSID")
    assert [line.split("  ") for line in out.splitlines()][2:] == [
        ["3 1", "1 0", "1 0"],  # from outside, which has no number in there
        ["4 2", "4 2", "4 2"],
        ["5 3", "5 3", "4 2"],
    ]


def test_threads_and_exact(capfd: Any) -> None:
    arguments = ("--source", "simulated:nested", "-n", "-o", "PID,TID")
    _, out, _ = run(capfd, "ps", "--in", "pid:11", *arguments)
    inside = [line.split()[0] for line in out.splitlines()]
    _, out, _ = run(capfd, "ps", "--in", "pid:11", "--exact", *arguments)
    exact = [line.split()[0] for line in out.splitlines()]
    assert exact == ["11", "12", "19", "20"]
    assert inside == ["11", "12", "13", "14", "15", "16", "19", "20"]
    _, out, _ = run(capfd, "ps", "--threads", "--source", "simulated", "-n", "-o", "PID,TID")
    pairs = [line.split() for line in out.splitlines()]
    assert len({tid for _, tid in pairs}) == len(pairs) > len({pid for pid, _ in pairs})


# watch


def test_watch_prints_the_events_and_ends(capfd: Any, mine: Path) -> None:
    code, out, err = run(capfd, "watch", "--source", f"simulated:{mine}")
    assert code == 0
    words = [line.split()[1] for line in out.splitlines()]
    assert words == ["EVENT", "ns-new", "birth", "birth", "birth", "exit"]
    assert all(len(line) < 80 for line in out.splitlines())
    assert said(err)[0] == f"simulated ({mine}), from 2 tasks on"
    assert err.endswith("pidscope: 5 events, 5 shown, 0 lost; births 3, failed forks 0\n")


def test_watch_in_json_with_every_step(capfd: Any, mine: Path) -> None:
    _, out, _ = run(capfd, "watch", "-v", "-J", "--source", f"simulated:{mine}")
    head, *stream = objects(out)
    assert head == {
        "type": "watching",
        "probes": "simulated",
        "complete": True,
        "unseen": [],
        "tasks": 2,
        "only": None,
    }
    kinds = [one["type"] for one in stream]
    assert kinds[:4] == ["NamespaceCreated", "PidAllocated", "PidAttached", "TaskCreated"]
    assert len(kinds) == 12


def test_watch_counts_the_models_own_seconds(capfd: Any, tmp_path: Path) -> None:
    path = tmp_path / "slow.scenario"
    path.write_text("init: fork\nsleep 3600\ninit: fork\nsleep 3600\ninit: fork\n")
    _, out, _ = run(capfd, "watch", "-J", "--source", f"simulated:{path}", "--duration", "3601")
    assert [one["tid"] for one in objects(out)[1:]] == [3, 4]


# verify


@pytest.mark.parametrize("name", NAMES)
def test_verify_proves_every_scenario(capfd: Any, name: str) -> None:
    code, out, err = run(capfd, "verify", "-J", "--source", f"simulated:{name}")
    (last,) = objects(out)
    (head,) = said(err)
    assert code == 0 and head.startswith("simulated (") and head.endswith("tasks on")
    assert last["complete"] and last["compared"] and last["probes"] == "simulated"
    assert last["hooks_at_rest"]
    assert all(hook["hits"] == hook["accounted"] for hook in last["hooks"].values())


def test_verify_is_the_same_every_time(capfd: Any) -> None:
    first = run(capfd, "verify", "-J", "--source", "simulated:random:9")
    assert first == run(capfd, "verify", "-J", "--source", "simulated:random:9")
    assert first != run(capfd, "verify", "-J", "--source", "simulated:random:8")


def test_verify_for_people(capfd: Any) -> None:
    code, out, _ = run(capfd, "verify", "--source", "simulated", "--duration", "0.001")
    assert code == 0 and out.startswith("all agree: ") and "probes simulated" in out


def test_verify_exits_1_when_a_hook_is_silent(capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hooked = SimulatedWorld._hooked
    silent = iter([True])

    def some(self: SimulatedWorld, event: Any) -> None:
        if not (self.busy and isinstance(event, PidDetached) and next(silent, False)):
            hooked(self, event)

    monkeypatch.setattr(SimulatedWorld, "_hooked", some)
    code, out, _ = run(capfd, "verify", "-J", "--source", "simulated:random")
    assert code == 1
    *bugs, last = objects(out)
    assert last["type"] == "verification"
    assert bugs or not last["complete"]


# doctor


def test_doctor_plays_the_scenario(capfd: Any, mine: Path) -> None:
    code, out, _ = run(capfd, "doctor", "--source", f"simulated:{mine}")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["ok", "simulated"],
        ["ok", "scenario"],
    ]
    _, out, _ = run(capfd, "doctor", "-J", "--source", "simulated")
    (document,) = objects(out)
    assert (document["live"], document["source"]) == (None, f"simulated:{DEFAULT}")


def test_doctor_says_where_a_scenario_is_wrong(capfd: Any, mine: Path) -> None:
    mine.write_text("init: fork -> a\na: getpid = 4\n")
    code, out, _ = run(capfd, "doctor", "--source", f"simulated:{mine}")
    assert code == 2
    assert f"NO  scenario  {mine}:2: " in out and out.startswith("ok  simulated")
    code, out, _ = run(capfd, "doctor", "-J", "--source", f"simulated:{mine}")
    (document,) = objects(out)
    assert code == 2 and [check["ok"] for check in document["checks"]] == [True, False]


# What is wrong


@pytest.mark.parametrize("command", ["ps", "ns", "watch", "verify"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("init: fork\ninit: bogus\n", 2),
        ("init: getpid = 7\n", 1),
    ],
    ids=["parsed", "played"],
)
def test_a_bad_scenario_is_one_line(
    capfd: Any, mine: Path, command: str, text: str, line: int
) -> None:
    mine.write_text(text)
    code, _, err = run(capfd, command, "--source", f"simulated:{mine}")
    assert code == 2
    assert said(err)[-1].startswith(f"{mine}:{line}: ")


def test_an_unknown_scenario_names_those_there_are(capfd: Any) -> None:
    code, out, err = run(capfd, "verify", "--source", "simulated:bogus")
    fault, hint = said(err)
    assert (code, out) == (2, "") and "'bogus'" in fault
    assert all(name in hint for name in [*builtin_names(), "random[:SEED]"])


def test_help_names_the_scenarios_there_are() -> None:
    listed = [line.split()[0] for line in SCENARIOS.splitlines()[1:]]
    assert sorted(listed) == sorted([*builtin_names(), "random[:SEED]", "FILE"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ps", "--source", "live"], "'live'"),
        (["ns", "--source", "bogus"], "'bogus'"),
        (["watch", "--source", "proc"], "'proc'"),
        (["verify", "--source", "simulated:"], "'simulated:'"),
        (["doctor", "--source", "simulate"], "'simulate'"),
        (["ps", "--source", "simulated", "--proc", "/proc"], "--proc"),
        (["watch", "--source", "simulated", "--", "true"], "--"),
        (["verify", "--source", "simulated", "--", "true"], "--"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_exits_2(capfd: Any, arguments: list[str], named: str) -> None:
    code, out, err = run(capfd, *arguments)
    assert (code, out) == (2, "")
    assert named in said(err)[0]


def test_a_file_that_cannot_be_read(capfd: Any, tmp_path: Path) -> None:
    code, _, err = run(capfd, "ps", "--source", f"simulated:{tmp_path}/none")
    assert code == 2 and "No such file" in said(err)[0]


# What it must not need


NEEDLESS = """
import os, sys
system = os.open
def forbid(path, *rest, **more):
    assert not str(path).startswith(("/proc", "/sys")), path
    return system(path, *rest, **more)
os.open, os.listdir, os.geteuid = forbid, None, None
from pidscope.cli import main
code = main(sys.argv[1:])
found = [m for m in sys.modules if m.split(".")[0] in ("bcc", "bpf", "psutil")]
found += [m for m in sys.modules if m.startswith("pidscope.live")]
sys.exit(f"needs {found}" if found else code)
"""

LIGHT = """
import sys
from pidscope.cli import main
code = main(sys.argv[1:])
sys.exit(any(m.startswith(("pidscope.model", "pidscope.simulated")) for m in sys.modules))
"""


@pytest.mark.parametrize("command", ["ps", "ns", "lookup 1", "watch", "verify", "doctor"])
def test_no_root_no_bcc_no_proc(command: str) -> None:
    arguments = [*command.split(), "--source", "simulated:random", "-J"]
    done = subprocess.run(
        [sys.executable, "-c", NEEDLESS, *arguments], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr


def test_a_host_does_not_pay_for_the_model() -> None:
    for command in ("ps", "ns", "lookup 1", "doctor"):
        done = subprocess.run(
            [sys.executable, "-c", LIGHT, *command.split()],
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
        )
        assert done.returncode == 0, done.stderr
