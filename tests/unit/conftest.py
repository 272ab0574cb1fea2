"""One profile: the same examples every time, and no deadline on a loaded machine. One own host."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.unit import own_host

settings.register_profile(
    "unit",
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("unit")

_place = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Go on where nothing else runs; once, before any test is collected."""
    config.stash[_place] = own_host.enter()


def pytest_report_header(config: pytest.Config) -> str:
    return f"the tests run in {config.stash[_place]}"
