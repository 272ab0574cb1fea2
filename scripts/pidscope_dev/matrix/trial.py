"""Try every mode on the kernel that runs: what `doctor` finds possible has to pass `verify`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from pidscope.wire.hooks import TRACEPOINT, WAYS
from pidscope_dev import CHECKOUT

from .row import ITERATOR, UNTRIED, WRONG, YES, Row, refusal

WORKLOAD = ("scripts/workload", "nested")
FAULTS = ("missing", "ghost", "wrong", "ungrammatical")

_VERSION = re.compile(r"\d+(\.\d+)*")


def tried(native: bool) -> Row:
    """Run pidscope in every mode; the row of this kernel. Raises ValueError: it said nothing.

    A native kernel is named by its version alone: the rest of its release is its machine's own.
    """
    _code, said = _pidscope("doctor", "-J")
    checks = {check["name"]: check for check in said["checks"]}
    cells = {way: _way(way, checks.get(way)) for way in WAYS}
    cells[ITERATOR] = _iterator(checks.get(ITERATOR), cells)
    return Row(kernel_name(os.uname().release, native), bcc_version(checks["bcc"]), cells)


def kernel_name(release: str, native: bool) -> str:
    """Return what a row calls a kernel."""
    version = _VERSION.match(release)
    return f"{version[0]} (native)" if native and version else release


def bcc_version(check: Mapping[str, Any]) -> str:
    """Return the version that doctor found: ``0.26.0 in /usr/lib/…``. Raises ValueError."""
    version = _VERSION.match(check["detail"])
    if not check["ok"] or not version:
        raise ValueError(f"no bcc: {check['detail']}")
    return version[0]


def _way(way: str, check: Mapping[str, Any] | None) -> str:
    if check is None:
        return UNTRIED
    if not check["ok"]:
        return refusal(check["detail"])
    code, said = _pidscope("verify", "-J", "--probes", way, "--", *WORKLOAD)
    return YES if passed(way, code, said, _expected_births()) else WRONG


def passed(way: str, code: int, said: Mapping[str, Any], births: int) -> bool:
    """Whether this very way was verified, on a workload that it saw do at least so many births."""
    if said.get("type") != "verification" or said["probes"] != way or said["cmd_status"] != 0:
        return False
    judged = said["compared"] > 0 and not any(said[fault] for fault in FAULTS)
    # What tracepoints tell is judged, but never complete, and only that is exit code 0.
    return judged and said["cmd_counts"]["births"] >= births and (code == 0 or way == TRACEPOINT)


def _iterator(check: Mapping[str, Any] | None, cells: Mapping[str, str]) -> str:
    """Every start reads all tasks by the iterator if it is there: what was verified began so."""
    if check is None:
        return UNTRIED
    if not check["ok"]:
        return refusal(check["detail"])
    return YES if YES in cells.values() else WRONG


def _expected_births() -> int:
    said = subprocess.run([*WORKLOAD, "--expect"], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    return int(json.loads(said.stdout)["births"])


def _pidscope(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run pidscope; its exit code, and the last object that it told."""
    done = subprocess.run(
        [sys.executable, "-m", "pidscope", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    # What goes wrong is to be seen, and said in the row only as a word.
    sys.stderr.write(f"pidscope {' '.join(arguments)}: {done.returncode}\n{done.stdout}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return done.returncode, told
