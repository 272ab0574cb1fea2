"""Kept programs on a real kernel: a start without bcc, and one that a signal ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# What a start imports beside what it needs, and what it reads, in a cache of its own.
START = """
import sys
base, *arguments = sys.argv[1:]
import pidscope.live.kept_programs as kept
kept.directory_of = lambda *_: base
opened = set()
sys.addaudithook(lambda name, args: opened.add(str(args[0])) if name == "open" else None)
from pidscope.cli import main
code = main(arguments)
compiles = {"bcc", "pidscope.live.compiler", "pidscope.host.btf"} & set(sys.modules)
print("compiles", sorted(compiles), "/sys/kernel/btf/vmlinux" in opened, file=sys.stderr)
sys.exit(code)
"""
WATCH = ("watch", "--duration", "0.01")


def start(base: Path, *arguments: str) -> list[str]:
    """Start in a new process; return the lines of standard error."""
    command = [sys.executable, "-c", START, str(base), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def kept(base: Path) -> list[Path]:
    return sorted((base / "pidscope" / "programs").iterdir())


def test_the_second_start_needs_no_compiler(tmp_path: Path) -> None:
    first, second = start(tmp_path, *WATCH), start(tmp_path, *WATCH)
    assert first[0] == "pidscope: compiling for this kernel, once"
    assert first[-1] == "compiles ['pidscope.host.btf', 'pidscope.live.compiler'] True"
    assert "live by" in second[0] and second[0].split(",")[0] == first[1].split(",")[0]
    assert second[-1] == "compiles [] False"
    for path in kept(tmp_path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_without_the_cache_nothing_is_kept(tmp_path: Path) -> None:
    lines = start(tmp_path, *WATCH, "--no-cache")
    assert lines[0] == "pidscope: compiling for this kernel"
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_compiled_anew(tmp_path: Path) -> None:
    start(tmp_path, *WATCH)
    damaged = [path for path in kept(tmp_path) if not path.name.startswith("mode")]
    for path in damaged:
        os.truncate(path, path.stat().st_size - 8)
    lines = start(tmp_path, *WATCH)
    notes = [line for line in lines if line.startswith("pidscope: not used:")]
    assert len(notes) == len(damaged) == 3
    assert "pidscope: compiling for this kernel, once" in lines
    assert start(tmp_path, *WATCH)[-1] == "compiles [] False"


# clang as it may be: for seconds in one call, in which no handler of Python's runs.
NEVER_READY = """
import os, sys, time
import pidscope.live.compiler as compiler
def at_work(jobs):
    os.write(2, b"clang is at work\\n")
    time.sleep(1_000_000)
compiler._compiled = at_work
from pidscope.cli import main
sys.exit(main(sys.argv[1:]))
"""
BOUND_S = 60  # of a start under emulation; what it waits for never comes


@pytest.mark.parametrize("command", ["watch", "verify"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_start_at_once(command: str, number: signal.Signals) -> None:
    """Its child has standard error open as well, so the end of the file is the end of both."""
    with subprocess.Popen(
        [sys.executable, "-c", NEVER_READY, command, "--no-cache"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"pidscope: compiling for this kernel\n"
        assert process.stderr.readline() == b"clang is at work\n"
        process.send_signal(number)
        assert process.communicate(timeout=BOUND_S) == (None, b"")
    assert process.returncode == 128 + number
