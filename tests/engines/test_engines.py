"""Real container engines: each question of scripts/engines as a test, for each engine.

They run in a guest, and never skip: ``scripts/vm --engines --memory 6144 --timeout 7200 -- pytest
tests/engines | tee rows``; then ``scripts/engines --write rows`` makes docs/engines.md. What is
right is what the engine says of its own containers (`docker inspect` and its like).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pidscope_dev.engines import evidence, table
from pidscope_dev.engines.engine import Engine
from pidscope_dev.engines.main import ENGINES, version_of
from pidscope_dev.engines.questions import QUESTIONS, Asked, answer
from pidscope_dev.engines.tasks import inum


class Talk(NamedTuple):
    """One engine's containers, and what was answered about them."""

    asked: Asked
    answers: dict[str, str]


@pytest.fixture(scope="module", params=list(ENGINES))
def talk(request: pytest.FixtureRequest) -> Iterator[Talk]:
    # Not below pytest's directory, which another user may not enter.
    with tempfile.TemporaryDirectory(prefix="pidscope-engines-", dir="/run") as place:
        yield from _talk(ENGINES[request.param](Path(place)), request.config)


def _talk(engine: Engine, config: pytest.Config) -> Iterator[Talk]:
    answers: dict[str, str] = {}
    failed = "its containers did not start"
    try:
        made = Asked(engine)
        failed = ""
        # Shown with what fails.
        print(f"evidence of {engine.name}:", *evidence.lines(inum(1)), sep="\n")
        yield Talk(made, answers)
        made.clean()
    finally:
        system = table.cgroup_form(), table.kernel()
        row = table.Row(engine.name, version_of(engine), *system, answers, failed)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        reporter.ensure_newline()
        reporter.write_line(table.to_line(row))


@pytest.mark.parametrize("question", QUESTIONS)
def test_pidscope_says_what_the_engine_says(talk: Talk, question: str) -> None:
    found = talk.answers[question] = answer(talk.asked, QUESTIONS[question])
    # -: the engine has no such thing, so there is nothing to be right about.
    assert found == "ok" or found.startswith("-"), found
