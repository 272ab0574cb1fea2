"""``pidscope watch --by`` where the kernel counts.

It does so wherever the answer is the same as by the stream: for everything that forks on this host.
What narrows the counts to some tasks needs each event, and the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pidscope.commands.watch_names import ContainerNames
from pidscope.commands.watch_output import print_counts
from pidscope.commands.watch_owners import NamespaceOwners
from pidscope.events import Lost
from pidscope.query.fork_counts import ByComm, ByNamespace, First
from pidscope.query.kernel_counts import Inits, by_comm, by_namespace
from pidscope.render.events import gap_line
from pidscope.render.fork_counts import counts_json
from pidscope.render.json import event_json
from pidscope.render.watch_summary import WatchSummary
from pidscope.sources.command import Stop, spawned, warn_missing, warn_tasks
from pidscope.sources.waiting import Waiting, waiting
from pidscope.sources.watch import LiveHost
from pidscope.terminal import warn
from pidscope.wire.counts import Counted, InitKind
from pidscope.wire.hooks import TRACEPOINT

if TYPE_CHECKING:
    from pidscope.live.count_program import Counts
    from pidscope.live.counting import Counting, Missed

_LOOK_S = 1.0  # between two looks for what is in no row


class CountingWatch:
    """One run: what is counted, and until when."""

    def __init__(self, args: argparse.Namespace, stop: Stop, host: LiveHost) -> None:
        self._args = args
        self._stop = stop
        self._host = host
        self._owners: NamespaceOwners | None = None
        if args.by == "where":
            self._owners = NamespaceOwners(host, ContainerNames(host.names))
        self._inits = Inits(0)
        self._lost = 0
        self._full = False

    def run(self) -> None:
        """Count until CMD or the time ends, or a signal comes, and print the table."""
        with self._host.count(self._owners is not None) as counting:
            self._stop.begin()
            self._head(counting)
            with waiting() as until:
                if counting.ring_fd is not None:
                    until.add(counting.ring_fd)
                self._count(counting, until)
            self._follow_inits(counting)
            counts, missed = counting.counts(), self._look(counting)
            self._end(counts, missed, counting)

    def _head(self, counting: Counting) -> None:
        way, missing, tasks = counting.way, counting.missing, counting.tasks()
        warn_tasks(self._host.title(way), tasks)
        warn_missing(missing)
        if self._owners is not None:
            self._owners.begin()
            self._inits = Inits(counting.begun_ns)
            self._inits.there(self._owners.comms)
        watching = {
            "type": "watching",
            "probes": way,
            "complete": way != TRACEPOINT and not missing,
            "unseen": missing,
            "tasks": tasks,
            "only": None,
        }
        if self._args.json:
            print(json.dumps(watching), flush=True)

    def _count(self, counting: Counting, until: Waiting) -> None:
        if self._args.command is None:
            self._follow(counting, until, lambda: True)
            return
        with contextlib.ExitStack() as stack:
            child = stack.enter_context(spawned(self._args.command))
            ended = os.pidfd_open(child.pid)
            stack.callback(os.close, ended)
            until.add(ended)
            self._follow(counting, until, lambda: child.poll() is None)

    def _follow(self, counting: Counting, until: Waiting, going_on: Callable[[], bool]) -> None:
        end_s, look_s = math.inf, 0.0
        if self._args.duration is not None:
            end_s = _now_s() + self._args.duration
        while going_on() and not self._stop.asked and _now_s() < end_s:
            self._follow_inits(counting)
            if _now_s() >= look_s:
                self._look(counting)
                look_s = _now_s() + _LOOK_S
            until.wait(min(end_s, look_s) - _now_s())

    def _follow_inits(self, counting: Counting) -> None:
        """Look at what number 1s did, while most of them live."""
        for init in counting.inits():
            self._inits.add(init)
            assert self._owners is not None
            if init.kind is not InitKind.BORN:
                self._owners.acted(init.nr, counting, init.kind is InitKind.EXITED)
            elif init.level:
                first = First(init.nr, init.start_ns)
                self._owners.born(first, init.ns, init.ns_parent, counting)

    def _look(self, counting: Counting) -> Missed:
        """Report what is in no row, once it begins."""
        missed = counting.missed()
        if missed.lost != self._lost:
            self._lost = missed.lost
            self._inits.doubt()
            lost = Lost(counting.now_ns(), missed.lost)
            if self._args.json:
                print(json.dumps(event_json(lost)))
            else:
                warn(gap_line(lost))
        if any(missed.others) and not self._full:
            self._full = True
            warn("too many to be told apart: new ones are counted without a row")
        return missed

    def _end(self, counts: Counts, missed: Missed, counting: Counting) -> None:
        made: ByComm | ByNamespace
        if self._owners is None:
            made, owner_of = by_comm(counts.by_key, counts.others), None
        else:
            made = by_namespace(counts.by_key, counts.others, self._inits, counting.root_ns)
            self._owners.end()
            owner_of = self._owners.of
        document = counts_json(made, owner_of, counting.sees_failures, missed.skipped)
        if self._args.json:
            print(json.dumps(document))
        else:
            print_counts(document, made, not self._args.noheadings)
        sys.stdout.flush()
        if missed.skipped:
            warn(f"the kernel skipped {missed.skipped} runs: as many forks may be in no row")
        summary = WatchSummary(counting.sees_failures)
        summary.add_counted(_births(counts), counts.errors)
        warn(summary.text_counted())


def counts_in_kernel(args: argparse.Namespace) -> bool:
    """Whether nothing was asked for that takes each event: the kernel's counts are the same."""
    whole = args.where is None and args.tree is None and (args.command is None or args.all)
    every = args.type is None and not args.failed and not args.verbose
    return args.by is not None and whole and every


def _births(counts: Counts) -> int:
    rows: tuple[Counted, ...] = (*counts.by_key.values(), counts.others)
    return sum(row.processes + row.threads for row in rows)


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
