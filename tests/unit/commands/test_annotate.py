"""``annotate``: a log comes out as it went in, at once, with what had its PIDs behind each line."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import os
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import IO, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.commands import annotate
from pidscope.commands.annotate_guard import TOO_LONG, Guard
from pidscope.commands.annotate_lines import MAX_HELD, Piece, pieces
from pidscope.commands.annotate_output import Annotated, TextOutput
from pidscope.errors import NotKnown, UsageError
from pidscope.history.annotate import find
from pidscope.history.annotation import MARK, NO_PID, Text
from pidscope.history.logs.chosen import Expression
from pidscope.history.logs.formats import FORMATS, parser_of
from pidscope.history.logs.line import NOTHING, Mention, Parsed
from pidscope.history.logs.stamps import Stamps
from pidscope.query.words import parse_where
from pidscope.sources.recorded import open_recorded
from tests import CHECKOUT
from tests.unit.bounded import bounded_time
from tests.unit.commands.asked import objects
from tests.unit.history.told import told

ENVIRONMENT = {
    **os.environ,
    "TZ": "Europe/Berlin",
    "LC_ALL": "C.UTF-8",
    "PYTHONUNBUFFERED": "",
    "PYTHONPATH": str(CHECKOUT),
}
COMMAND = [sys.executable, "-m", "tests.unit.history.told", "annotate"]
AUDIT = b"type=SYSCALL msg=audit(1796043785.000:1): arch=c000003e ppid=9 pid=4242 auid=1000"
ISO = b"2026-11-30T14:03:05+0100 web1 "


def run(stdin: bytes, *arguments: str) -> tuple[bytes, str, int]:
    """Standard output and error, and the exit code."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        env=ENVIRONMENT,
        cwd=CHECKOUT,
        timeout=120,
        check=False,
    )
    return done.stdout, done.stderr.decode(), done.returncode


NGINX = (
    b"4242 (17 inside), at its end nginx in docker container web, born 14:02:59, ended 14:03:05"
    b" SIGKILL"
)


def test_a_log_comes_out_with_its_numbers_translated() -> None:
    log = ISO + b"nginx[4242]: worker 17 failed\n" + ISO + b"nginx: no number\n"
    assert run(log, "short-iso") == (
        ISO + b"nginx[4242]: worker 17 failed [pidscope: " + NGINX + b"]\n" + ISO
        + b"nginx: no number\n",
        "",
        0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        (b"a[4242]: x", 0, NGINX),
        (b"a[9]: x", 1, b"9 no process had it then"),
        (b"a[7]: x", 2, b"7 ambiguous: 7, at its end old, born 14:01:25, ended 14:03:03 status 1"),
        (b"a: x", 0, b""),
    ],
)
def test_the_exit_code_is_the_gravest_of_all_lines(line: bytes, code: int, expected: bytes) -> None:
    out, _, status = run(ISO + line + b"\n" + ISO + b"a[4242]: x\n", "short-iso")
    assert status == code
    assert expected in out.splitlines()[0]
    later = ISO.replace(b"T14", b"T15") + b"a[9]: x\n"
    out, _, status = run(later + ISO + line + b"\n", "short-iso")
    assert status == 4
    assert out.startswith(later[:-1] + b" [pidscope: 9 not known: nothing was recording from 15:03")


def test_objects_are_as_the_schema_has_them() -> None:
    log = AUDIT + b"\n\xff\x1b[31m\n" + AUDIT
    out, _, code = run(log, "audit", "-J")
    assert code == 1
    first, second, third = objects(out.decode())
    assert [it["known"] for it in first["pids"]] == ["none", "process"]
    start, end = first["pids"][1]["bytes"]
    assert AUDIT[start:end] == b"4242"
    assert (second["line"], second["pids"]) == (r"\xff\x1b[31m", [])
    assert third == first


def test_a_note_says_that_no_line_has_the_form() -> None:
    assert run(b"x\n", "audit")[1:] == ("pidscope: no line has a PID in the form of audit.log\n", 0)
    assert run(b"", "audit") == (b"", "", 0)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "one of FORMAT, --field and --regex is needed"),
        (("audit", "--field", "pid"), "one of FORMAT, --field and --regex is needed"),
        (("auditd",), "not a format: 'auditd'"),
        (("audit", "--time-field", "ts"), "--time-field goes with --field"),
        (("--regex", "("), "--regex '(': missing )"),
        (("--regex", "x"), "--regex needs one of the groups"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], reason: str) -> None:
    out, error, code = run(b"x\n", *arguments)
    assert (out, code) == (b"", 2)
    assert error.startswith(f"pidscope: {reason}")


def test_json_lines_and_an_expression_name_the_number_and_the_time() -> None:
    line = b'{"ts": "2026-11-30T13:03:05Z", "pid": 4242}'
    out, _, code = run(line + b"\r\n", "--field", "pid", "--time-field", "ts")
    assert (out, code) == (line + b" [pidscope: " + NGINX + b"]\r\n", 0)
    line = b"2026-11-30 14:03:05 <4242> x"
    out, _, code = run(line, "--regex", r"^(?P<time>\S+ \S+) <(?P<pid>\d+)>")
    assert (out, code) == (line + b" [pidscope: " + NGINX + b"]", 0)


def test_nothing_recorded_is_not_known() -> None:
    with pytest.raises(NotKnown, match="nothing was recording"):
        open_recorded(parse_where("host"))
    assert NotKnown.exit_code == 4


# --- whose numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line", "expected"),
    [
        (["audit"], AUDIT, ["host"]),
        (["dmesg"], b"[1.234567] oom_reaper: reaped process 9 (x), now", ["host"]),
        (["short-iso"], ISO + b"a[9]: x", ["self"]),
        (["short-iso"], ISO + b"kernel: oom_reaper: reaped process 9 (x), now", ["self", "host"]),
        (["strace", "--in", "web"], b"9 1796043785.000000 read(3) = 0", ["web"]),
        # audit's are the initial namespace's whatever is said
        (["audit", "--in", "web"], AUDIT, ["web", "host"]),
        (["--field", "pid"], b'{"pid": 9}', ["self"]),
    ],
)
def test_the_numbers_are_of_the_log_s_own_namespace(
    arguments: list[str],
    line: bytes,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: Any,
) -> None:
    opened = []

    def opens(where: Any) -> Any:
        opened.append(where.word)
        return told().recorded()

    monkeypatch.setattr("pidscope.sources.recorded.open_recorded", opens)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    parser = argparse.ArgumentParser()
    annotate.register(parser.add_subparsers())
    args = parser.parse_args(["annotate", *arguments])
    args.func(args)
    assert opened == expected


# --- streams ---------------------------------------------------------------------------------


class Dripping:
    """A stream that gives some bytes at each reading."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = [chunk for chunk in chunks if chunk]

    def read1(self, size: int) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


def annotated(stream: Any, parse: Any) -> tuple[list[tuple[bytes, str, bytes]], int]:
    """What is written of a stream, in three parts a piece; and the exit code."""
    written: list[tuple[bytes, str, bytes]] = []
    recorded = told().recorded()
    output = TextOutput(
        Text(recorded, ZoneInfo("Europe/Berlin")), lambda *parts: written.append(parts)
    )
    return written, Annotated(parse, 100, lambda _: recorded, output.put).all_of(stream)


def number_first(line: bytes) -> Parsed:
    """A parser for these tests: what has a number at its start has a PID."""
    match = re.match(rb"\d{1,6}", line)
    if match is None or not int(match[0]):
        return NOTHING
    return Parsed((Mention(int(match[0]), False, 0, match.end()),), None, "untimed")


CHUNKS = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\n", b"\r\n", b"\r", b"42", b"[pidscope: 42 x]", b"[pids", b"\0"]),
    ),
    max_size=20,
)


@given(CHUNKS)
def test_all_bytes_come_out_in_order_and_the_last_mark_of_a_line_is_ours(
    chunks: list[bytes],
) -> None:
    written, _ = annotated(Dripping(chunks), number_first)
    whole = b"".join(chunks)
    assert b"".join(line + end for line, _, end in written) == whole
    lines = whole.split(b"\n")
    assert [line + end for line, _, end in written] == [
        *(line + b"\n" for line in lines[:-1]),
        *([lines[-1]] if lines[-1] else []),
    ]
    for line, annotation, _ in written:
        assert annotation.startswith(f" {MARK}") == bool(annotation)
        assert bool(annotation) == bool(number_first(line).mentions or b"[pidscope:" in line)


def test_a_line_of_many_mebibytes_passes_in_pieces_and_in_bounded_memory() -> None:
    size = 64 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    class Endless:
        left = size

        def read1(self, count: int) -> bytes:
            if self.left <= 0:
                return b""
            self.left -= count
            return b"9" * count if self.left > 0 else b"9" * (count - 1) + b"\n"

    total = 0
    last = Piece(b"")
    with bounded_time(60):
        for piece in pieces(Endless()):  # type: ignore[arg-type]
            assert len(piece.raw) <= MAX_HELD + (64 << 10)
            assert piece.begins == (total == 0)
            assert not last.ends or total == 0
            total += len(piece.raw)
            last = piece
    assert total == size and last.ends
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB


def test_a_line_in_pieces_is_annotated_once_at_its_end() -> None:
    long = b"x" * (MAX_HELD + 1)
    written, code = annotated(Dripping([b"42 ", long, b"more", b"\n", long, b"\n"]), number_first)
    assert code == 4
    assert [(len(line), annotation, end) for line, annotation, end in written] == [
        (len(long) + 3, "", b""),
        (4, " [pidscope: 42 not known: untimed]", b"\n"),
        (len(long), "", b""),
        (0, f" {MARK}{NO_PID}]", b"\n"),  # no part of a mark at the edge is taken for ours
    ]


def test_a_long_line_that_ends_with_the_stream_ends_with_its_annotation() -> None:
    long = b"42 " + b"x" * MAX_HELD
    written, _ = annotated(Dripping([long]), number_first)
    assert written[-1] == (b"", " [pidscope: 42 not known: untimed]", b"")
    out, _, _ = run(long, "audit", "-J")
    first, second = objects(out.decode())
    assert (first["line"], first["continues"]) == (long.decode(), False)
    assert (second["line"], second["continues"]) == ("", True)


@contextlib.contextmanager
def started(stdout: int, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The command, and its standard input."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd=CHECKOUT,
    ) as process:
        assert process.stdin is not None
        try:
            yield process, process.stdin
        finally:
            process.kill()


def test_each_line_is_answered_before_the_next_one_is_written() -> None:
    with bounded_time(60), started(subprocess.PIPE, "short-iso") as (process, stdin):
        assert process.stdout is not None
        for number in (9, 4242):
            stdin.write(ISO + b"a[%d]: x\n" % number)
            stdin.flush()
            assert process.stdout.readline().startswith(ISO + b"a[%d]: x [pidscope: " % number)
        stdin.write(ISO + b"a[4242]: x")
        stdin.close()
        assert process.stdout.read() == ISO + b"a[4242]: x [pidscope: " + NGINX + b"]"
        assert process.wait() == 1


def test_a_reader_that_goes_ends_it_in_silence() -> None:
    with bounded_time(60), started(subprocess.PIPE, "audit") as (process, stdin):
        assert process.stdout is not None and process.stderr is not None
        stdin.write(b"x\n")
        stdin.flush()
        assert process.stdout.readline() == b"x\n"
        process.stdout.close()
        stdin.write(b"y\n")
        stdin.flush()
        assert process.wait() == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""


def test_ctrl_c_ends_it_behind_a_whole_line() -> None:
    with bounded_time(60), started(subprocess.PIPE, "audit") as (process, stdin):
        assert process.stdout is not None and process.stderr is not None
        stdin.write(b"x\nhalf a li")
        stdin.flush()
        assert process.stdout.readline() == b"x\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""


def test_no_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="no standard input"):
        annotate.run(argparse.Namespace())


def test_a_terminal_gets_a_line_escaped_and_a_pipe_as_it_is() -> None:
    """A terminal obeys what it is sent: CVE-2003-0063 and its like, by lines of logs."""
    hostile = ISO + b"a[9]: \x1b]0;x\x07\xff\0\\ \xc3\xa9\tz"
    assert run(hostile, "short-iso")[0] == hostile + b" [pidscope: 9 no process had it then]"
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST  # a tab stays a tab
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    with bounded_time(60), started(slave, "short-iso") as (process, stdin):
        stdin.write(hostile + b"\n")
        stdin.flush()
        shown = b""
        while not shown.endswith(b"\n"):
            select.select([master], [], [])
            shown += os.read(master, 4096)
        stdin.close()
        assert process.wait() == 1
    os.close(slave)
    os.close(master)
    expected = rb"a[9]: \x1b]0;x\x07\xff\x00\\ %s" % "é".encode() + b"\tz [pidscope: 9 no process"
    assert shown == ISO + expected + b" had it then]\n"


# --- an expression that explodes -------------------------------------------------------------


def test_an_expression_that_explodes_costs_its_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """``re`` looks for signals while it searches, so a handler that raises ends it."""
    monkeypatch.setattr("pidscope.commands.annotate_guard._TICK_S", 0.05)
    explodes = Expression(r"(?P<pid>(\d+)+)x", Stamps(ZoneInfo("UTC"), lambda: 0))
    with bounded_time(60), Guard(explodes) as guard:
        assert guard(b"1" * 40) == Parsed(reason=TOO_LONG)
        assert guard(b"12x").mentions[0].number == 12
        written, code = annotated(Dripping([b"1" * 40 + b"\n", b"12x\n"]), guard)
    assert code == 4
    assert [annotation for _, annotation, _ in written] == [
        f" {MARK}{TOO_LONG}]",
        f" {MARK}12 not known: the line has no time]",
    ]
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL


def test_lines_that_are_quick_are_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ticks pass, but none twice within one line."""
    monkeypatch.setattr("pidscope.commands.annotate_guard._TICK_S", 0.01)
    ticks = []
    with Guard(number_first) as guard:
        tick = guard._tick
        monkeypatch.setattr(guard, "_tick", lambda *them: (ticks.append(1), tick(*them)))
        signal.signal(signal.SIGVTALRM, guard._tick)
        while len(ticks) < 5:
            assert guard(b"42 x").mentions[0].number == 42


def test_the_parsers_hold_all_formats_of_the_help() -> None:
    stamps = Stamps(ZoneInfo("UTC"), lambda: 0)
    for name in FORMATS:
        assert parser_of(name, stamps)(b"") == NOTHING
        assert find(NOTHING, lambda _: told().recorded()) == []


def test_the_help_has_every_format(capsys: Any) -> None:
    parser = argparse.ArgumentParser()
    annotate.register(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["annotate", "--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in FORMATS)
