"""Parquet and Arrow files: rows are gathered to batches, and what is missing is metadata."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pidscope import __version__
from pidscope.commands.export_output import Output, known_of
from pidscope.history.export import ndjson
from pidscope.history.export.arrow import SCHEMA, batch
from pidscope.history.export.read import Exported
from pidscope.history.export.task import Task

_BATCH = 8_192  # rows that are values of Python at the same time
_GROUP = 8  # batches of a Parquet row group
_KEY = "pidscope"  # of the metadata


@contextmanager
def columns(form: str, file: BinaryIO, path: str) -> Iterator[Output]:
    """Write a Parquet or an Arrow file."""
    if form == "parquet":
        yield _Parquet(file)
        return
    # What is missing is known at the end, and stands at the beginning of an Arrow file.
    with tempfile.TemporaryFile(dir=os.path.dirname(path) or ".") as rows:  # noqa: PTH120
        yield _Arrow(file, rows)


class _Columns:
    """Gathers rows."""

    def __init__(self) -> None:
        self.unplaced = 0
        self._rows: list[Task] = []

    def put(self, task: Task) -> None:
        """Take a task."""
        self._rows.append(task)
        if len(self._rows) == _BATCH:
            self._flush()

    def finish(self, exported: Exported) -> None:
        """Write what waits, and what is missing."""
        if self._rows:
            self._flush()
        self._end({_KEY: json.dumps(_about(exported))})

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._write(batch(rows))

    def _write(self, rows: Any) -> None:
        raise NotImplementedError

    def _end(self, metadata: dict[str, str]) -> None:
        raise NotImplementedError


class _Parquet(_Columns):
    """A Parquet file; its metadata is its last part."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
        self._batches: list[Any] = []

    def _write(self, rows: Any) -> None:
        self._batches.append(rows)
        if len(self._batches) == _GROUP:
            self._write_group()

    def _write_group(self) -> None:
        batches, self._batches = self._batches, []
        self._writer.write_table(pa.Table.from_batches(batches, SCHEMA))

    def _end(self, metadata: dict[str, str]) -> None:
        if self._batches:
            self._write_group()
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()


class _Arrow(_Columns):
    """An Arrow IPC file, from rows that were written without a head."""

    def __init__(self, file: BinaryIO, rows: Any) -> None:
        super().__init__()
        self._file, self._stored = file, rows
        self._stream = pa.ipc.new_stream(rows, SCHEMA)

    def _write(self, rows: Any) -> None:
        self._stream.write_batch(rows)

    def _end(self, metadata: dict[str, str]) -> None:
        self._stream.close()
        self._stored.seek(0)
        with pa.ipc.new_file(self._file, SCHEMA.with_metadata(metadata)) as writer:
            for rows in pa.ipc.open_stream(self._stored):
                writer.write_batch(rows)


def _about(exported: Exported) -> dict[str, Any]:
    """Return what is said of the whole file, as the last line of the JSON form has it."""
    last = ndjson.last_line(known_of(exported))
    gaps = [ndjson.gap_line(it) for it in exported.gaps]
    return {**last, "pidscope": __version__, "gaps": gaps}
