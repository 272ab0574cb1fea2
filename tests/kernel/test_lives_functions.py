"""The life stream where functions can be hooked: the same lives by each probe mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pidscope_dev.lives.puppets import play

from pidscope.wire.lives import LifeKind

from .conftest import Host
from .lived import PUPPETS, Lived, check_puppets, compare_with_full, life_stream
from .test_lives import (
    WAYS_TO_END,
    check_dying_init,
    check_ends,
    check_facts,
    check_workload,
    ends,
    workload,
)
from .test_workloads import WORKLOADS

__all__ = ["ends"]  # a fixture


@pytest.fixture(scope="module", params=["fentry", pytest.param("kprobe", marks=pytest.mark.matrix)])
def lived(request: pytest.FixtureRequest) -> Iterator[Lived]:
    with life_stream(request.param, execs=None) as stream:
        yield stream


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_task_of_a_workload_has_one_life(lived: Lived, name: str) -> None:
    check_workload(lived, name)


@pytest.mark.parametrize("name", WORKLOADS)
def test_lives_equal_those_of_the_full_stream(lived: Lived, host: Host, name: str) -> None:
    tree, differences = compare_with_full(lived, host, workload(name))
    assert tree.status == 0 and len(tree.lives) >= len(tree.births)
    assert differences == []


def test_lives_of_random_puppets_equal_those_of_the_full_stream() -> None:
    """By both hooks of functions at once."""
    check_puppets(play(PUPPETS, ways=["fentry", "kprobe"]))


@pytest.mark.parametrize("how", WAYS_TO_END)
def test_a_process_with_threads_ends_once_with_its_status(
    lived: Lived, ends: str, how: str
) -> None:
    check_ends(lived, ends, how)


def test_all_numbers_of_a_thread_that_called_exec(lived: Lived) -> None:
    """exchange_tids() is entered before they are another's."""
    tree = lived.run(workload("exec-thread"))
    born = {each.numbers: each for each in tree.births}
    execed = tree.of(LifeKind.EXECED)
    assert len(execed) == 4
    for life in execed:
        assert life.numbers in born and life.start_ns is None
        assert life.tgid == born[life.numbers].tgid


def test_an_init_ends_before_the_members_of_its_namespace(lived: Lived) -> None:
    check_dying_init(lived)


def test_what_else_a_life_holds(lived: Lived) -> None:
    check_facts(lived)
