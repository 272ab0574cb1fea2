"""The differential test runs on any kernel, as root or in a user namespace, without eBPF."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pidscope_dev.differential.probe import find_features
from pidscope_dev.differential.puppets import build
from pidscope_dev.differential.theatre import Theatre

from pidscope.model.features import Features


@pytest.fixture(scope="session")
def puppet() -> Iterator[str]:
    """The compiled puppet, where every user can execute it."""
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
