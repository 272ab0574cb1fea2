"""OCSF's common process id, by the example of its specification."""

from __future__ import annotations

import re

from pidscope.history.cpid import cpid, cpid_of

BOOT = "2899dae4-4fa4-4eef-95b6-6bc95325f61a"
NS = 4026532263
EXAMPLE = "b770a0ed-8463-822c-b5f6-30d9081ddbd9"  # common-process-id, specification.md, "Linux"


def test_the_example_of_the_specification() -> None:
    """PID 39174 outside is 29 inside, started at tick 55558: any nanosecond of it."""
    assert cpid(BOOT, NS, 555_580_000_000, 29) == EXAMPLE
    assert cpid(BOOT, NS, 555_589_999_999, 29) == EXAMPLE
    assert cpid(BOOT, NS, 555_590_000_000, 29) != EXAMPLE
    assert cpid_of(BOOT, (39174, 29), (4026531836, NS), 39174, 555_580_000_000) == EXAMPLE


def test_it_is_a_uuid_of_version_8() -> None:
    for tgid in range(1, 100):
        made = cpid(BOOT, NS, 1, tgid)
        assert made is not None
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made
        )


def test_what_is_not_known_has_none() -> None:
    """A thread inside has a record without its process's number there; another boot id is none."""
    assert cpid_of(BOOT, (40, 3), (1, NS), 39, 1) is None
    assert cpid_of(BOOT, (40,), (NS,), 39, 1) == cpid(BOOT, NS, 1, 39)
    assert cpid_of(BOOT, (39, None), (1, NS), 39, 1) is None
    assert cpid_of(BOOT, (39,), (NS,), 39, None) is None
    assert cpid("b", NS, 1, 1) is None
    assert cpid("2899dae4-4fa4-4eef-95b6-6bc95325f61", NS, 1, 1) is None
    assert cpid("2899dae4-4fa4-4eef-95b6-6bc95325f6 a", NS, 1, 1) is None
