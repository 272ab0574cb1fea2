"""Rows of engines in text, and the page of docs/ made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_MARK = "engine-row "
_HEAD = """\
# Real container engines

Made by `scripts/engines --write` from runs of `scripts/vm --engines -- scripts/engines --here`.
Each engine is asked about its own containers (`docker inspect`, `ctr task ls`, `lxc-info --pid`,
`machinectl show --property=Leader`, …), and pidscope has to give the same answer. Nothing is
pulled: the containers hold busybox. The engines are Debian's, and systemd is process 1.
`podman-rootless` is a user's Podman with the user's own service manager, `podman-pod` has each
container in a pod of Podman's, `containerd-cri` in a pod as a kubelet makes it, and of
`docker-in-docker` the containers are those of the inner engine, which pidscope shows by their ids.
Without v2, rootless Podman makes no cgroup for a container: it is one of an unknown runtime then.
The guest is emulated, so an engine may answer later than pidscope waits.

| column | ok: |
|---|---|
| name | the container of its process 17 has this name, or has it as its id |
| init | the namespace's init is the process that the engine names, and the container owns it |
| 17 in it | `lookup -q 17 --in NAME` prints the host's PID of the process that is 17 in it |
| 17 out of it | `lookup -q N --to id:…` prints 17 for that PID |
| pod | `lookup -q 17 --in pod:POD` prints the same: a pod is its one application container |
| exec | what the engine executed in the container is in it, and `joined` |
| shared | a second container in its namespace is itself, and is listed as sharing the namespace |
| host's | in a container with the host's namespace, `lookup -q 17` refuses |
| ended | a container that has ended has no number: no output, and no exit status 0 |
| README | each line of the README's table "Which command answers" is true of it (`watch` apart) |
| paused | the numbers are right in a frozen container |
| restarted | they are those of the new container of the same name |

`-`: the engine has no such thing; an empty cell: not asked. A letter stands for what differs,
listed below the table.

"""
FORMS = ("v2", "hybrid", "v1")


class Row(NamedTuple):
    """What one engine and pidscope said of the same containers."""

    engine: str
    version: str
    cgroup: str
    kernel: str
    answers: Mapping[str, str]
    failed: str  # why there are no answers


def good(row: Row) -> bool:
    """Say whether the engine ran and nothing differs."""
    return bool(row.answers) and all(it == "ok" or it[0] == "-" for it in row.answers.values())


def cgroup_form() -> str:
    """Return ``v2``, ``hybrid`` or ``v1``: how the cgroups of this machine are mounted."""
    types = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    if "cgroup" not in types:
        return "v2"
    return "hybrid" if "cgroup2" in types else "v1"


def kernel() -> str:
    """Return the kernel's release."""
    return os.uname().release


def to_line(row: Row) -> str:
    """Return a row as a line among other output."""
    return _MARK + json.dumps(row._asdict())


def from_lines(text: str) -> Iterator[Row]:
    """Return the rows in a text."""
    for line in text.splitlines():
        if line.startswith(_MARK):
            yield Row(**json.loads(line[len(_MARK) :]))


def page(rows: Iterable[Row], engines: Iterable[str]) -> str:
    """Return the page: the table, what differs below it, and which engines have no row yet."""
    rows = list(rows)
    notes: list[str] = []
    kernels = ", ".join(sorted({row.kernel for row in rows}))
    table = "\n".join(_lines(rows, notes))
    marked = "".join(f"- {_letter(at)}: {note}\n" for at, note in enumerate(notes))
    below = f"{marked}\n" if marked else ""
    return f"{_HEAD}Linux {kernels}:\n\n{table}\n\n{below}{_not_yet(rows, list(engines))}"


def _lines(rows: list[Row], notes: list[str]) -> Iterator[str]:
    fullest_first = sorted(rows, key=lambda row: -len(row.answers))
    questions = list(dict.fromkeys(name for row in fullest_first for name in row.answers))
    yield "| engine | version | cgroups | " + " | ".join(questions) + " |"
    yield "|---" * (3 + len(questions)) + "|"
    for row in rows:
        if row.answers:
            cells = [_cell(row.answers.get(name, ""), notes) for name in questions]
        else:
            cells = [_cell(f"not run: {row.failed}", notes)] + [""] * (len(questions) - 1)
        yield "| " + " | ".join([row.engine, row.version, row.cgroup, *cells]) + " |"


def _not_yet(rows: list[Row], engines: list[str]) -> str:
    ran = {(row.engine, row.cgroup) for row in rows if row.answers}
    lines = []
    for form in FORMS:
        missing = [name for name in engines if (name, form) not in ran]
        if missing:
            lines.append(f"cgroups {form}: {', '.join(missing)}")
    return "Not yet:\n\n" + "".join(f"- {line}\n" for line in lines) if lines else ""


def _cell(answer: str, notes: list[str]) -> str:
    if answer in ("ok", ""):
        return answer
    if answer.startswith("-"):
        return "-"
    answer = " ".join(answer.replace("\npidscope: ", " ").split())
    if answer not in notes:
        notes.append(answer)
    return _letter(notes.index(answer))


def _letter(at: int) -> str:
    return chr(ord("a") + at) if at < 26 else f"{_letter(at // 26 - 1)}{_letter(at % 26)}"
