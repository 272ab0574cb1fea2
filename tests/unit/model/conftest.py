"""A booted kernel of the model, as most of these tests begin with one."""

from __future__ import annotations

import pytest

from pidscope.model.sched import TaskStruct
from tests.unit.acting import boot, container


@pytest.fixture
def shell() -> TaskStruct:
    """A shell in its own session, by its task; it is process 3."""
    return boot()


@pytest.fixture
def init(shell: TaskStruct) -> TaskStruct:
    """The init of a container that the shell has made; it is process 4."""
    return container(shell)
