"""The library's one page: its examples, its names, and that an unused name costs nothing."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

import pidscope

START = """
import sys, pidscope
print(*sorted(name for name in sys.modules if name.startswith("pidscope")))
"""


def test_the_examples_on_the_page() -> None:
    result = doctest.testmod(pidscope)
    assert result.failed == 0 and result.attempted > 15


@pytest.mark.parametrize("name", pidscope.__all__)
def test_each_name_is_there_and_in_an_example(name: str) -> None:
    assert getattr(pidscope, name).__doc__
    assert name in (pidscope.__doc__ or "")


def test_a_name_that_is_not_exported_is_none() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pidscope.nothing


def test_the_page_alone_imports_no_room() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pidscope"]


def test_events_are_those_of_the_kernel_in_order() -> None:
    with pidscope.open("simulated:nested") as source:
        stamps = [event.ts_ns for event in source.events()]
        again = list(source.events())
    assert len(stamps) > 50 and stamps == sorted(stamps)
    assert again == []


def test_steps_bring_the_intermediate_events() -> None:
    def kinds(steps: bool) -> set[type]:
        with pidscope.open("simulated:reuse", steps=steps) as source:
            return {type(event) for event in source.events()}

    more = kinds(True) - kinds(False)
    assert pidscope.events.PidAllocated in more and pidscope.events.PidFreed in more


def test_a_number_is_translated_only_where_it_is() -> None:
    with pidscope.open("simulated:containers") as source:
        for _ in source.events():
            pass
        (first, second) = sorted(source.table.namespaces)[1:]
        for process in source.processes():
            for level in process.levels:
                assert source.translate(level.tid, ns=level.ns or 0) == process.tid
        assert source.translate(17, ns=first, to=second) == 0
        with pytest.raises(pidscope.NotFound, match="no process has PID 4000"):
            source.translate(4000, ns=first)
        with pytest.raises(pidscope.NotFound, match="no living namespace"):
            source.translate(17, ns=4711)


def test_a_source_that_is_none() -> None:
    with pytest.raises(pidscope.UsageError), pidscope.open("nowhere"):
        pass
