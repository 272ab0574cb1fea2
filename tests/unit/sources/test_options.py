"""--source simulated: every command, in text and JSON, without root, bcc or /proc."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from pidscope import cli
from pidscope.events import PidDetached
from pidscope.simulated.scenario import builtin_names
from pidscope.simulated.world import SimulatedWorld
from pidscope.sources.options import SCENARIOS
from tests import CHECKOUT
from tests.unit.commands.asked import objects, valid

NAMES = [*builtin_names(), "random", "random:5"]


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, err = capfd.readouterr()
    return code, out, err


def test_two_containers_have_the_same_pid_by_default(capfd: Any) -> None:
    _, out, _ = run(capfd, "ps", "-J", "--source", "simulated")
    document = valid(out)
    assert document["source"] == "simulated:containers"
    inner = [(p["ns"], p["levels"][-1]["pid"]) for p in document["processes"] if p["levels"][1:]]
    assert len({ns for ns, pid in inner if pid == 17}) == 2


def test_each_thread_is_shown_with_its_process(capfd: Any) -> None:
    _, out, _ = run(capfd, "ps", "--threads", "--source", "simulated", "-n", "-o", "PID,TID")
    pairs = [line.split() for line in out.splitlines()]
    assert len({tid for _, tid in pairs}) == len(pairs) > len({pid for pid, _ in pairs})


@pytest.mark.parametrize("name", NAMES)
def test_verify_proves_every_scenario(capfd: Any, name: str) -> None:
    code, out, err = run(capfd, "verify", "-J", "--source", f"simulated:{name}")
    last = valid(out)
    assert code == 0 and re.fullmatch(r"pidscope: simulated \([^\n]+\), .* tasks on\n", err)
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


def test_help_names_the_scenarios_there_are() -> None:
    listed = [line.split()[0] for line in SCENARIOS.splitlines()[1:]]
    assert sorted(listed) == sorted([*builtin_names(), "random[:SEED]", "FILE"])


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


def expect_success(code: str, *arguments: str) -> None:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["ps", "ns", "lookup 1", "watch", "verify", "doctor"])
def test_no_root_no_bcc_no_proc(command: str) -> None:
    expect_success(NEEDLESS, *command.split(), "--source", "simulated:random", "-J")


@pytest.mark.parametrize("command", ["ps", "ns", "lookup 1", "doctor"])
def test_a_host_does_not_pay_for_the_model(command: str) -> None:
    expect_success(LIGHT, *command.split())
