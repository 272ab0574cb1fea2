"""How a command is called, and the form of its answer: widths, standard input, what is refused."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from pidscope import cli, terminal
from pidscope.cli import main
from pidscope.commands.typed_numbers import TypedNumbers
from pidscope.errors import UsageError
from pidscope.query import lookup
from pidscope.query.place import ROOT
from pidscope.sources import privilege
from tests import CHECKOUT
from tests.unit.commands.asked import put_proc, scenario, valid

SIMULATED = ("--source", "simulated:containers")

# --- widths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "given", "width"),
    [(132, None, 132), (132, "50", 50), (132, "wide", 132), (0, None, 79)],
)
def test_a_table_is_as_wide_as_the_terminal(
    columns: int, given: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0: a terminal that does not know; COLUMNS goes first, as for ps."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    monkeypatch.delenv("COLUMNS", raising=False)
    if given is not None:
        monkeypatch.setenv("COLUMNS", given)
    with os.fdopen(slave, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert terminal.table_width() == width
    os.close(master)


def test_a_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """As for lsns and ps: `ns | grep NAME` must find it."""
    monkeypatch.setenv("COLUMNS", "50")
    assert terminal.table_width() is None


LONG = [
    f"cgroup {'a' * 60}",
    f"cgroup {'b' * 60} in {'a' * 60}",
    f"init: join {'b' * 60}",
]


@pytest.mark.parametrize(("width", "shown"), [(None, f"/{'a' * 60}/{'b' * 60} "), (79, "…bbbb")])
def test_limits_are_cut_on_a_terminal_only(
    width: int | None, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("pidscope.commands.limits.table_width", lambda: width)
    assert main(["limits", "--source", scenario(tmp_path, *LONG)]) == 0
    out = capsys.readouterr().out
    assert shown in out and (width is None or max(map(len, out.splitlines())) <= width)


# --- standard input --------------------------------------------------------------------------


class Pieces(io.RawIOBase):
    """A pipe into which somebody writes these pieces, one after the other."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.asked = 0

    def read1(self, size: int = -1) -> bytes:
        self.asked += 1
        return self.pieces.pop(0) if self.pieces else b""


def test_lines_are_handed_on_as_they_come() -> None:
    pipe = Pieces(b"17\n1", b"8\n", b"19 20\n\n21")
    typed = TypedNumbers([1, None, 2], pipe)  # type: ignore[arg-type]
    batches = typed.batches()
    assert next(batches) == [1] and pipe.asked == 0
    assert next(batches) == [17] and pipe.asked == 1
    assert list(batches) == [[18], [19, 20], [21], [2]]


def test_a_bad_line_costs_that_line(capsys: pytest.CaptureFixture[str]) -> None:
    typed = TypedNumbers([None], Pieces(b"17\n18 x\n0\n19\n"))  # type: ignore[arg-type]
    assert list(typed.batches()) == [[17, 19]]
    said = ["not a PID: 'x'", "not a PID: '0'"]
    assert typed.refused == said
    assert capsys.readouterr().err.splitlines() == [f"pidscope: {line}" for line in said]


@pytest.mark.parametrize("pieces", [(), (b"\n \n",), (b" ", b"\n")])
def test_empty_input_is_wrong_usage(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(UsageError, match="no number on standard input"):
        list(TypedNumbers([None], Pieces(*pieces)).batches())  # type: ignore[arg-type]


def test_a_line_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pidscope.commands.typed_numbers._MAX_LINE", 10)
    with pytest.raises(UsageError, match="a line of more than"):
        list(TypedNumbers([None], Pieces(b"1" * 11)).batches())  # type: ignore[arg-type]


def asked(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, typed: bytes, *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
    code = main(["lookup", "-", *arguments, *SIMULATED])
    return (code, *capsys.readouterr())


def test_the_status_comes_at_the_end(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    quiet = "-q", "--in", "pid:19"
    assert asked(monkeypatch, capsys, b"17\nx\n18\n", *quiet) == (
        2, "35\n36\n", "pidscope: not a PID: 'x'\n",
    )  # fmt: skip
    assert asked(monkeypatch, capsys, b"17\n99\n18\n", *quiet)[:2] == (1, "35\n36\n")
    assert asked(monkeypatch, capsys, b"", "-q") == (
        2, "", "pidscope: -: there is no number on standard input\n",
    )  # fmt: skip


def test_a_bad_line_is_in_the_document(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    code, out, _ = asked(monkeypatch, capsys, b"17\nx\n18\n", "-J", "--in", "pid:19")
    document = valid(out)
    assert code == 2 and document["notes"] == ["not a PID: 'x'"]
    assert [it["to"]["number"] for it in document["lookups"]] == [35, 36]


def test_one_heading_for_all_batches(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("pidscope.commands.typed_numbers._CHUNK", 3)
    code, out, _ = asked(monkeypatch, capsys, b"17\n18\n", "--in", "pid:19")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["NUMBER", "17", "18"]


# --- what is refused, and in which words ---------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (["ns", "-J", "-o", "NS"], "-J and -o"),
        (["ps", "-o", "PID", "-J"], "-J and -o"),
        (["lookup", "1", "-J", "-o", "TO"], "-J and -o"),
        (["lookup", "1", "-q", "-o", "TO"], "-q and -o"),
        (["lookup", "1", "-q", "-J"], "-q and -J"),
    ],
    ids=str,
)
def test_a_form_that_would_be_ignored_is_refused(
    command: list[str], given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *SIMULATED]) == 2
    assert capsys.readouterr().err == f"pidscope: {given} do not go together\n"


@pytest.mark.parametrize("numbers", [["--", "36"], ["--in", "host", "--", "36"]], ids=str)
@pytest.mark.parametrize("command", ["lookup", "explain"])
def test_two_dashes_before_numbers(command: str, numbers: list[str], capsys: Any) -> None:
    assert main([command, *SIMULATED, *numbers]) == 0
    assert "36" in capsys.readouterr().out


def test_no_hint_names_a_command_that_does_not_exist() -> None:
    """After exit 4; `pidscope COMMAND` stands at the beginning of a line."""
    lines = [it for it in lookup._UNRECORDED.splitlines() if it.startswith("pidscope ")]
    assert lines and {line.split()[1] for line in lines} <= set(cli._COMMANDS)


# --- prose, and JSON --------------------------------------------------------------------------


def test_namesakes_are_all_in_the_document(tmp_path: Path, capsys: Any) -> None:
    """The text lists five, and counts the others."""
    source = scenario(tmp_path, *["init: clone NEWPID -> b"] * 7)
    assert main(["lookup", "1", "--source", source]) == 0
    assert "… and 2 more" in capsys.readouterr().err
    assert main(["lookup", "-J", "1", "--source", source]) == 0
    found = valid(capsys.readouterr().out)["elsewhere"]
    assert [(it["number"], it["process"]["pid"]) for it in found] == [(1, n) for n in range(3, 10)]
    assert main(["lookup", "-J", "1", "--in", "host", "--source", source]) == 0
    assert "elsewhere" not in json.loads(capsys.readouterr().out)


def test_notes_are_in_the_document(tmp_path: Path, capsys: Any) -> None:
    put_proc(tmp_path)
    assert main(["ps", "-J", "--proc", str(tmp_path)]) == 0
    in_cgroup_ns, place, unseen, hint = valid(capsys.readouterr().out)["notes"]
    assert in_cgroup_ns == "read inside a cgroup namespace: only the containers in it are known"
    assert place.startswith("read from pid:[77], not from the host")
    assert (unseen, hint) == (
        "? and what is missing may not be read by this user",
        privilege.own_hint(ROOT),
    )
    assert main(["ns", "-J", "--proc", str(tmp_path)]) == 0
    notes = valid(capsys.readouterr().out)["notes"]
    assert notes[-2:] == ["this user may not see all processes", privilege.own_hint(ROOT)]


# --- how it is started ---------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys
sys.argv = ["pidscope", "ns", "--source", "simulated"]
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from pidscope.__main__ import run
sys.exit(run())
"""


@pytest.mark.parametrize(
    "module", ["pidscope.cli", "pidscope.terminal", "pidscope.commands.ns", "pidscope.simulated"]
)
def test_an_interrupt_while_it_is_loaded(module: str) -> None:
    """Before, a SIGINT in the first 50 ms ended in a traceback."""
    code = INTERRUPTED.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True)
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_background_job_ignores_interrupts(capsys: Any) -> None:
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{INTERRUPTED}"
    code = code.format(module="pidscope.cli")
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True)
    assert done.returncode == 0 and done.stdout


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "tabulate", None)
    assert main(["ns", *SIMULATED]) == 3
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("pidscope: the Python package tabulate is not installed\n")


@pytest.mark.parametrize("form", [[], ["-J"]], ids=str)
def test_a_standard_output_that_is_closed(form: list[str]) -> None:
    """`pidscope ns >&-` printed nothing, with exit status 0."""
    command = [sys.executable, "-m", "pidscope", "ns", "--source", "simulated", *form]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (3, "pidscope: standard output is closed\n")


# --- what a hint says to root --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "ptrace", "said"),
    [(1000, False, ROOT), (0, False, "CAP_SYS_PTRACE is missing"), (0, True, "user namespace")],
)
def test_root_is_not_told_to_run_as_root(
    uid: int, ptrace: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setattr("pidscope.host.hiding.may_ptrace", lambda root: ptrace)
    assert said in privilege.own_hint(ROOT)
    assert privilege.own_hint("another") == "another"
