"""What a session must survive, once each; `scripts/soak --runs 20` has the long runs."""

from __future__ import annotations

import pytest
from pidscope_dev.soak.run import STRESSES, runs

SECONDS = 2.0


@pytest.mark.parametrize(
    ("name", "probes"),
    [
        ("storm", "fentry"),
        ("overflow", "fentry"),
        ("overflow", "kprobe"),
        pytest.param("namespaces", "fentry", marks=pytest.mark.matrix),
        pytest.param("stopped", "fentry", marks=pytest.mark.matrix),
        pytest.param("storm", "kprobe", marks=pytest.mark.matrix),
    ],
)
def test_stress_is_survived(name: str, probes: str) -> None:
    (result,) = runs(STRESSES[name], probes, SECONDS, 1)
    assert result.wrongs == []
    assert result.accounted == 1
