"""What the tests of a session have in common: the watch itself."""

from __future__ import annotations

import pytest

from tests.unit.watched import Watch


@pytest.fixture
def new() -> Watch:
    """A watch that has not begun."""
    return Watch()


@pytest.fixture
def w(new: Watch) -> Watch:
    """A watch that has begun."""
    new.session.begin()
    return new


@pytest.fixture
def busy() -> Watch:
    """A watch that has begun where something had happened before."""
    watch = Watch(acts=20)
    watch.session.begin()
    return watch
