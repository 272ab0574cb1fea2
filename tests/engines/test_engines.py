"""Real container engines: each question of scripts/engines as a test, for each engine.

They run in a guest, and never skip: ``scripts/vm --engines --memory 4096 --timeout 3600 -- pytest
tests/engines``. What is right is what the engine says of its own containers (`docker inspect` and
its like); docs/engines.md has the answers as a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pidscope_dev.engines.engine import CannotDo
from pidscope_dev.engines.main import ENGINES
from pidscope_dev.engines.questions import QUESTIONS, Asked


@pytest.fixture(scope="module", params=list(ENGINES))
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asked]:
    place: Path = tmp_path_factory.mktemp(request.param)
    made = Asked(ENGINES[request.param](place))
    try:
        yield made
    finally:
        made.clean()


@pytest.mark.parametrize("question", QUESTIONS)
def test_pidscope_says_what_the_engine_says(asked: Asked, question: str) -> None:
    # The engine has no such thing: nothing to be right about, and docs/engines.md has a dash.
    try:
        QUESTIONS[question](asked)
    except CannotDo as reason:
        print(reason)
