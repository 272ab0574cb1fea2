"""The sections, in the order of showing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple

from pidscope_dev.bench import (
    counts,
    drain,
    growth,
    life_stream,
    listing,
    lives,
    recording,
    syscalls,
    watched,
)
from pidscope_dev.bench.taken import Asked, Taken


class Section(NamedTuple):
    """What one word on the command line measures.

    Sections with the same ``measure`` share what it takes. ``functions``: the kernel must let
    functions be hooked.
    """

    name: str
    summary: str
    measure: Callable[[], Taken]
    rows: Sequence[Asked]
    functions: bool = False


SECTIONS = (
    Section("lives", "lives a second from a recorded fork storm", lives.measure, lives.ROWS),
    Section("drain", "the collector's CPU time, tracepoint mode", drain.measure, drain.ROWS),
    Section(
        "drain-functions",
        "the same with function hooks",
        drain.measure_functions,
        drain.FUNCTION_ROWS,
        True,
    ),
    Section("hooks", "time in all hooks, tracepoint mode", watched.measure, watched.HOOK_ROWS),
    Section(
        "hooks-functions",
        "the same of every watcher",
        watched.measure_functions,
        watched.HOOK_ROWS_FUNCTIONS,
        True,
    ),
    Section(
        "hooks-lives",
        "the same of the life stream",
        life_stream.measure_hooks,
        life_stream.HOOK_ROWS,
    ),
    Section(
        "collector-lives",
        "the life stream's collector, by the clock",
        life_stream.measure_collectors,
        life_stream.COLLECTOR_ROWS,
    ),
    Section(
        "recorder",
        "keeping a life in a ring, behind the drain",
        recording.measure_recorder,
        recording.RECORDER_ROWS,
    ),
    Section("lookup-at", "one life of a ring", recording.measure_lookups, recording.LOOKUP_ROWS),
    Section("annotate", "a log by a ring", recording.measure_annotate, recording.ANNOTATE_ROWS),
    Section("hooks-counts", "the same of watch --by", counts.measure_hooks, counts.HOOK_ROWS),
    Section(
        "collector-counts",
        "watch --by, counted in the kernel, by the clock",
        counts.measure_collectors,
        counts.COLLECTOR_ROWS,
    ),
    Section("loop", "fork+exec+wait, tracepoint mode", watched.measure, watched.LOOP_ROWS),
    Section(
        "loop-functions",
        "the same with every watcher",
        watched.measure_functions,
        watched.LOOP_ROWS_FUNCTIONS,
        True,
    ),
    Section("syscalls", "other system calls, tracepoint mode", syscalls.measure, syscalls.ROWS),
    Section("ps", "listing 5,000 processes", listing.measure_crowd, listing.CROWD_ROWS),
    Section(
        "snapshot", "all tasks by the iterator", listing.measure_snapshots, listing.SNAPSHOT_ROWS
    ),
    Section("lookup", "one task of a million", growth.measure, growth.LOOKUP_ROWS),
    Section("memory", "bytes per live task", growth.measure, growth.MEMORY_ROWS),
    Section("start", "ps on an idle host", listing.measure_idle, listing.IDLE_ROWS),
    Section(
        "live-start",
        "from the command to the first event",
        watched.measure_functions,
        watched.START_ROWS,
        True,
    ),
    Section("tasks", "the cost of a birth as tasks grow", growth.measure, growth.GROWTH_ROWS),
    Section(
        "events", "the cost of an event as events grow", growth.measure_events, growth.EVENT_ROWS
    ),
    Section("model", "the model's lives, without a goal", lives.measure_model, lives.MODEL_ROWS),
)
