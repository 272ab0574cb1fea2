"""The life stream of the model equals its full stream, field by field, at random.

The default is a seeded share; scripts/lives model plays 100,000 lives, or as many as are asked for.
"""

from __future__ import annotations

import pytest
from pidscope_dev.lives.model import compare, lived

from pidscope.model.features import TODAY, Features
from pidscope.wire.lives import LifeKind

SEEDS = range(6)
FEATURES = {"today": TODAY, "overlapping exits": Features(exits_overlap=True)}


@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("seed", SEEDS)
def test_lives_equal_those_of_the_full_stream(seed: int, features: Features) -> None:
    both = lived(seed, 1_000, features)
    assert compare(both) == []
    assert len(both.lives) > 50


def test_each_field_that_both_know_is_compared() -> None:
    """Planted: one life differs in one field."""
    both = lived(1, 300)
    first = next(life for life in both.lives if life.kind is LifeKind.PROCESS)
    assert compare(both) == []
    for name, value in first._asdict().items():
        if name in ("ppid", "parent_start_ns", "joined"):
            continue  # the full stream has no event for them
        other = {"comm": b"x", "numbers": (1,), "inums": (1,), "kind": LifeKind.THREAD}
        changed = first._replace(**{name: other.get(name, not value)})
        lives = [changed if life is first else life for life in both.lives]
        assert compare(both._replace(lives=lives)), name
    assert compare(both._replace(lives=both.lives[1:]))
    assert compare(both._replace(births=both.births[1:]))
