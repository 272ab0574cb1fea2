"""What the commands that list have in common: their options, what they read, their documents."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pidscope import documents
from pidscope.commands.sources import SIMULATED, add_option, scenario_of, stage_of
from pidscope.documents import Process
from pidscope.errors import UsageError
from pidscope.procfs import Mount, ProcFs
from pidscope.snapshot import ProcFiles, Snapshot


class ListedProc(ProcFiles, Protocol):
    """A /proc that can be listed: a mount's files, and what they say of the machine."""

    def snapshot(self, threads: bool = True) -> Snapshot:
        """Every task that is listed."""

    def mount(self) -> Mount:
        """The namespace that it shows."""

    def sees_all(self) -> bool:
        """Whether nobody is hidden."""

    def boot_id(self) -> str | None:
        """The UUID of this boot, if it has one."""

    def boot_time(self) -> int:
        """The boot in seconds since the epoch."""

    def last_pid(self) -> int | None:
        """The last number given out in its namespace."""


class Listed(NamedTuple):
    """A /proc, and what a document says of where it comes from."""

    proc: ListedProc
    source: str
    mode: str
    host: str
    ticks_per_second: int

    def processes(self, snapshot: Snapshot) -> list[Process]:
        """Its tasks as documents."""
        return documents.processes(
            snapshot, boot_time=self.proc.boot_time(), ticks_per_second=self.ticks_per_second
        )

    def print_document(self, name: str, items: Sequence[Mapping[str, Any]], complete: bool) -> None:
        """Print the document whose list ``name`` holds ``items``."""
        document = documents.envelope(
            name,
            items,
            source=self.source,
            mode=self.mode,
            host=self.host,
            boot_id=self.proc.boot_id(),
            complete=complete,
        )
        print(json.dumps(document))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what lsns has, and what to read."""
    parser.add_argument("-J", "--json", action="store_true", help="a JSON document")
    parser.add_argument("-n", "--noheadings", action="store_true", help="no headings")
    parser.add_argument("-o", "--output", metavar="COLUMNS", help="these columns, uncut")
    parser.add_argument("--proc", type=Path, metavar="PATH", help="another mount of /proc")
    add_option(parser, "proc")


def listed(args: argparse.Namespace) -> Listed:
    """What ``--source`` and ``--proc`` name; a simulated kernel at the end of its scenario.

    Raises:
        UsageError: there is no such source. ScenarioError, HostError: it cannot be played.
    """
    scenario = scenario_of(args, "proc")
    if scenario is None:
        proc = ProcFs(args.proc or Path("/proc"))
        return Listed(proc, "proc", "proc", os.uname().nodename, os.sysconf("SC_CLK_TCK"))
    if args.proc is not None:
        raise UsageError("--proc is this host's: it does not go with --source simulated")
    stage = stage_of(scenario)
    while stage.world.step():
        pass
    ticks_per_second = 1_000_000_000 // stage.world.ns_per_tick
    source = f"{SIMULATED}:{stage.name}"
    return Listed(stage.world.procfs, source, SIMULATED, SIMULATED, ticks_per_second)
