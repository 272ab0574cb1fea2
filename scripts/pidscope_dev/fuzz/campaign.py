"""Runs targets one after another, each in its own process, and reads what they print."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pidscope_dev.fuzz.target import Target

TIME_LIMIT_S = 10  # for one input of at most 4 KiB; none should take a hundredth of a second
MEMORY_LIMIT_MIB = 1024  # for the whole process, which begins with some 50

_COVERED = re.compile(rb"\bcov: ([0-9]+)")
_RUN = re.compile(rb"^stat::number_of_executed_units: ([0-9]+)$", re.MULTILINE)
_PEAK = re.compile(rb"^stat::peak_rss_mb: +([0-9]+)$", re.MULTILINE)
_ENDED = {0: "", 70: "too slow", 71: "too much memory", 77: "an exception"}


class Result(NamedTuple):
    """What came of one target."""

    target: str
    inputs: int
    seconds: float
    accepted: float | None  # the share; None: too few inputs
    covered: int  # edges of the reader's bytecode
    peak_mib: int
    finding: str
    printed: bytes  # by libFuzzer and the traceback


def run(target: Target, inputs: int, seed: int, crashers: Path) -> Result:
    """Fuzz one target until ``inputs`` were run, or one was a finding."""
    begun = time.monotonic()
    with TemporaryDirectory(prefix="pidscope-fuzz-") as made:
        counts = Path(made, "counts")
        limits = (f"-runs={inputs}", f"-seed={seed}", f"-artifact_prefix={crashers}/{target.name}-")
        ended = _child(target, counts, *limits)
        of, accepted = json.loads(counts.read_text()) if counts.exists() else (0, 0)
    return Result(
        target.name,
        _last(_RUN, ended.stdout),
        time.monotonic() - begun,
        accepted / of if of else None,
        _last(_COVERED, ended.stdout),
        _last(_PEAK, ended.stdout),
        _ENDED.get(ended.returncode, f"exit code {ended.returncode}"),
        ended.stdout,
    )


def _child(target: Target, counts: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run one process to its end; all that it leaves behind is beside ``counts``."""
    corpus = counts.parent / "corpus"
    corpus.mkdir()
    for number, data in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    command = [
        *(sys.executable, "-m", "pidscope_dev.fuzz.child", target.name, os.fspath(counts)),
        *(os.fspath(corpus), f"-max_len={target.max_bytes}", *arguments),
        *(f"-timeout={TIME_LIMIT_S}", f"-rss_limit_mb={MEMORY_LIMIT_MIB}"),
        "-mutate_depth=1",  # each is several edits already: with more, hardly any is accepted
        "-print_final_stats=1",
    ]
    # TMPDIR, since libFuzzer's exit skips every clean-up.
    environment = {"TMPDIR": os.fspath(counts.parent)}
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def _last(pattern: re.Pattern[bytes], printed: bytes) -> int:
    return int((pattern.findall(printed) or [b"0"])[-1])
