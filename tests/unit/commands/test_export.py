"""``export``: its lines are what schema.json and the foreign schemas say, its files are whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pidscope import cli
from pidscope.commands import export as export_command
from pidscope.commands.export_output import new_file
from pidscope.errors import UsageError
from tests import CHECKOUT
from tests.unit.commands import test_recordings as recordings
from tests.unit.commands.asked import VALIDATOR
from tests.unit.history.kept import KEPT

ONE = str(KEPT / "1" / "one.rec")
RING = str(KEPT / "1" / "ring")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["export", *words])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    return code, out, err


def unfolded(err: str) -> str:
    return " ".join(line.removeprefix("pidscope: ") for line in err.splitlines())


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_whole_recording_is_valid_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--ndjson", "--source", ONE)
    found = lines(out)
    for it in found:
        VALIDATOR.validate(it)
    kinds = [it["type"] for it in found]
    assert code == 0
    assert kinds == ["export", *["life"] * (len(kinds) - 2), "exported"]
    end = found[-1]
    assert end["complete"] and end["ended"] + end["alive"] == len(kinds) - 2
    assert end["cannot"] == ["failed forks"]
    said = f"lives {end['ended']}, alive {end['alive']}; from 2025-11-30T10:53:22Z to "
    assert unfolded(err) == said + "2025-11-30T11:53:48Z"


def test_a_gap_is_on_standard_error_in_the_output_and_in_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = {"type": "gap", "first_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 10**11}
    more = {**gap, "last_ns": gap["first_ns"] + 1, "reason": "records were \x1b[31mlost"}  # type: ignore[operator]
    path = str(recordings.write(tmp_path / "one", more))
    code, out, err = run(capsys, "--ndjson", "--source", path)
    found = lines(out)
    (line,) = [it for it in found if it["type"] == "gap"]
    VALIDATOR.validate(line)
    assert code == 4 and line["reason"] == "records were \\x1b[31mlost"
    assert not found[-1]["complete"] and found[-1]["gaps"] == 1
    assert "gap: " in err and "records were \\x1b[31mlost" in unfolded(err)
    for form in ("--ocsf", "--ecs"):
        assert run(capsys, form, "--source", path)[0] == 4


HOSTILE = [
    ({"clock": [1, 2]}, []),
    ({"clock": recordings.HUGE}, []),
    ({"clock": {**recordings.HUGE, "realtime_ns": -(10**30)}}, []),
    ({"from_ns": "12", "boot_id": [1], "host": {"a": 1}, "initial_ns": "x"}, []),
    ({"cannot": 5, "host": "\x1b]0;x", "threads": "x"}, []),
    ({"cannot": ["\x1b[31mred", 7], "boot_id": "\x1b[31m"}, []),
    ({"initial_ns": 10**60}, [{"type": "cgroups", "cgroups": {"9" * 5_000: "/x", "9": "\x1b"}}]),
    ({}, [{"type": ["gap"]}, {"type": "gap", "first_ns": -(10**40), "reason": "\x1b[31m" * 999}]),
    ({}, [{"type": "gap", "first_ns": 5, "last_ns": -7, "reason": "x"}]),
    ({}, [{"type": "containers", "containers": {"9": [{**recordings.NAMED, "uid": -(10**30)}]}}]),
]


@pytest.mark.parametrize("form", ["ndjson", "ocsf", "ecs"])
@pytest.mark.parametrize(("head", "more"), HOSTILE)
def test_a_hostile_recording_is_exported_in_order(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    head: dict[str, Any],
    more: list[dict[str, Any]],
    form: str,
) -> None:
    path = str(recordings.write(tmp_path / "one", *more, **head))
    for asked in ((), ("--since", "-5m"), ("--until", "-2m")):
        code, out, _ = run(capsys, f"--{form}", "--source", path, *asked)
        assert code in (0, 4)
        for it in lines(out):
            if form == "ndjson":
                VALIDATOR.validate(it)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--ndjson", "--since", "2025-11-30 11:00", "--until", "2025-11-30 10:00"], "later than"),
        (["--ndjson", "--since", "[12.5]", "--until", "2025-11-30 10:00"], "different clocks"),
        (["--parquet"], "is no text"),
        (["--arrow"], "is no text"),
        (["--ndjson", "-o", "/nowhere/at/all"], "No such file"),
        (["--ndjson", "-o", "/dev/null"], "is no file"),
        (["--ndjson", "-o", "/"], "is no file"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], fault: str
) -> None:
    code, out, err = run(capsys, *words, "--source", ONE)
    assert (code, out) == (2, "") and fault in err


def test_one_form_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--ndjson", "--ecs"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", *words])
        assert ended.value.code == 2
    capsys.readouterr()


def test_without_pyarrow_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = str(tmp_path / "it.parquet")
    code, _, err = run(capsys, "--parquet", "-o", out, "--source", ONE)
    assert (code, err.splitlines()) == (
        3,
        [
            "pidscope: --parquet needs the Python package pyarrow",
            "pidscope: install it: pip install 'pidscope[export]'",
        ],
    )
    assert not list(tmp_path.iterdir())


def test_a_file_is_its_owners_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "it.ndjson"
    path.write_text("old")
    path.chmod(0o644)
    code, out, _ = run(capsys, "--ndjson", "-o", str(path), "--source", ONE)
    assert (code, out, path.stat().st_mode & 0o777) == (0, "", 0o600)
    assert lines(path.read_text())[-1]["type"] == "exported"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_what_ends_early_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "it"
    path.write_text("old")
    with pytest.raises(error), new_file(str(path)) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UsageError, match="is no file"), new_file(str(tmp_path / "link")):
        pass
    assert not (tmp_path / "target").exists()


def test_a_reader_that_goes_is_no_fault() -> None:
    """As for ``pidscope export --ndjson | head -1``: status 141, and nothing is said."""
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "pidscope", "export", "--ndjson", "--source", RING]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_time_ago_is_by_the_wall_clock_for_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The file is of another host: ten minutes ago is not in its boot."""
    code, _, err = run(capsys, "--ndjson", "--since", "-10m", "--source", ONE)
    assert code == 4 and "nothing was recording then" in err


def test_help_names_each_form() -> None:
    assert set(export_command._FORMS) == {"ndjson", "ocsf", "ecs", "parquet", "arrow"}
