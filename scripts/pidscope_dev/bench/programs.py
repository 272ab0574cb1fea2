"""The programs that make something to be measured: found, compiled, run."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pidscope.errors import PidscopeError
from pidscope.live.program import Program, expect_root
from pidscope.wire.hooks import TRACEPOINT
from pidscope_dev.bench.taken import Unable

WALL, CPU, USER = "wall", "cpu", "user"  # figures of a command, in milliseconds
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in every user's PATH


def pidscope(*arguments: str) -> list[str]:
    """The command line of pidscope."""
    return [sys.executable, "-m", "pidscope", *arguments]


def find(program: str, package: str) -> str:
    """The path of a program; raises Unable with the package that has it."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SBIN])
    found = shutil.which(program, path=path)
    if found is None:
        raise Unable(f"no {program} (package {package}: scripts/install --bench)")
    return found


@contextlib.contextmanager
def compiled(name: str) -> Iterator[str]:
    """The program of a C file in this folder, as long as this is open; raises Unable."""
    compiler = find("cc", "gcc")
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, name)  # noqa: PTH118
        source = os.fspath(Path(__file__).with_name(f"{name}.c"))
        done = subprocess.run(
            [compiler, "-O2", "-o", program, source], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unable(f"{name}.c: {done.stderr.strip()}")
        yield program


@contextlib.contextmanager
def crowd(tasks: int, containers: int) -> Iterator[None]:
    """So many sleeping processes in as many PID namespaces; raises Unable."""
    with (
        compiled("crowd") as program,
        subprocess.Popen(
            [program, str(tasks), str(containers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None and process.stderr is not None
        if process.stdout.readline() != "ready\n":
            process.wait()
            raise Unable(f"no {tasks} processes: {process.stderr.read().strip()}")
        yield


@contextlib.contextmanager
def attached() -> Iterator[Program]:
    """Pidscope's programs of tracepoint mode; nothing reads what they write. Raises Unable."""
    try:
        expect_root()
        program = Program(TRACEPOINT, steps=False)
    except PidscopeError as error:
        raise Unable(str(error)) from error
    with contextlib.closing(program):
        yield program


def cpu_ns_of(loop: Sequence[str]) -> float:
    """Nanoseconds of CPU time that a loop prints; the least of three: noise only adds."""
    printed = (subprocess.run(loop, check=True, capture_output=True).stdout for _ in range(3))
    return min(map(float, printed))


def wall_ms(command: Sequence[str]) -> float:
    """Milliseconds from a command's start to its end; raises Unable if it fails."""
    return spent(command)[WALL]


def spent(command: Sequence[str], env: Mapping[str, str] | None = None) -> dict[str, float]:
    """What a command takes, in milliseconds, run in no checkout; raises Unable if it fails."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd="/",
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with process.stderr as stderr:
        words = stderr.read().decode(errors="replace").split()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = " ".join(words)[-200:]
        raise Unable(f"{' '.join(command)} ended with {process.returncode}: {message}")
    seconds = {WALL: wall, CPU: used.ru_utime + used.ru_stime, USER: used.ru_utime}
    return {figure: value * 1e3 for figure, value in seconds.items()}
