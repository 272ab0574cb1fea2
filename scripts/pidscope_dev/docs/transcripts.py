"""The transcripts of README and docs/: fenced blocks of `$ COMMAND` lines and their output.

A block is run again on a simulated kernel, unless the line above it names the command, the real
kernel and the day that it was captured from. Commands run in docs/.
"""

from __future__ import annotations

import datetime
import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pidscope_dev import CHECKOUT

DOCS = CHECKOUT / "docs"
MOST_LINES = 24  # of one captured output; the middle of a longer one is left out

_BLOCK = re.compile(
    r"(?:^Captured by `(?P<by>[^`\n]+)` on Linux [^\s,]+, \d{4}-\d\d-\d\d:\n\n?)?"
    r"^```\n(?P<body>\$ .*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_DIGITS = re.compile(r"\d+")
_COMMAND = re.compile(r"^\$ ", re.MULTILINE)
# A test runs these, perhaps as root: only simulated kernels, and no other program.
_ALLOWED = re.compile(r"cat [\w.-]+|pidscope [^|;&<>$`]* --source simulated[^|;&<>$`]*")
_ENVIRONMENT = {
    "COLUMNS": "80",
    "LC_ALL": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",  # so that both streams come in order, as on a terminal
    "TZ": "UTC",
}


class Entry(NamedTuple):
    """A command and its output, without the newline at the end."""

    command: str
    output: str


def pages() -> list[Path]:
    """Return the files that have transcripts."""
    return [CHECKOUT / "README.md", *sorted(DOCS.glob("*.md"))]


def renewed_pages() -> Iterator[tuple[Path, str]]:
    """Give each page with the text that it should have now."""
    for page in pages():
        yield page, renewed(page.read_text(encoding="utf-8"), rerun)


def captured_pages() -> Iterator[tuple[Path, str]]:
    """Give each page with its captured transcripts taken again, by commands that boot VMs."""
    taken = functools.cache(_output)
    for page in pages():
        yield page, recaptured(page.read_text(encoding="utf-8"), taken, datetime.date.today())


def renewed(text: str, run: Callable[[str], str]) -> str:
    """Return the page with each transcript taken from ``run``, but the captured ones."""

    def block(match: re.Match[str]) -> str:
        if match["by"]:
            return match[0]
        return _fenced(Entry(each.command, run(each.command)) for each in entries(match["body"]))

    return _BLOCK.sub(block, text)


def recaptured(text: str, taken: Callable[[str], str], day: datetime.date) -> str:
    """Return the page with what the commands of captured transcripts print now.

    ``taken`` gives the transcript that a command prints; its first entry is ``uname -r``. Numbers
    in commands differ from run to run. Raises ValueError for a command that is not in it.
    """

    def block(match: re.Match[str]) -> str:
        if not match["by"]:
            return match[0]
        kernel, *now = entries(taken(match["by"]))
        known = {_shape(each.command): each for each in reversed(now)}
        wanted = [_shape(each.command) for each in entries(match["body"])]
        absent = [shape for shape in wanted if shape not in known]
        if absent:
            raise ValueError(f"{match['by']} printed no transcript of {absent[0]}")
        head = f"Captured by `{match['by']}` on Linux {kernel.output}, {day}:\n\n"
        return head + _fenced(_cut(known[shape]) for shape in wanted)

    return _BLOCK.sub(block, text)


def rerun(command: str) -> str:
    """Return what a command prints.

    Raises ValueError for a command that needs more than a simulation, or that ends in a traceback.
    """
    if not _ALLOWED.fullmatch(command):
        raise ValueError(f"{command!r} needs a real kernel: mark its transcript as captured")
    done = subprocess.run(
        ["sh", "-c", f"{{ {command}; }} 2>&1"],
        cwd=DOCS,
        env={**_ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{os.defpath}"},
        stdout=subprocess.PIPE,
        check=False,
    )
    if b"Traceback (most recent call last)" in done.stdout:
        raise ValueError(f"{command!r} ends in a traceback:\n{done.stdout.decode()}")
    status = f"[exit status {done.returncode}]\n" if done.returncode else ""
    return (done.stdout.decode() + status).rstrip("\n")


def entries(body: str) -> list[Entry]:
    """Return the commands of a transcript, each with its output; nothing before the first."""
    parts = (part.partition("\n") for part in _COMMAND.split(body)[1:])
    return [Entry(command, output.rstrip("\n")) for command, _, output in parts]


def _fenced(shown: Iterable[Entry]) -> str:
    texts = [f"$ {command}\n{output}".rstrip("\n") for command, output in shown]
    return "```\n" + "\n\n".join(texts) + "\n```"


def _cut(entry: Entry) -> Entry:
    lines = entry.output.splitlines()
    if len(lines) > MOST_LINES:
        lines[MOST_LINES * 2 // 3 : -(MOST_LINES // 3)] = ["…"]
    return Entry(entry.command, "\n".join(lines))


def _shape(command: str) -> str:
    return _DIGITS.sub("N", command)


def _output(command: str) -> str:
    done = subprocess.run(
        shlex.split(command), cwd=CHECKOUT, stdout=subprocess.PIPE, check=True, text=True
    )
    return done.stdout
