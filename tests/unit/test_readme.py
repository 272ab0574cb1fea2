"""The README and its tables: of situations, and, in docs/model.md, of the kernel's words.

Every command in them is one, and every place.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import pidscope.model
from pidscope import cli
from tests import CHECKOUT

README = (CHECKOUT / "README.md").read_text()
TABLES = README + (CHECKOUT / "docs" / "model.md").read_text()
MOST_LINES = 240  # of the README; the rest belongs to docs/
MODEL = Path(pidscope.model.__file__).parent
_QUOTED = re.compile(r"`([^`]+)`")
_OURS = re.compile(r"pidscope ([^`)<]+)")
_COMMAND = re.compile(r"(?:ns|ps|lookup|explain|limits|watch)(?: .*)?")
_PLACE = re.compile(r"`(\w+\.py)`(?:: ((?:`[\w.]+`(?:, )?)+))?")


def rows(heading: str) -> Iterator[list[str]]:
    _, _, rest = TABLES.partition(f"\n| {heading} |")
    assert rest, heading
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def situations() -> list[str]:
    return [ours.strip() for row in rows("you have") for ours in _OURS.findall(row[1])]


def on_the_screen() -> list[str]:
    quoted = [it for row in rows("in the kernel") for it in _QUOTED.findall(row[1])]
    return [it for it in quoted if _COMMAND.fullmatch(it)]


def places() -> list[tuple[str, str]]:
    found = [match for row in rows("in the kernel") for match in _PLACE.findall(row[2])]
    return [(file, name) for file, names in found for name in (_QUOTED.findall(names) or [""])]


@pytest.mark.parametrize("command", situations())
def test_what_answers_a_situation_is_a_command(command: str) -> None:
    words = shlex.split(command)
    args = cli._parser(words[:1]).parse_args(words)
    assert args.func is not None


@pytest.mark.parametrize("command", on_the_screen())
def test_what_shows_a_word_of_the_kernel_shows_something(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = [] if "--source" in command else ["--source", "simulated"]
    assert cli.main([*shlex.split(command), *source]) in (0, 1)
    assert len(capsys.readouterr().out.splitlines()) > 1


@pytest.mark.parametrize(("file", "name"), places())
def test_a_word_of_the_kernel_is_where_the_table_says(file: str, name: str) -> None:
    text = (MODEL / file).read_text()
    assert re.search(rf"(?:class|def) {re.escape(name.partition('.')[0])}\b", text)


def test_each_word_of_the_kernel_is_one_of_the_models() -> None:
    text = "".join(path.read_text() for path in MODEL.glob("*.py"))
    words = {it for row in rows("in the kernel") for it in _QUOTED.findall(row[0])}
    plain = {it for it in words if re.fullmatch(r"\w+", it)} - {"pid_links"}  # hlist nodes
    assert {it for it in plain if not re.search(rf"\b{it}\b", text)} == set()


def test_the_tables_are_read() -> None:
    assert len(situations()) > 10 and len(on_the_screen()) > 15 and len(places()) > 15


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES
