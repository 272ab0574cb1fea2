"""The differential test runs on any kernel, as root or in a user namespace, without eBPF."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pidscope.model.features import Features
from tests.differential.probe import find_features
from tests.differential.puppets import build
from tests.differential.theatre import Theatre


@pytest.fixture(scope="session")
def puppet() -> Iterator[str]:
    """The compiled puppet, where everybody can execute it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield build(Path(directory))


@pytest.fixture(scope="session")
def theatre(puppet: str) -> Iterator[Theatre]:
    with Theatre(puppet) as theatre:
        yield theatre


@pytest.fixture(scope="session")
def features(theatre: Theatre) -> Features:
    return find_features(theatre)
