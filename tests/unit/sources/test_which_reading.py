"""By the task iterator or from /proc: what was named is read, and the default falls back."""

from __future__ import annotations

import argparse
import os
import struct
from pathlib import Path
from typing import Any

import pytest

import pidscope.live.listing as live
from pidscope.cli import main
from pidscope.errors import HostError, UsageError
from pidscope.host.proc import ProcFs
from pidscope.snapshot import Mount
from pidscope.sources.listed import Listed, listed
from pidscope.wire.listing import LAYOUT

INIT_NS = 4026531836


class Iterator:
    """One task, which is no other's number."""

    def read_bytes(self) -> bytes:
        pid = 1 << 22
        head = struct.pack("=8I2Q16s", pid, 0, 1, 0, 0, 0, 0, 1, 7, 1, b"only here")
        return head + struct.pack("=5I", INIT_NS, pid, pid, pid, pid) + bytes(60)


def asked(monkeypatch: pytest.MonkeyPatch, kept: Any, *, uid: int = 0, **given: Any) -> Listed:
    def kept_listing(_: Any) -> Any:
        if isinstance(kept, HostError):
            raise kept
        return kept

    monkeypatch.setattr(live, "kept_listing", kept_listing)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(ProcFs, "process_count", lambda self: given.pop("processes", 1000))
    monkeypatch.setattr(ProcFs, "mount", lambda self: given.pop("mount", Mount(INIT_NS, True)))
    return listed(argparse.Namespace(**{"source": None, "proc": None, "command": None, **given}))


def has_it(world: Listed) -> bool:
    tasks = world.read_all(False, False, False).snapshot.tasks
    return b"only here" in [task.status.name for task in tasks]


@pytest.mark.parametrize("source", [None, "live"])
def test_by_the_iterator_as_root(monkeypatch: pytest.MonkeyPatch, source: str | None) -> None:
    world = asked(monkeypatch, Iterator(), source=source)
    assert (world.source, world.mode, has_it(world)) == ("live", "iterator", True)


@pytest.mark.parametrize(
    "given",
    [
        {"source": "proc"},
        {"uid": 1000},
        {"proc": Path("/proc")},
        {"processes": 999},
        {"mount": Mount(4026532177, False)},
        {"mount": Mount(INIT_NS, True, 4026532177)},  # the host's /proc, read from a container
    ],
    ids=[
        "named",
        "as another user",
        "another mount",
        "few",
        "in a container",
        "of the host",
    ],
)
def test_from_proc(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    world = asked(monkeypatch, Iterator(), **given)
    assert (world.source, world.mode, has_it(world)) == ("proc", "proc", False)


def test_nothing_that_is_kept_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    world = asked(monkeypatch, HostError("none is kept"))
    assert (world.source, world.mode) == ("proc", "proc")


def test_what_is_named_does_not_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostError, match="none is kept"):
        asked(monkeypatch, HostError("none is kept"), source="live")
    with pytest.raises(UsageError) as caught:
        asked(monkeypatch, Iterator(), source="fentry")
    what = "proc, live, simulated[:SCENARIO] and FILE (of record --events)"
    assert caught.value.hint == f"it has {what}"


def test_without_a_program_the_reason_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pidscope.live.kept_programs.kept_programs", lambda: None)
    assert main(["ps", "--source", "live"]) == 3
    error = capsys.readouterr().err
    assert "pidscope: no program for this kernel is kept" in error
    assert "--source proc" in error


def test_the_layout_is_that_of_these_bytes() -> None:
    assert len(Iterator().read_bytes()) == LAYOUT.compile().size
