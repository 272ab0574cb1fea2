"""What the tests of engines leave behind: a row of docs/engines.md for each engine that was asked.

`scripts/engines --write` makes the page of them, so that one run in a guest is both.
"""

from __future__ import annotations

import pytest
from pidscope_dev.engines import table

ROWS = pytest.StashKey[list[table.Row]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for row in config.stash[ROWS]:
        terminalreporter.write_line(table.to_line(row))
