"""Each command as a person runs it: the transcripts beside this file, replayed word for word.

In a transcript, ``#`` is the title of an example, ``>`` a line of the scenario ``mine``, ``$`` a
command, and what follows that is all that it prints: its output, its messages, its exit status.
JSON is as the schema says, and folded as Python would.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest

from pidscope import cli
from tests.unit.commands.asked import valid


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are local ones."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def examples() -> Iterator[Any]:
    for path in sorted((Path(__file__).parent / "transcripts").glob("*.txt")):
        for example in path.read_text().split("\n# ")[1:]:
            title, _, lines = example.partition("\n")
            yield pytest.param(lines.rstrip("\n").split("\n"), id=f"{path.stem}: {title}")


def replayed(command: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """A command, and all that it prints."""
    code = cli.main(shlex.split(command)[2:])
    out, err = (text.splitlines() for text in capfd.readouterr())
    if " -J " in command:
        documents = [pformat(it, compact=True, sort_dicts=False) for it in map(valid, out)]
        out = [line for document in documents for line in document.split("\n")]
    elif "--dot" not in command:
        assert all(len(line) < 80 for line in [*out, *err[1:]])  # a fault is not folded
    assert all(line.isprintable() for line in [*out, *err])
    return [command, *out, *err, *([f"[exit {code}]"] if code else [])]


@pytest.mark.parametrize("lines", list(examples()))
def test_a_command_prints_what_its_transcript_has(
    lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("".join(f"{line[2:]}\n" for line in lines if line.startswith("> ")))
    commands = [line for line in lines if line.startswith("$ ")]
    assert commands
    printed = [line for command in commands for line in replayed(command, capfd)]
    assert printed == [line for line in lines if not line.startswith("> ")]
