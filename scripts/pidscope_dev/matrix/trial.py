"""Try every mode on the kernel that runs: what `doctor` finds possible has to pass `verify`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Callable

from pidscope.wire.hooks import TRACEPOINT, WAYS
from pidscope_dev import CHECKOUT
from pidscope_dev.matrix.table import ITERATOR, UNTRIED, WRONG, YES, Row, refusal

WORKLOAD = ("scripts/workload", "nested")
FAULTS = ("missing", "ghost", "wrong", "ungrammatical")

_VERSION = re.compile(r"\d+(\.\d+)*")


def tried(native: bool) -> Row:
    """Run pidscope in every mode; the row of this kernel. Raises ValueError: there is no bcc.

    A native kernel is named by its version alone: the rest of its release is its machine's own.
    """
    _code, answer = _pidscope("doctor", "-J")
    checks = {check["name"]: check for check in answer["checks"]}
    cells = {way: _cell(checks.get(way), partial(_verified, way)) for way in WAYS}
    # Every start reads all tasks by the iterator if it is there: a verified mode began so.
    cells[ITERATOR] = _cell(checks.get(ITERATOR), lambda: YES in cells.values())
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


def _cell(check: Mapping[str, Any] | None, works: Callable[[], bool]) -> str:
    if check is None:
        return UNTRIED
    if not check["ok"]:
        return refusal(check["detail"])
    return YES if works() else WRONG


def _verified(way: str) -> bool:
    code, answer = _pidscope("verify", "-J", "--probes", way, "--", *WORKLOAD)
    return passed(way, code, answer, _expected_births())


def passed(way: str, code: int, answer: Mapping[str, Any], births: int) -> bool:
    """Whether this very way was verified, on a workload with at least so many births counted."""
    if answer.get("type") != "verification" or answer["probes"] != way or answer["cmd_status"] != 0:
        return False
    judged = answer["compared"] > 0 and not any(answer[fault] for fault in FAULTS)
    # What tracepoints report is judged, but never complete, and only that is exit code 0.
    return judged and answer["cmd_counts"]["births"] >= births and (code == 0 or way == TRACEPOINT)


def _expected_births() -> int:
    done = subprocess.run([*WORKLOAD, "--expect"], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    return int(json.loads(done.stdout)["births"])


def _pidscope(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run pidscope; its exit code, and the last object that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pidscope", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    # The row has one word for what went wrong; this has all of it.
    sys.stderr.write(f"pidscope {' '.join(arguments)}: {done.returncode}\n{done.stdout}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return done.returncode, answer
