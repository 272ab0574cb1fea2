"""Model == kernel: the seeded share, faults that must be found, and whatever was once found."""

from __future__ import annotations

from pathlib import Path

import pytest
from pidscope_dev.differential.faults import FAULTS, planted
from pidscope_dev.differential.hunt import hunt, parse_steps, replay
from pidscope_dev.differential.theatre import Theatre

from pidscope.model.features import Features
from pidscope.model.kernel import Kernel
from pidscope.simulated.play import Play
from pidscope.simulated.scenario import read_scenario

FOUND = sorted((Path(__file__).parent / "found").glob("*.scenario"))
LEAST_CALLS, SHARE_CALLS = 500, 30_000


@pytest.mark.parametrize("seconds", [20, pytest.param(45, marks=pytest.mark.matrix)])
def test_no_difference(theatre: Theatre, features: Features, seconds: float) -> None:
    """The least, however long a slow machine takes; then the share, or what it makes in time."""
    for calls, limit_s in ((LEAST_CALLS, float("inf")), (SHARE_CALLS, seconds)):
        score, finding = hunt(theatre, features, "share", calls, limit_s)
        assert finding is None, str(finding)
        assert score.total >= calls or score.seconds >= limit_s
        assert score.disturbed == 0


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_planted_fault_is_found_within_a_minute(
    theatre: Theatre, features: Features, fault: str
) -> None:
    with planted(fault):
        _, finding = hunt(theatre, features, "p", 200_000, 60, short=False)
    assert finding is not None


def test_a_finding_is_short_and_comes_again(theatre: Theatre, features: Features) -> None:
    with planted("wait-own-only"):
        _, finding = hunt(theatre, features, "p", 200_000, 60)
        assert finding is not None
        assert len(finding.steps) <= 4
        assert replay(theatre, features, parse_steps(str(finding))) == finding.what
    assert replay(theatre, features, finding.steps) is None


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_once_agrees_now(theatre: Theatre, features: Features, path: Path) -> None:
    scenario = read_scenario(path)
    play = Play(Kernel(features), scenario.steps, scenario.source)
    while play.step():  # raises for a result that is not the one that is written there
        pass
    assert replay(theatre, features, scenario.steps[1:]) is None
