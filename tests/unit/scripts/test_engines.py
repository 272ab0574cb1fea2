"""The table of engines, made of rows; and what a guest with engines is given to do."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pidscope_dev.engines import questions, readme, table
from pidscope_dev.engines.engine import Named, saved_image
from pidscope_dev.engines.main import ENGINES
from pidscope_dev.engines.protobuf import encoded, texts
from pidscope_dev.engines.questions import QUESTIONS, Asked
from pidscope_dev.engines.run import pidscope
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


def test_what_was_not_asked_is_an_empty_cell() -> None:
    short = DOCKER._replace(cgroup="v1", answers={"exec": "ok"})
    page = table.page([short, DOCKER], ["docker"])
    assert "| engine | version | cgroups | name | exec |" in page
    assert "| docker | 20.10.24 | v1 |  | ok |" in page


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


# The CRI's messages, and the image of a pod's sandbox.


def test_a_message_has_the_bytes_that_protobuf_documents() -> None:
    """The examples of protobuf.dev's page on the encoding: 150 in field 1, "testing" in field 2."""
    assert encoded({1: 150}) == b"\x08\x96\x01"
    assert encoded({2: "testing"}) == b"\x12\x07testing"
    assert encoded({3: {1: 150}}) == b"\x1a\x03\x08\x96\x01"
    assert encoded({1: ["a", "b"]}) == b"\x0a\x01a\x0a\x01b"


@given(st.dictionaries(st.integers(1, 100), st.lists(st.text(), max_size=3), max_size=5))
def test_texts_come_back_from_a_message(fields: dict[int, list[str]]) -> None:
    data = encoded({7000: 1 << 40, **fields})
    for number, expected in fields.items():
        assert list(texts(data, number)) == expected


def test_a_saved_image_has_its_layer_by_hash_and_a_command(tmp_path: Path) -> None:
    archive = saved_image(tmp_path, "example.org/one:latest", "exec sleep 9")
    with tarfile.open(archive) as saved:
        [entry] = json.load(saved.extractfile("manifest.json") or io.BytesIO())
        config = json.load(saved.extractfile(entry["Config"]) or io.BytesIO())
        layer = (saved.extractfile(entry["Layers"][0]) or io.BytesIO()).read()
    assert entry["RepoTags"] == ["example.org/one:latest"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Cmd"] == ["/bin/sh", "-c", "exec sleep 9"]


# The questions themselves: what is wrong is noticed.


class Made(Named):
    """An engine of one container, which says what the test wants it to say."""

    name = runtime = "made"

    def number(self, name: str) -> str:
        return "a" * 64


def asked(monkeypatch: pytest.MonkeyPatch, status: int, printed: str, complaint: str) -> Asked:
    monkeypatch.setattr(questions, "pidscope", lambda *words: (status, printed, complaint))
    made = Asked.__new__(Asked)
    made.engine = Made()  # type: ignore[assignment]
    made._seventeen = 4242
    return made


@pytest.mark.parametrize(
    ("status", "printed", "complaint", "expected"),
    [
        (0, "4242", "", "ok"),
        (0, "17", "", "differs: by name: 17, not 4242; by id: 17, not 4242"),
        (2, "", "pidscope: no\nmore", "differs: by name: exit 2, pidscope: no; by id: exit 2, "
         "pidscope: no"),
    ],
)  # fmt: skip
def test_another_number_differs(
    monkeypatch: pytest.MonkeyPatch, status: int, printed: str, complaint: str, expected: str
) -> None:
    made = asked(monkeypatch, status, printed, complaint)
    assert questions.answer(made, QUESTIONS["17 in it"]) == expected


def test_an_engine_without_pods_has_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    made = asked(monkeypatch, 0, "4242", "")
    assert questions.answer(made, QUESTIONS["pod"]) == "- (no pods)"


@pytest.mark.parametrize(
    ("status", "complaint", "good"),
    [
        (
            2,
            "pidscope: made container engine-host has no PID\npidscope: namespace of its own",
            True,
        ),
        (1, "pidscope: no process, namespace or container 'engine-host'", False),
        (0, "", False),
    ],
)
def test_a_refusal_needs_its_reason(
    monkeypatch: pytest.MonkeyPatch, status: int, complaint: str, good: bool
) -> None:
    made = asked(monkeypatch, status, "", complaint)
    made._failed = {}
    made._ps = {1: {"container": {"id": "a" * 64}}}
    monkeypatch.setattr(Made, "init", lambda self, name: 1, raising=False)
    monkeypatch.setattr(questions, "inum", lambda process: 1)
    assert (questions.answer(made, QUESTIONS["host's"]) == "ok") is good


def test_each_line_of_the_readmes_table_is_asked() -> None:
    assert readme.commands() == list(readme.EXPECTED)


FACTS = readme.Facts("engine-one", "a" * 64, 777, 778)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pidscope lookup 4242 --to pid:4242", "PYTHON -m pidscope lookup 777 --to pid:777"),
        ("strace -p $(pidscope lookup -q 17 --in web)",
         "echo -p $(PYTHON -m pidscope lookup -q 17 --in engine-one)"),
    ],
)  # fmt: skip
def test_a_command_is_run_for_the_container(command: str, expected: str) -> None:
    assert readme.filled(command, FACTS) == expected.replace("PYTHON", sys.executable)


@pytest.mark.parametrize(
    ("printed", "count"),
    [("  17  777  777 17  4026532163  sleep  process\n", 0), ("  17  17  17  1  kworker\n", 1)],
)
def test_an_answer_that_is_not_the_tables_is_a_complaint(
    monkeypatch: pytest.MonkeyPatch, printed: str, count: int
) -> None:
    monkeypatch.setattr(readme, "commands", lambda: ["pidscope lookup 17 --in web"])
    monkeypatch.setattr(readme, "_run", lambda command: (0, printed, ""))
    monkeypatch.setattr(readme.Path, "write_text", lambda self, text: None)
    assert len(list(readme.complaints(FACTS))) == count


def test_pidscope_runs_in_a_child_as_it_runs_alone() -> None:
    for words in (("ns", "--source", "simulated", "-J"), ("lookup", "no"), ("nothing",)):
        done = subprocess.run(
            [sys.executable, "-m", "pidscope", *words], capture_output=True, text=True, check=False
        )
        assert pidscope(*words) == (done.returncode, done.stdout.strip(), done.stderr.strip())
