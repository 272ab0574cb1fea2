"""Running sections: on this kernel, or where it allows too little, on one in a VM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Callable

from pidscope.errors import PidscopeError
from pidscope.live.program import Program, expect_root
from pidscope_dev import CHECKOUT
from pidscope_dev.bench.machine import kernel_name
from pidscope_dev.bench.row import Row, from_json
from pidscope_dev.bench.sections import Section
from pidscope_dev.bench.taken import Taken, Unable

_KERNEL = "6.1"  # whose headers are in the same suite as its bcc
_TIMEOUT_S = "3000"


def here(sections: Sequence[Section]) -> list[Row]:
    """The rows of all sections, as far as this kernel allows."""
    taken: dict[Callable[[], Taken], Taken] = {}
    refusal = _refusal() if any(section.functions for section in sections) else ""
    rows: list[Row] = []
    for section in sections:
        if section.measure not in taken:
            _say(section.name)
            taken[section.measure] = _taken(section, refusal)
        made = map(taken[section.measure].row, section.rows)
        kernel = kernel_name(os.uname().release)
        rows += [row._replace(section=section.name, kernel=kernel) for row in made]
    return rows


def everywhere(sections: Sequence[Section]) -> list[Row]:
    """The same, those that need function hooks in a VM if this kernel has none for us."""
    hooking = [section for section in sections if section.functions]
    if not hooking or not _refusal():
        return here(sections)
    native = here([section for section in sections if not section.functions])
    rows = [*native, *_in_vm(hooking)]
    order = [section.name for section in sections]
    return sorted(rows, key=lambda row: order.index(row.section))


def _taken(section: Section, refusal: str) -> Taken:
    if section.functions and refusal:
        return Taken({}, otherwise=refusal)
    try:
        return section.measure()
    except (Unable, OSError, subprocess.SubprocessError) as error:
        return Taken({}, otherwise=str(error))


def _refusal() -> str:
    """Why functions cannot be hooked here; empty if they can."""
    try:
        expect_root()
        Program("fentry").close()
    except PidscopeError as error:
        return f"no function hooks: {error}"
    return ""


def _in_vm(sections: Sequence[Section]) -> list[Row]:
    names = [section.name for section in sections]
    _say(f"a VM with kernel {_KERNEL}: {' '.join(names)}")
    vm = [os.fspath(CHECKOUT / "scripts/vm"), "--kernel", _KERNEL, "--timeout", _TIMEOUT_S]
    done = subprocess.run(
        [*vm, "--", "scripts/bench", "--here", "--json", *names],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        made = json.loads(done.stdout.splitlines()[-1])["rows"]
    except (IndexError, ValueError):
        nothing = Taken({}, otherwise=f"scripts/vm ended with {done.returncode}, without rows")
        return [
            nothing.row(asked)._replace(section=section.name)
            for section in sections
            for asked in section.rows
        ]
    rows = map(from_json, made)
    return [row._replace(kernel=f"{row.kernel} in a VM") for row in rows]


def _say(what: str) -> None:
    print(f"scripts/bench: {what}", file=sys.stderr, flush=True)
