"""The sections, in the order of showing."""

from __future__ import annotations

from typing import Callable, NamedTuple

from pidscope_dev.bench import drain, growth, listing, lives, model, snapshots, syscalls, watched
from pidscope_dev.bench.row import Row
from pidscope_dev.bench.taken import Taken


class Section(NamedTuple):
    """What one word on the command line measures.

    Sections with the same ``measure`` share what it takes. ``functions``: the kernel must let
    functions be hooked.
    """

    name: str
    summary: str
    measure: Callable[[], Taken]
    rows: Callable[[Taken], list[Row]]
    functions: bool = False


SECTIONS = (
    Section("lives", "lives a second from a recorded fork storm", lives.measure, lives.rows),
    Section("drain", "the collector's CPU time, tracepoint mode", drain.measure, drain.rows),
    Section(
        "drain-functions",
        "the same with function hooks",
        drain.measure_functions,
        drain.function_rows,
        True,
    ),
    Section("hooks", "time in all hooks, tracepoint mode", watched.measure, watched.hook_rows),
    Section(
        "hooks-functions",
        "the same of every watcher",
        watched.measure_functions,
        watched.hook_rows_functions,
        True,
    ),
    Section("loop", "fork+exec+wait, tracepoint mode", watched.measure, watched.loop_rows),
    Section(
        "loop-functions",
        "the same with every watcher",
        watched.measure_functions,
        watched.loop_rows_functions,
        True,
    ),
    Section("syscalls", "other system calls, tracepoint mode", syscalls.measure, syscalls.rows),
    Section("ps", "listing 5,000 processes", listing.measure_crowd, listing.crowd_rows),
    Section("snapshot", "all tasks by the iterator", snapshots.measure, snapshots.rows),
    Section("lookup", "one task of a million", growth.measure, growth.lookup_rows),
    Section("memory", "bytes per live task", growth.measure, growth.memory_rows),
    Section("start", "ps on an idle host", listing.measure_idle, listing.idle_rows),
    Section(
        "live-start",
        "from the command to the first event",
        watched.measure_functions,
        watched.start_rows,
        True,
    ),
    Section("tasks", "the cost of a birth as tasks grow", growth.measure, growth.growth_rows),
    Section(
        "events", "the cost of an event as events grow", growth.measure_events, growth.event_rows
    ),
    Section("model", "the model's lives, without a goal", model.measure, model.rows),
)
