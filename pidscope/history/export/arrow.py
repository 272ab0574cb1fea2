"""Tasks as columns of Apache Arrow, which Parquet files have, too. Pure, but for pyarrow.

Times are CLOCK_BOOTTIME in ns as 64-bit integers, and beside them the wall clock's as timestamps in
UTC. Null is what is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pidscope.containers.container import Container
from pidscope.history.export.task import Instant, Task

_MOST = 1 << 63
_NO_UID = (1 << 32) - 1
_TIME = pa.timestamp("ns", "UTC")
_LEVEL = pa.struct([("ns", pa.uint32()), ("tid", pa.uint32())])
_CONTAINER = pa.struct(
    [(name, pa.int64() if name == "uid" else pa.string()) for name in Container._fields]
)
SCHEMA = pa.schema(
    [
        ("boot_id", pa.string()),
        ("host", pa.string()),
        ("kind", pa.string()),
        ("pid", pa.uint32()),
        ("tid", pa.uint32()),
        ("cpid", pa.string()),
        ("levels", pa.list_(_LEVEL)),
        ("start_ns", pa.int64()),
        ("start_time", _TIME),
        ("end_ns", pa.int64()),
        ("end_time", _TIME),
        ("exit_status", pa.uint8()),
        ("signal", pa.uint8()),
        ("joined", pa.bool_()),
        ("facts_at_ns", pa.int64()),
        ("facts_at_time", _TIME),
        ("comm", pa.string()),
        ("ppid", pa.uint32()),
        ("parent_start_ns", pa.int64()),
        ("pgid", pa.uint32()),
        ("sid", pa.uint32()),
        ("uid", pa.uint32()),
        ("cgroup_id", pa.uint64()),
        ("cgroup", pa.string()),
        ("containers", pa.list_(_CONTAINER)),
        ("containers_known", pa.bool_()),  # ClickHouse has no null instead of a list
    ]
)


def batch(tasks: Sequence[Task]) -> Any:
    """Return tasks as a `pyarrow.RecordBatch`, a row each."""
    columns = zip(*map(_row, tasks)) if tasks else ([] for _ in SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _row(task: Task) -> tuple[Any, ...]:
    containers = task.containers
    return (
        *(task.boot_id, task.host, task.kind, task.pid, task.tid, task.cpid, task.levels),
        *_time(task.start),
        *_time(task.end),
        *(task.exit_status, task.signal, task.joined),
        *_time(task.facts),
        *(task.comm, task.ppid, _time(task.parent_start)[0], task.pgid, task.sid, task.uid),
        *(task.cgroup_id, task.cgroup),
        None if containers is None else list(map(_container, containers)),
        containers is not None,
    )


def _container(container: Container) -> dict[str, Any]:
    uid = container.uid  # read from a file, so any integer
    is_uid = uid is not None and 0 <= uid < _NO_UID
    return container._replace(uid=uid if is_uid else None)._asdict()


def _time(instant: Instant | None) -> tuple[int | None, int | None]:
    """Return a time on both clocks; None: not known, or no time that there is."""
    if instant is None:
        return None, None
    is_time = instant.boottime_ns < _MOST
    return (instant.boottime_ns if is_time else None), instant.realtime_ns
