from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.unit.commands.asked import alive


@pytest.fixture
def tree() -> Iterator[int]:
    """The number of a process that holds three nested namespaces alive."""
    with alive(sys.executable, "scripts/workload", "tree", says=b"ready\n") as supervisor:
        yield supervisor
