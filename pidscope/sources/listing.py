"""What the commands that list have in common: their options, what they read, their documents."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pidscope.containers.container import Chain
from pidscope.host.proc import ProcFs
from pidscope.host.time_namespace import Offsets, offsets_of_reader
from pidscope.query import process as documents
from pidscope.query.process import Outermost, Process
from pidscope.query.where import bracketed
from pidscope.render.json import envelope
from pidscope.snapshot import Mount, ProcFiles, Snapshot
from pidscope.sources.options import (
    SIMULATED,
    add_option,
    add_proc,
    expect_no_proc,
    procfs_of,
    scenario_of,
    stage_of,
)
from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.query.namespace_owner import Homes
    from pidscope.simulated.stage import Stage
    from pidscope.sources.playback import Record


class ListedProc(ProcFiles, Protocol):
    """A /proc that can be listed: a mount's files, and what they say of the machine."""

    def snapshot(
        self, threads: bool = True, starts: bool = True, cgroups: bool = False
    ) -> Snapshot:
        """Every task that is listed, with its start, or its cgroup, if that is asked for."""

    def own_number(self) -> int | None:
        """The number of who reads, if it has one here."""

    def children_ns(self, number: int) -> int | None:
        """The inum of the namespace of a task's children, if that can be read."""

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
    mount: Mount
    source: str
    mode: str
    host: str
    ticks_per_second: int
    offsets: Offsets  # of the time namespace of who reads
    record: Record | None = None  # of those that ended; None: nothing was recording

    def containers(self, snapshot: Snapshot) -> Mapping[int, Chain] | None:
        """The containers around each process, by its number here; None: this cannot be told.

        The snapshot has cgroups. Says on standard error what cannot be known, and who would not
        tell names.
        """
        if snapshot.cgroups is None or not isinstance(self.proc, ProcFs):
            return None
        if not self.knows_containers():
            warn("seen from inside a cgroup namespace: only containers in it are known")
        from pidscope.query.namespace_owner import chains  # what names no container does without

        found = chains(snapshot.cgroups)
        if not any(found.values()):
            return found
        from pidscope.containers.names import name_containers

        named = name_containers(found, self.proc.host_root(), os.geteuid())
        for line in named.silent:
            warn(f"containers are shown by their ids: {line}")
        return named.chains

    def homes(self, processes: Iterable[Process], containers: Mapping[int, Chain] | None) -> Homes:
        """Whose the PID namespaces of these processes are."""
        from pidscope.query.namespace_owner import Homes, homes

        return homes(processes, containers, self.proc.start_ticks) if containers else Homes({}, {})

    def processes(
        self, snapshot: Snapshot, containers: Mapping[int, Chain] | None = None
    ) -> list[Process]:
        """Its tasks as documents."""
        return documents.processes(
            snapshot,
            containers=containers,
            boot_time=self.boot_time(),
            ticks_per_second=self.ticks_per_second,
            start_offset_ns=self.offsets.start_ns,
        )

    def boot_time(self) -> int:
        """The boot in seconds since the epoch, from btime or, in a time namespace, the clocks.

        btime is shifted there by some kernels (6.1) and not by others (5.10).
        """
        if not self.offsets.clock_ns:
            return self.proc.boot_time()
        while True:
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            now = time.clock_gettime_ns(time.CLOCK_REALTIME)
            after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            earliest, latest = (
                (now - boottime + self.offsets.clock_ns) // 1_000_000_000
                for boottime in (after, before)
            )
            if earliest == latest:  # or a second ended between the readings
                return earliest

    def knows_containers(self) -> bool:
        """Tell whether who is shown in no container is in none."""
        return isinstance(self.proc, ProcFs) and self.proc.sees_cgroups_whole()

    def print_document(
        self, name: str, items: Sequence[Mapping[str, Any]], complete: bool, **more: Any
    ) -> None:
        """Print the document whose list ``name`` holds ``items``, and ``more`` beside it."""
        import json  # takes a while to import, and a table does without

        document = envelope(
            name,
            items,
            source=self.source,
            mode=self.mode,
            host=self.host,
            boot_id=self.proc.boot_id(),
            complete=complete,
            outermost=Outermost(ns=self.mount.ns, initial=self.mount.initial),
        )
        print(json.dumps({**document, **more}))

    def warn_outermost(self) -> None:
        """Say on standard error if this is not the host's view, which looks just the same."""
        ns, initial, _ = self.mount
        if not initial:
            host = "not from the host" if initial is False else "perhaps not from the host"
            warn(
                f"seen from {bracketed(ns)}, {host}: these are its PIDs, "
                "and who is outside it is not shown"
            )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what lsns has, and what to read."""
    parser.add_argument("-J", "--json", action="store_true", help="a JSON document")
    parser.add_argument("-n", "--noheadings", action="store_true", help="no headings")
    parser.add_argument("-o", "--output", metavar="COLUMNS", help="these columns, uncut")
    add_proc(parser)
    add_option(parser, "proc")


def listed(args: argparse.Namespace, recorded: bool = False) -> Listed:
    """What ``--source`` and ``--proc`` name; a simulated kernel at the end of its scenario.

    ``recorded``: with those that ended until then, where they can be had.

    Raises:
        UsageError: there is no such source. ScenarioError, HostError: it cannot be played.
        HostError: that is no /proc, or not one in which this process has a number.
    """
    scenario = scenario_of(args, "proc")
    if scenario is None:
        return listed_host(procfs_of(args))
    expect_no_proc(args)
    stage = stage_of(scenario)
    record = None
    if recorded:
        from pidscope.sources.playback import play  # a session, which /proc does without

        record = play(stage.world)
    while stage.world.step():
        pass
    return listed_stage(stage, record)


def listed_host(proc: ProcFs) -> Listed:
    """Return this host's /proc; raise HostError as `listed` does."""
    return Listed(
        proc,
        proc.mount(),
        "proc",
        "proc",
        os.uname().nodename,
        os.sysconf("SC_CLK_TCK"),
        offsets_of_reader(proc),
    )


def listed_stage(stage: Stage, record: Record | None = None) -> Listed:
    """Return the /proc of a simulated kernel as it is now."""
    simulated = stage.world.procfs
    return Listed(
        simulated,
        simulated.mount(),
        f"{SIMULATED}:{stage.name}",
        SIMULATED,
        SIMULATED,
        1_000_000_000 // stage.world.ns_per_tick,
        Offsets(0, 0),
        record,
    )
