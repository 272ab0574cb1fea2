"""Parquet and Arrow files hold what the lines of JSON do; what is missing is in their metadata."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pidscope import cli
from pidscope.commands import export_columns
from pidscope.history.export import arrow
from pidscope.history.segment_file import SegmentFile
from tests import CHECKOUT
from tests.unit.commands import test_recordings as recordings
from tests.unit.commands.test_export import HOSTILE
from tests.unit.history.kept import KEPT

ONE = str(KEPT / "1" / "one.rec")
FORMS = ("parquet", "arrow")


def columns(path: Path, form: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a file, and what its metadata says."""
    if form == "parquet":
        metadata = pq.read_metadata(path).metadata
        return pq.read_table(path).to_pylist(), json.loads(metadata[b"pidscope"])
    with pa.ipc.open_file(path) as file:
        return file.read_all().to_pylist(), json.loads(file.schema.metadata[b"pidscope"])


def export(source: str, path: Path, form: str, code: int = 0) -> Any:
    words = ["export", f"--{form}", "-o", str(path), "--source", source]
    assert cli.main(words) == code
    if form != "ndjson":
        return columns(path, form)
    return [json.loads(line) for line in path.read_text().splitlines()]


def line_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the line of JSON has it, but for what a row does not have."""

    def text(name: str) -> str | None:
        return None if row[name] is None else str(row[name])

    def time(name: str) -> str | None:
        at = row[name]
        return None if at is None else f"{at:%Y-%m-%dT%H:%M:%S}.{at.value % 10**9:09}Z"

    same = ("boot_id", "host", "kind", "pid", "tid", "cpid", "levels", "exit_status", "signal")
    facts = ("comm", "ppid", "pgid", "sid", "uid", "cgroup_id", "cgroup", "containers")
    return {
        **{name: row[name] for name in (*same, "joined")},
        "type": "life",
        "start_ns": text("start_ns"),
        "start_time": time("start_time"),
        "end_ns": text("end_ns"),
        "end_time": time("end_time"),
        "facts": {
            **{name: row[name] for name in facts},
            "at_ns": text("facts_at_ns"),
            "at_time": time("facts_at_time"),
            "parent_start_ns": text("parent_start_ns"),
        },
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", ["one.rec", "ring"])
def test_rows_are_the_lines(tmp_path: Path, form: str, source: str) -> None:
    kept = str(KEPT / "1" / source)
    rows, about = export(kept, tmp_path / "columns", form)
    lines = export(kept, tmp_path / "lines", "ndjson")
    lives = [it for it in lines if it["type"] == "life"]
    for it in lives:
        del it["id"]
    assert [line_of(row) for row in rows] == lives
    assert about.pop("gaps") == [] and about.pop("pidscope")
    end = lines[-1]
    assert end.pop("gaps") == 0
    assert about == end
    assert (tmp_path / "columns").stat().st_mode & 0o777 == 0o600
    assert sorted(it.name for it in tmp_path.iterdir()) == ["columns", "lines"]


@pytest.mark.parametrize("form", FORMS)
def test_batches_and_groups_hold_all_rows(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven rows in batches of two, two of them in a group."""
    whole, _ = export(ONE, tmp_path / "whole", form)
    monkeypatch.setattr(export_columns, "_BATCH", 2)
    monkeypatch.setattr(export_columns, "_GROUP", 2)
    rows, _ = export(ONE, tmp_path / "cut", form)
    assert rows == whole and len(rows) == 11
    if form == "parquet":
        metadata = pq.read_metadata(tmp_path / "cut")
        groups = [metadata.row_group(it).num_rows for it in range(metadata.num_row_groups)]
        assert groups == [4, 4, 3]
    else:
        with pa.ipc.open_file(tmp_path / "cut") as file:
            assert file.num_record_batches == 6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("head", "more"), HOSTILE)
def test_a_hostile_recording_is_a_file_too(
    tmp_path: Path, form: str, head: dict[str, Any], more: list[dict[str, Any]]
) -> None:
    path = str(recordings.write(tmp_path / "one", *more, **head))
    out = tmp_path / "out"
    code = cli.main(["export", f"--{form}", "-o", str(out), "--source", path])
    rows, about = columns(out, form)
    assert code == (4 if about["gaps"] else 0)
    assert len(rows) == about["ended"] + about["alive"] and not (code == 0) ^ about["complete"]


@pytest.mark.parametrize("form", FORMS)
def test_a_gap_is_in_the_metadata(tmp_path: Path, form: str) -> None:
    """A block of lives is damaged."""
    path = tmp_path / "one"
    data = bytearray(Path(ONE).read_bytes())
    with SegmentFile(ONE) as file:
        (frame, about) = next(file.blocks(2))
    data[frame.data_offset + 5] ^= 0xFF
    path.write_bytes(data)
    rows, said = export(str(path), tmp_path / "out", form, code=4)
    assert not said["complete"]
    (gap,) = said["gaps"]
    assert gap["reason"].endswith(f"is damaged at {frame.offset}")
    assert (gap["first_ns"], gap["last_ns"]) == (str(about.first_end_ns), str(about.last_end_ns))
    assert len(rows) == 11 - about.rows and about.rows == 5


@pytest.mark.parametrize("form", FORMS)
def test_a_recording_without_tasks_is_a_file_without_rows(tmp_path: Path, form: str) -> None:
    path = recordings.write(tmp_path / "one")
    words = ["--since", "@1", "--until", "@2"]
    out = tmp_path / "out"
    assert cli.main(["export", f"--{form}", "-o", str(out), *words, "--source", str(path)]) == 4
    assert not out.exists()  # nothing was recording then
    assert arrow.batch([]).num_rows == 0


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for it: the file may have 1 KiB."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024));"
        "from pidscope.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for form in FORMS:
        words = ["export", f"--{form}", "-o", str(tmp_path / "out"), "--source", ONE]
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=CHECKOUT
        )
        assert (done.returncode, "File too large" in done.stderr) == (3, True), done.stderr
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []
