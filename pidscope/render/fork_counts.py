"""Births and failed forks that were counted, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from pidscope.containers.container import Container, display_name
from pidscope.escape import escape
from pidscope.query.fork_counts import ByComm, ByNamespace, Counts, First, Row
from pidscope.query.process import escaped
from pidscope.render.text import known

OwnerOf = Callable[[int, Optional[First], bool], Optional[Container]]
"""The container of a namespace, by its inum, its number 1, and whether it still has the inum."""

_COUNTS = {
    "BIRTHS": "births",
    "PROCS": "processes",
    "THREADS": "threads",
    "FAILED": "failed_forks",
}
_COLUMNS = {
    "comm": {**_COUNTS, "COMM": "comm"},
    "where": {**_COUNTS, "NS": "ns", "LEVEL": "level", "INIT": "init", "COMM": "comm"},
}
_CONTAINER = "CONTAINER"


def rows_json(
    counts: ByComm | ByNamespace, owner_of: OwnerOf | None = None
) -> list[dict[str, Any]]:
    """Return the rows as JSON, the one with most first."""
    return [{**_names(counts, row, owner_of), **_counts_json(row)} for row in counts.rows()]


def _names(counts: ByComm | ByNamespace, row: Row, owner_of: OwnerOf | None) -> dict[str, Any]:
    comm = None if row.comm is None else escape(row.comm)
    if isinstance(counts, ByComm):
        return {"comm": comm}
    owner = owner_of(row.ns, row.first, counts.is_current(row)) if owner_of else None
    return {
        "ns": row.ns,
        "level": row.level,
        "init": row.init,
        "comm": comm,
        "container": None if owner is None else escaped(owner)._asdict(),
    }


def _counts_json(counts: Counts) -> dict[str, int]:
    return {
        "births": counts.processes + counts.threads,
        "processes": counts.processes,
        "threads": counts.threads,
        "failed_forks": counts.failed_forks,
    }


def counts_json(
    counts: ByComm | ByNamespace,
    owner_of: OwnerOf | None,
    sees_failures: bool,
    skipped: int | None = None,
) -> dict[str, Any]:
    """Return the last object of a stream that is counted; failed forks are null if unobserved.

    Args:
        skipped: the kernel counted, and skipped so many runs; None: each event was counted.
    """
    unseen = {} if sees_failures else {"failed_forks": None}
    rows = [{**row, **unseen} for row in rows_json(counts, owner_of)]
    others = {**_counts_json(counts.others), **unseen}
    kernel = {} if skipped is None else {"skipped": skipped}
    counted = {"counted": "kernel" if kernel else "stream", **kernel}
    return {"type": "counts", "by": counts.by, **counted, "rows": rows, "others": others}


def counts_table(
    rows: Sequence[Mapping[str, Any]], by: str
) -> tuple[list[list[str]], Sequence[str]]:
    """Return the cells of `rows_json` and the columns: CONTAINER if one is known."""
    more = [_CONTAINER] if any(row.get("container") for row in rows) else []
    columns = [*_COLUMNS[by], *more]
    return [[_cell(row, by, column) for column in columns] for row in rows], columns


def _cell(row: Mapping[str, Any], by: str, column: str) -> str:
    if column == _CONTAINER:
        return "-" if row["container"] is None else display_name(Container(**row["container"]))
    value = row[_COLUMNS[by][column]]
    return known(value)
