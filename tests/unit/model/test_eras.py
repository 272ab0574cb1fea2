"""Both eras of the model: until numbers wrap and nesting ends, nobody can tell them apart."""

from __future__ import annotations

import errno
import random
from dataclasses import replace

import pytest

from pidscope.model.features import TODAY
from pidscope.model.kernel import Kernel
from pidscope.simulated.play import Play
from pidscope.simulated.random_workload import random_steps
from tests.unit.compare import of_model

STEPS = 600


@pytest.mark.parametrize("seed", range(8))
def test_a_bitmap_and_an_idr_give_the_same_numbers_before_a_wrap(seed: int) -> None:
    old = replace(TODAY, bitmap_allocator=True, nesting_errno=errno.EINVAL)
    today, before = Play(Kernel(TODAY)), Play(Kernel(old))
    performed = 0
    for step in random_steps(today, random.Random(seed)):
        if step.call == "sysctl" and len(step.args) == 2:
            continue  # they would make it wrap
        assert str(before.perform(step)) == str(today.perform(step)), str(step)
        assert of_model(before.kernel) == of_model(today.kernel), str(step)
        performed += 1
        if performed == STEPS:
            break
    assert performed > STEPS // 4
