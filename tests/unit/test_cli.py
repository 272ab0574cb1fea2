"""The command line: every refusal is a line and an exit code, every object is as the schema says.

Some of it needs root, to become somebody else or to make a PID namespace; without, it fails.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import pidscope
import pidscope.host.proc as proc_module
import pidscope.live.bcc as bcc_module
import pidscope.live.bpf_call as bpf_call_module
import pidscope.live.session as live_module
import pidscope.live.supply as supply_module
from pidscope import cli
from pidscope.errors import HostError, ProcError, UsageError
from pidscope.events import PidAttached, PidDetached
from pidscope.live.supply import read_btf
from pidscope.session.session import Session
from pidscope.snapshot import Status
from pidscope.sources.command import spawned
from pidscope.wire.hooks import Hook
from tests import CHECKOUT
from tests.unit.commands.asked import objects
from tests.unit.fake_program import FakeProgram
from tests.unit.live.test_offsets import FakeBtf
from tests.unit.machine import nr
from tests.unit.stepped_kernel import ROOT, SteppedKernel, SteppedWorld, never

PIDSCOPE = (sys.executable, "-m", "pidscope")
LIVE = (["watch"], ["verify"], ["watch", "--", "true"], ["verify", "-J", "--", "true"])


def run(*arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """One run as a user makes it; whatever happens, no traceback."""
    done = subprocess.run(
        [*before, *PIDSCOPE, *arguments], capture_output=True, text=True, cwd=CHECKOUT, timeout=120
    )
    assert "Traceback" not in done.stderr
    return done


def into(stdout: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run whose output goes to a file descriptor."""
    command, pipe = [*PIDSCOPE, *arguments], subprocess.PIPE
    return subprocess.run(command, stdout=stdout, stderr=pipe, text=True, cwd=CHECKOUT)


def fault_and_hint(err: str) -> tuple[str, str]:
    """What a refusal prints: a fault, and what to do, folded."""
    lines = err.splitlines()
    assert all(line.startswith("pidscope: ") for line in lines), lines
    fault, *hint = [line.removeprefix("pidscope: ") for line in lines]
    assert hint
    return fault, " ".join(hint)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["bogus"], "'bogus'"),
        (["watch", "--probes", "bogus"], "'bogus'"),
        (["watch", "--bogus"], "--bogus"),
        (["verify", "--duration", "x"], "'x'"),
        (["verify", "--duration", "-1"], "'-1'"),
        (["watch", "--duration", "nan"], "'nan'"),
        (["ps", "-o", "NOPE"], "'NOPE'"),
        (["ps", "--in", "ns:x"], "'ns:x'"),
        (["ps", "--", "ls"], "--"),
        (["watch", "--"], "--"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_exit_2_and_are_named(arguments: list[str], named: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if named in line and "usage" not in line]
    assert line.startswith("pidscope")
    assert [line for line in done.stderr.splitlines() if len(line) > 79] == []


def test_an_argument_too_many_is_answered_with_the_usage_of_its_command() -> None:
    done = run("ps", "--sort", "PID\x1b[31m")
    usage, _, error = done.stderr.partition("\npidscope ps: error: ")
    assert done.returncode == 2 and usage.startswith("usage: pidscope ps ")
    assert error == "unrecognized arguments: --sort PID\\x1b[31m\n"


def test_a_full_disk_is_told_in_words() -> None:
    with open("/dev/full", "w") as full:
        done = into(full.fileno(), "ps")
    assert (done.returncode, done.stderr) == (3, "pidscope: No space left on device\n")


@pytest.mark.parametrize("command", [None, *cli._COMMANDS])
def test_help_has_examples_and_fits_a_terminal(command: str | None) -> None:
    done = run(*filter(None, [command]), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "examples:" in done.stdout
    assert "exit status:" in done.stdout
    assert [line for line in done.stdout.splitlines() if len(line) > 79] == []


def test_version_exits_0() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"pidscope {pidscope.__version__}\n")


INTERRUPTED_LOADING = """
import os, signal, sys
class Loading:
    def find_spec(self, name, *_):
        if name == "pidscope.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Loading())
from pidscope.__main__ import run
run()
"""


def test_ctrl_c_while_it_is_being_loaded_is_silent() -> None:
    command = [sys.executable, "-c", INTERRUPTED_LOADING]
    done = subprocess.run(command, capture_output=True, cwd=CHECKOUT, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


@pytest.mark.parametrize("command", cli._COMMANDS)
@pytest.mark.parametrize("rest", [["-h"], ["--bogus"], ["x", "y"], ["--proc"], ["--s=x", "z"], []])
def test_a_command_is_parsed_the_same_whether_or_not_the_others_are_there(
    command: str, rest: list[str], capsys: Any
) -> None:
    def parsed(known: Sequence[str]) -> tuple[Any, Any]:
        try:
            result: Any = vars(cli._parser(known).parse_args([command, *rest]))
        except SystemExit as end:
            result = end.code
        return result, capsys.readouterr()

    likely = cli._likely([command, *rest])
    assert len(likely) == 1
    assert parsed(likely) == parsed(cli._COMMANDS)


@pytest.mark.parametrize("arguments", [["--at", "-10m"], ["--at=-10m"]])
def test_a_time_ago_is_no_option(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Python's argparse takes what begins with a dash, and is no number, for an option."""
    given = []
    monkeypatch.setattr("pidscope.commands.lookup.run", lambda args: given.append(args.at) or 0)
    assert cli.main(["lookup", "1", *arguments]) == 0
    assert given == ["-10m"]
    with pytest.raises(SystemExit):
        cli.main(["lookup", "1", "--at", "--in", "web"])
    assert "--at: expected one argument" in capsys.readouterr().err


START = """
import sys
from pidscope.cli import main
code = main(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
"""
HEAVY = {
    "asyncio",
    "ctypes",
    "dataclasses",
    "importlib.metadata",
    "inspect",
    "pathlib",
    "psutil",
    "subprocess",
    "tabulate",
    "pidscope.events",
    "pidscope.session.session",
    "pidscope.table.table",
}


@pytest.mark.parametrize("arguments", [["ps", "-J"], ["explain", "1"], ["limits"]], ids=" ".join)
def test_a_listing_imports_nothing_heavy_before_it_is_needed(arguments: list[str]) -> None:
    """Half of its time on an idle host went there."""
    command = [sys.executable, "-S", "-c", START, *arguments, "--source", "proc"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 0
    assert HEAVY.isdisjoint(done.stderr.split()), HEAVY.intersection(done.stderr.split())


NOT_ROOT = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
OTHERS_PROC = (
    "unshare",
    "-m",
    "sh",
    "-c",
    'unshare -p -f mount -t proc proc /proc; exec "$@"',
    "o",
)
NO_NUMBER = "/proc belongs to a PID namespace in which this process has no number"
NESTED = ("unshare", "-p", "-f", "--mount-proc")


@pytest.mark.parametrize(
    ("before", "arguments", "why", "what_to_do"),
    [
        *((NOT_ROOT, it, "needs root", ["sudo"]) for it in LIVE),
        *((OTHERS_PROC, it, NO_NUMBER, ["mount"]) for it in (["ps"], ["ns"], *LIVE[:2])),
        *((NESTED, it, "nested", ["--pid=host", "--proc"]) for it in LIVE),
    ],
)
def test_where_it_cannot_work_it_says_why_and_what_to_do(
    before: Sequence[str], arguments: list[str], why: str, what_to_do: list[str]
) -> None:
    assert os.geteuid() == 0, "this test has to run as root"
    done = run(*arguments, before=before)
    assert (done.returncode, done.stdout) == (3, "")
    fault, hint = fault_and_hint(done.stderr)
    assert why in fault and all(word in hint for word in what_to_do)


@pytest.mark.parametrize("arguments", [["ps"], ["ps", "-J"], ["ns"], ["doctor"]], ids=" ".join)
def test_a_closed_pipe_is_no_error_of_ours(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = into(write, *arguments)
    os.close(write)
    assert done.stderr in ("", "pidscope: compiling for this kernel, once\n")
    assert done.returncode in (0, 128 + signal.SIGPIPE)


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(path: Any = None) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("pidscope.host.proc.ProcFs", interrupted)
    assert cli.main(["ps"]) == 128 + signal.SIGINT
    assert capsys.readouterr().err == ""


# Hosts that cannot do it: in this process, with the obstacle put in its way


class Bpf:
    """A bpf(2) that refuses whatever it is asked, or takes everything."""

    def __init__(self) -> None:
        self.number = errno.EPERM

    def __call__(self, command: int, attributes: ctypes.Structure) -> int:
        if self.number:
            raise OSError(self.number, os.strerror(self.number))
        return os.open(os.devnull, os.O_RDONLY)


@pytest.fixture
def bpf(host: pytest.MonkeyPatch) -> Bpf:
    bpf = Bpf()
    host.setattr(bpf_call_module, "bpf", bpf)
    return bpf


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Root in the initial namespace, a usable BTF, nothing kept: nothing is in the way yet."""
    monkeypatch.setattr(live_module, "expect_root", lambda: None)
    monkeypatch.setattr(live_module, "initial_ns", lambda procfs: ROOT)
    monkeypatch.setattr("pidscope.live.kept_programs.kept_programs", lambda warn: None)
    monkeypatch.setattr(supply_module, "read_btf", FakeBtf)
    return monkeypatch


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert cli.main([*arguments]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    return fault_and_hint(err)


def compiled(capsys: pytest.CaptureFixture[str], bpf: Bpf, *arguments: str) -> tuple[str, str]:
    """What a refusal to compile prints, on a kernel that takes all programs."""
    bpf.number = 0
    assert cli.main([*arguments]) == 3
    first, _, rest = capsys.readouterr().err.partition("\n")
    assert first == "pidscope: compiling for this kernel"
    return fault_and_hint(rest)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOENT])
@pytest.mark.parametrize("arguments", LIVE, ids=" ".join)
def test_refused_by_the_kernel(
    host: pytest.MonkeyPatch, bpf: Bpf, capsys: Any, arguments: list[str], number: int
) -> None:
    """Found with a program of two instructions: nothing is compiled, so no bcc is needed."""
    _hide_bcc(host)
    bpf.number = number
    fault, hint = refused(capsys, *arguments)
    name = errno.errorcode[number]
    assert f"tracepoint: task_newtask: {name}" in fault
    assert f"fentry: attach_pid: {name}" in fault and f"kprobe: attach_pid: {name}" in fault
    assert "lockdown" in hint


@pytest.mark.parametrize("arguments", LIVE[:2], ids=" ".join)
def test_no_btf(
    host: pytest.MonkeyPatch, capsys: Any, arguments: list[str], tmp_path: Path
) -> None:
    host.setattr(supply_module, "read_btf", read_btf)
    host.setattr(supply_module, "BTF_PATH", tmp_path / "vmlinux")
    fault, hint = refused(capsys, *arguments)
    assert "type information" in fault and "No such file" in fault
    assert "CONFIG_DEBUG_INFO_BTF" in hint


def _hide_bcc(patch: pytest.MonkeyPatch) -> None:
    """Nothing is found as bcc but what a test puts on the path."""
    patch.setattr(bcc_module, "_PLACES", ())
    patch.delitem(sys.modules, "bcc", raising=False)


@pytest.mark.parametrize("arguments", LIVE[:2], ids=" ".join)
def test_no_bcc(host: pytest.MonkeyPatch, bpf: Bpf, capsys: Any, arguments: list[str]) -> None:
    _hide_bcc(host)
    fault, hint = compiled(capsys, bpf, *arguments)
    assert "bcc is not installed" in fault and "python3-bpfcc" in hint


def _put_bcc(patch: pytest.MonkeyPatch, path: Path, code: str) -> None:
    """A package of that name, and nothing else."""
    _hide_bcc(patch)
    (path / "bcc").mkdir()
    (path / "bcc" / "__init__.py").write_text(code)


def test_the_wrong_bcc(host: pytest.MonkeyPatch, bpf: Bpf, capsys: Any, tmp_path: Path) -> None:
    _put_bcc(host, tmp_path, 'raise RuntimeError("this must not be run")\n')
    host.syspath_prepend(str(tmp_path))
    fault, hint = compiled(capsys, bpf, "watch")
    assert "unrelated" in fault and "PyPI" in fault and "python3-bpfcc" in hint


def test_a_bcc_that_cannot_be_loaded(
    host: pytest.MonkeyPatch, bpf: Bpf, capsys: Any, tmp_path: Path
) -> None:
    _put_bcc(host, tmp_path, 'raise OSError("libbcc.so.0: cannot open")\n')
    (tmp_path / "bcc" / "libbcc.py").touch()
    host.setattr(bcc_module, "_PLACES", (str(tmp_path),))
    fault, _ = compiled(capsys, bpf, "watch")
    assert "cannot be loaded" in fault and "libbcc.so.0: cannot open" in fault
    assert "bcc" not in sys.modules


# The commands over a kernel that the test moves


@pytest.fixture
def world(host: pytest.MonkeyPatch) -> SteppedWorld:
    world = SteppedWorld(SteppedKernel())
    host.setattr(live_module, "fence", world.fence)
    host.setattr(live_module, "Program", lambda way, ring_bytes, steps, supply: FakeProgram(world))
    host.setattr(live_module, "silent_hooks", lambda stream, hooks, own: [])
    host.setattr("pidscope.sources.command.POLL_MS", 0)
    host.setattr(proc_module, "ProcFs", lambda root: world.procfs)
    return world


def acting(world: SteppedWorld, acts: int = 300, then: Any = None) -> None:
    """Every kind of act, a few each time the session looks; ``then`` once, at the end."""
    rng = random.Random(5)
    looks = iter(range(1 << 30))

    def between() -> None:
        look = next(looks)
        if look < acts:
            world.kernel.act_at_random(rng, 1)
        elif look == acts and then is not None:
            then()

    world.between = between


def lose_some(world: SteppedWorld) -> None:
    world.lose = lambda event: True
    world.kernel.run(world.kernel.setsid(_forked(world)))
    world.lose = never


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("command", ["watch", "verify"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_a_start(
    world: SteppedWorld, host: pytest.MonkeyPatch, capfd: Any, command: str, number: signal.Signals
) -> None:
    def begun(session: Session) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    host.setattr(Session, "begin", begun)
    assert cli.main([command]) == 128 + number
    assert capfd.readouterr() == ("", "")


def test_watch_prints_what_the_schema_says_until_ctrl_c(world: SteppedWorld, capfd: Any) -> None:
    def end() -> None:
        lose_some(world)
        interrupt()

    acting(world, 400, then=end)
    assert cli.main(["watch", "-v", "-J"]) == 0
    first, *stream = objects(capfd.readouterr().out)
    kinds = {one["type"] for one in stream}
    assert {"PidAttached", "PidDetached", "PidAllocated", "TaskExited", "Lost"} <= kinds
    assert first["type"] == "watching"  # whatever the start told of


def losing(world: SteppedWorld, then: Any) -> None:
    """Others act, and records of theirs are lost; after more of it comes what is to come."""

    def lose() -> None:
        lose_some(world)
        acting(world, 400, then=then)

    acting(world, 100, then=lose)


def test_watch_tells_of_a_loss_and_of_its_repair(world: SteppedWorld, capfd: Any) -> None:
    losing(world, interrupt)
    assert cli.main(["watch"]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line[0] != " "]  # not folded
    words = [line.split()[1] for line in lines]
    assert words.count("LOST") >= words.count("REPAIRED") == 1
    assert words.index("LOST") < words.index("REPAIRED") < len(words) - 1


@pytest.mark.parametrize("form", [[], ["-J"]])
def test_verify_tells_of_each_repair(world: SteppedWorld, capfd: Any, form: list[str]) -> None:
    losing(world, lambda: None)
    assert cli.main(["verify", "--duration", "0.05", *form]) == 0
    out = capfd.readouterr().out
    if form:
        *rest, last = map(json.loads, out.splitlines())
        assert [one["type"] for one in rest] == ["Repaired"]
        assert last["repairs"] == 1 and rest[0]["lost"] == last["lost"] > 0
    else:
        assert out.startswith("REPAIRED exact again, from ") and "repairs 1" in out


def _forked(world: SteppedWorld) -> Any:
    kernel = world.kernel
    kernel.run(kernel.setns(kernel.init))
    return kernel.born(kernel.init)


def test_watch_without_json_is_narrow(world: SteppedWorld, capfd: Any) -> None:
    acting(world, 200, then=interrupt)
    assert cli.main(["watch"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) > 10 and all(len(line) <= 79 for line in lines)


def test_verify_prints_what_the_schema_says(world: SteppedWorld, capfd: Any) -> None:
    for _ in range(3):
        _forked(world)
    acting(world, 300)
    assert cli.main(["verify", "-J", "--duration", "0.01"]) == 0
    *rest, last = objects(capfd.readouterr().out)
    assert rest == [] and last["type"] == "verification"
    assert last["complete"] and last["compared"] > 3 and last["probes"] == "fentry"
    assert all(hook["hits"] == hook["accounted"] for hook in last["hooks"].values())


def test_verify_names_what_it_could_not_judge(
    world: SteppedWorld, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it agrees is not known: neither 0 nor a ghost."""
    number, read = nr(_forked(world)), world.procfs.judged_status

    def reading(asked: int) -> Status | None:
        if asked == number:
            raise ProcError(f"/proc/{asked}/status", 1, "", "cannot be read (Permission denied)")
        return read(asked)

    monkeypatch.setattr(world.procfs, "judged_status", reading)
    assert cli.main(["verify", "-J", "--duration", "0.01"]) == 1
    out, err = capfd.readouterr()
    [last] = objects(out)
    assert (last["complete"], last["ghost"], last["unjudged"] > 0) == (False, 0, True)
    assert f"not judged: {number}: /proc/{number}/status:1: cannot be read (Permission" in err


def test_verify_tells_of_cmd(world: SteppedWorld, capfd: Any) -> None:
    assert cli.main(["verify", "-J", "--", "sh", "-c", "exit 7"]) == 0
    (last,) = objects(capfd.readouterr().out)
    assert last["cmd_status"] == 7
    assert last["cmd_counts"]["births"] == 0  # the model does not have it


@pytest.mark.parametrize(
    ("skip", "verdict"),
    [
        (lambda event: isinstance(event, PidAttached) and not event.birth, "wrong"),
        (lambda event: isinstance(event, PidAttached) and event.birth, "missing"),
        (lambda event: isinstance(event, PidDetached), "ghost"),
    ],
    ids=["wrong", "missing", "ghost"],
)
def test_verify_exits_1_for_a_disagreement(
    world: SteppedWorld, host: pytest.MonkeyPatch, capfd: Any, skip: Any, verdict: str
) -> None:
    task, other = _forked(world), _forked(world)
    kernel, begin = world.kernel, Session.begin

    def act_once() -> None:
        world.between = lambda: None
        kernel.run(kernel.setsid(task))
        _forked(world)
        kernel.end(other)

    def begun(session: Any) -> None:
        begin(session)
        world.skip, world.between = skip, act_once

    host.setattr(Session, "begin", begun)
    assert cli.main(["verify", "-J", "--duration", "0.01"]) == 1
    bug, *_, last = objects(capfd.readouterr().out)
    assert (bug["type"], bug["verdict"]) == ("disagreement", verdict)
    assert last[verdict] >= 1 and world.between is not act_once


def test_a_hook_that_did_not_attach_is_not_tried_and_keeps_its_reason(
    world: SteppedWorld, host: pytest.MonkeyPatch, capsys: Any
) -> None:
    host.setattr(SteppedWorld, "blind_to", "free_pid")
    tried: list[str] = []

    def all_speak(stream: Any, hooks: Any, own: int) -> list[Hook]:
        tried.extend(hook.name for hook in hooks)
        return []

    host.setattr(live_module, "silent_hooks", all_speak)
    assert cli.main(["watch", "--duration", "0.01"]) == 0
    assert "free_pid" not in tried and "attach_pid" in tried
    assert "(free_pid: not here)" in capsys.readouterr().err


def test_an_iterator_that_fails_is_told_of(
    world: SteppedWorld, host: pytest.MonkeyPatch, capsys: Any
) -> None:
    host.setattr(SteppedWorld, "iterates", True)
    assert cli.main(["watch", "--duration", "0.01"]) == 0
    assert "iterator" not in capsys.readouterr().err
    host.setattr(SteppedWorld, "fails", True)
    assert cli.main(["watch", "--duration", "0.01"]) == 0
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "iterator" in one]
    assert "so /proc was read" in line and "no iterator today" in line


@pytest.mark.parametrize("command", ["watch", "verify"])
@pytest.mark.parametrize(
    ("cmd", "reason"),
    [("/none", "No such file"), ("no-such-cmd", "No such file"), ("./notes", "Permission denied"),
     ("notes", "Permission denied"), (".", "Permission denied"), ("", "Permission denied")],
)  # fmt: skip
def test_nothing_is_loaded_for_a_cmd_that_cannot_be_run(
    host: pytest.MonkeyPatch, capfd: Any, tmp_path: Path, command: str, cmd: str, reason: str
) -> None:
    def loaded(*_: Any) -> Any:
        raise AssertionError("programs were loaded")

    host.setattr(live_module, "Program", loaded)
    (tmp_path / "notes").touch()
    host.chdir(tmp_path)
    host.setenv("PATH", str(tmp_path))
    assert cli.main([command, "--", cmd]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"cannot run {cmd!r}" in line and reason in line
    with pytest.raises(UsageError) as caught, spawned([cmd]):  # what running it says
        pass
    assert line == f"pidscope: {caught.value}"


def test_a_hint_is_folded_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hint = "mount it (unshare -m, then mount -t proc proc /proc) " + "a-path/" * 15 + " and so on"

    def refused(args: Any) -> int:
        raise HostError("no, " + "x" * 90, hint)

    monkeypatch.setattr("pidscope.commands.doctor.run", refused)
    assert cli.main(["doctor"]) == 3
    first, *folded = capsys.readouterr().err.splitlines()
    assert first == "pidscope: no, " + "x" * 90
    assert [len(line) <= 79 for line in folded] == [True, False, True]
    assert " ".join(line.removeprefix("pidscope: ") for line in folded) == hint


def test_the_programs_are_taken_out_whatever_happens(
    world: SteppedWorld, host: pytest.MonkeyPatch
) -> None:
    program = FakeProgram(world)
    host.setattr(live_module, "Program", lambda way, ring_bytes, steps, supply: program)
    procfs: Any = world.procfs
    with pytest.raises(ZeroDivisionError), live_module.live_session(procfs) as session:
        assert session.starts == 1
        raise ZeroDivisionError
    assert program.closed


def test_a_silent_hook_is_named_and_one_that_makes_state_refuses_the_way(
    world: SteppedWorld, host: pytest.MonkeyPatch, capsys: Any
) -> None:
    silent = {"fentry": "detach_pid", "kprobe": "free_pid"}
    tried: list[FakeProgram] = []

    def load(way: str, ring_bytes: int, steps: bool, supply: Any) -> FakeProgram:
        tried.append(FakeProgram(world, way))
        return tried[-1]

    def told_nothing(stream: Any, hooks: Any, own: int) -> list[Hook]:
        return [hook for hook in hooks if hook.name == silent[tried[-1].way]]

    host.setattr(live_module, "Program", load)
    host.setattr(live_module, "silent_hooks", told_nothing)
    assert cli.main(["watch", "--duration", "0.01"]) == 0
    err = capsys.readouterr().err
    assert "live by kprobe" in err
    assert "cannot observe when a number can be given out again (free_pid: attached" in err
    assert [program.closed for program in tried] == [True, True]
    fault, _ = refused(capsys, "watch", "--probes", "fentry")
    assert "fentry: detach_pid: attached, but told nothing" in fault


def test_no_descriptor_is_left_open() -> None:
    """Those that stand in for standard streams, or for a reader who has gone."""
    count = (
        "import os, sys; from pidscope.terminal import *\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "open_standard_streams(); forget_stdout(); forget_stdout()\n"
        "after = len(os.listdir('/proc/self/fd'))\n"
        "sys.exit(f'{before} {after}' if before != after else 0)"
    )
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr


def test_a_terminal_without_unicode_gets_what_looks_like_it(tmp_path: Path) -> None:
    scenario = tmp_path / "name.scenario"
    scenario.write_text("init: fork -> a\na: comm cgié\n")
    command = [*PIDSCOPE, "explain", "3", "--source", f"simulated:{scenario}"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, cwd=CHECKOUT, env=environment, check=True)
    lines = done.stdout.decode("ascii").splitlines()
    assert lines[0].startswith(r"task_struct 3  cgi\xc3\xa9, ")
    assert lines[1] == "|- thread_pid ---> struct pid 3"
    assert [line for line in lines if len(line) > 79] == []
