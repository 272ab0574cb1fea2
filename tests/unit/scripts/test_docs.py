"""README and docs/ against the code: transcripts, the picture of the rooms, links."""

import datetime
import re
from unittest import mock

import pytest
from pidscope_dev.docs import picture, transcripts

from tests import CHECKOUT

PAGES = [*transcripts.pages(), CHECKOUT / "CONTRIBUTING.md"]
CAPTURED = """\
Captured by `scripts/vm -- scripts/demo` on Linux 6.1, 2026-01-01:

```
$ pidscope ps --in pid:40
old
```
"""
CAPTURE = "booting\n$ uname -r\n6.2\n\n$ pidscope ns\nNS\n\n$ pidscope ps --in pid:51\n{}\n"
NEW_YEAR = datetime.date(2027, 1, 1)


@pytest.mark.parametrize("page", transcripts.pages(), ids=lambda path: path.name)
def test_transcripts_are_what_the_commands_print(page):
    text = page.read_text()
    assert transcripts.renewed(text, transcripts.rerun) == text, "scripts/docs transcripts"


def test_a_stale_transcript_is_made_again():
    command = "pidscope lookup 35 --to pid:19 --source simulated"
    output = {command: transcripts.rerun(command), "cat x": "x"}
    fresh = f"before\n```\n$ {command}\n{output[command]}\n\n$ cat x\nx\n```\nafter\n"
    stale = fresh.replace("nginx", "nginX")
    assert stale != fresh
    assert transcripts.renewed(stale, output.__getitem__) == fresh
    assert transcripts.renewed(fresh, output.__getitem__) == fresh


def test_a_status_that_is_not_0_is_shown():
    output = transcripts.rerun("pidscope ps --in pid:99 --source simulated")
    assert output.startswith("pidscope: ") and output.endswith("\n[exit status 1]")


@pytest.mark.parametrize(
    "command",
    [
        "pidscope watch -- make",
        "pidscope ps",
        "pidscope ps --source simulated; reboot",
        "pidscope ps --source simulated > x",
        "pidscope ps --source simulated | sh",
        "cat ../x",
        "true",
    ],
)
def test_only_what_needs_no_real_kernel_is_run(command):
    with pytest.raises(ValueError, match="needs a real kernel"):
        transcripts.rerun(command)


def test_a_traceback_is_no_transcript(tmp_path, monkeypatch):
    (tmp_path / "page").write_text("Traceback (most recent call last):\n")
    monkeypatch.setattr(transcripts, "DOCS", tmp_path)
    with pytest.raises(ValueError, match="'cat page' ends in a traceback"):
        transcripts.rerun("cat page")


def test_a_captured_transcript_is_made_again_by_its_capture_alone():
    assert transcripts.renewed(CAPTURED, transcripts.rerun) == CAPTURED
    taken = mock.Mock(return_value=CAPTURE.format("new"))
    assert transcripts.recaptured(CAPTURED, taken, NEW_YEAR) == (
        "Captured by `scripts/vm -- scripts/demo` on Linux 6.2, 2027-01-01:\n\n"
        "```\n$ pidscope ps --in pid:51\nnew\n```\n"
    )
    taken.assert_called_once_with("scripts/vm -- scripts/demo")
    rerun = CAPTURED.partition("\n\n")[2]
    assert transcripts.recaptured(rerun, taken, NEW_YEAR) == rerun


def test_a_long_capture_is_cut_in_the_middle():
    lines = [f"line {number}" for number in range(100)]
    text = transcripts.recaptured(CAPTURED, lambda by: CAPTURE.format("\n".join(lines)), NEW_YEAR)
    kept = text.splitlines()[4:-1]
    assert len(kept) == transcripts.MOST_LINES + 1
    assert kept[16] == "…"
    assert kept[:16] + kept[17:] == lines[:16] + lines[-8:]


def test_a_capture_without_a_command_of_the_page_is_refused():
    with pytest.raises(ValueError, match=r"printed no transcript of pidscope ps --in pid:N"):
        transcripts.recaptured(CAPTURED, lambda by: "$ uname -r\n6.2\n", NEW_YEAR)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_each_block_with_a_prompt_is_a_transcript(page):
    fenced = re.findall(r"^```.*?\n(.*?)^```$", page.read_text(), re.M | re.S)
    prompts = sum(bool(re.search(r"^\$ ", block, re.M)) for block in fenced)
    assert prompts == len(transcripts._BLOCK.findall(page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_that_a_page_names_are_there(page):
    """In the map of old names to new ones those of the first column are gone."""
    names = r"`((?:pidscope|scripts|tests|bpf|docs)/[\w./-]+)[` ]"
    gone = r"(?<!^\| )" if page.name == "modules.md" else ""
    files = re.findall(gone + names, page.read_text(), re.M)
    assert [file for file in files if not (CHECKOUT / file).exists()] == []


def test_the_picture_is_what_the_imports_are():
    [(path, made)] = picture.renewed()
    assert path.read_text() == made, "scripts/docs picture"


def test_the_picture_shows_each_import_that_no_longer_way_implies():
    imports = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    made = picture.drawn({room: frozenset(names) for room, names in imports.items()})
    assert made.count('marker-end="url(#head)"') == 2
    assert re.findall(r"<text[^>]*>(\w)</text>", made) == ["a", "b", "c"]


def test_a_circle_is_no_picture():
    with pytest.raises(ValueError, match="circle"):
        picture.drawn({"a": frozenset("b"), "b": frozenset("a")})


def test_imports_are_read_from_the_sources(tmp_path):
    package = tmp_path / "pidscope"
    (package / "high").mkdir(parents=True)
    for name, source in {
        "__init__.py": "import pidscope.low\n",
        "low.py": "import os\nfrom pidscope import high_not\n",
        "high/inner.py": "def f():\n    from pidscope.low import it\n",
        "top.py": "import importlib as i\ni.import_module('pidscope.high.x')\n",
    }.items():
        (package / name).write_text(source)
    assert picture.imports(package) == {"low": set(), "high": {"low"}, "top": {"high"}}
