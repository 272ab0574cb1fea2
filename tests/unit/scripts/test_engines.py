"""The table of engines, made of rows; and what a guest with engines is given to do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from pidscope_dev.engines import table
from pidscope_dev.engines.main import ENGINES
from pidscope_dev.vm import engines

from tests import CHECKOUT

KERNEL = "6.1.0-57-cloud-amd64"
DOCKER = table.Row("docker", "20.10.24", "v2", KERNEL, {"name": "ok", "exec": "ok"}, "")
NSPAWN = table.Row("nspawn", "252", "v1", KERNEL, {"name": "ok", "exec": "- (no exec)"}, "")
WRONG = table.Row("lxc", "5.0.2", "v2", KERNEL, {"name": "differs: x", "exec": "differs: x"}, "")
FAILED = table.Row("podman", "?", "v2", KERNEL, {}, "no policy.json")


def test_rows_are_found_among_other_output() -> None:
    lines = ["...", table.to_line(DOCKER), "engine", table.to_line(FAILED)]
    assert list(table.from_lines("\n".join(lines))) == [DOCKER, FAILED]


@pytest.mark.parametrize(
    ("row", "expected"), [(DOCKER, True), (NSPAWN, True), (WRONG, False), (FAILED, False)]
)
def test_good_is_what_ran_and_does_not_differ(row: table.Row, expected: bool) -> None:
    assert table.good(row) is expected


def test_what_differs_is_below_the_table_once() -> None:
    page = table.page([DOCKER, NSPAWN, WRONG, FAILED], ["docker", "podman"])
    assert "| docker | 20.10.24 | v2 | ok | ok |" in page
    assert "| nspawn | 252 | v1 | ok | - |" in page
    assert "| lxc | 5.0.2 | v2 | a | a |" in page
    assert "| podman | ? | v2 | b |  |" in page
    assert "\n- a: differs: x\n- b: not run: no policy.json\n" in page
    assert "\n- cgroups v2: podman\n- cgroups hybrid: docker, podman\n" in page


def test_text_of_an_engine_cannot_break_the_table() -> None:
    row = WRONG._replace(answers={"name": "differs: a|b\nc"})
    assert "- a: differs: a|b c\n" in table.page([row], ["lxc"])


def test_files_of_rows_make_the_page(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text(table.to_line(DOCKER) + "\n")
    done = subprocess.run(
        [CHECKOUT / "scripts" / "engines", tmp_path / "rows"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == table.page([DOCKER], ENGINES)


class Archive:
    """An archive of one package that has files in /lib and documentation."""

    def fetch_whole(self, suite: str, names: tuple[str, ...], target: Path) -> None:
        assert suite == "bookworm" and "docker.io" in names
        for name in ("lib/systemd/unit", "usr/lib/library", "usr/share/doc/text"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(name)


def test_all_of_an_engine_lies_in_usr(tmp_path: Path) -> None:
    engines.fetch(Archive(), "bookworm", tmp_path)  # type: ignore[arg-type]
    files = {str(it.relative_to(tmp_path)) for it in tmp_path.rglob("*") if it.is_file()}
    assert files == {"usr/lib/systemd/unit", "usr/lib/library"}


def test_the_command_waits_for_systemd_and_keeps_its_words(tmp_path: Path) -> None:
    words = ["a b", "it's", "$x"]
    program, option, script, *rest = engines.started(words)
    assert (program, option, rest) == ("/bin/sh", "-c", ["started", *words])
    assert script.endswith('-- "$@"')
    assert json.dumps(script).count("pidscope-command") == 1
