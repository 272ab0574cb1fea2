"""Where a module of the flat layout is now: the table of docs/modules.md, from git's renames."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from pidscope_dev import CHECKOUT

BEGIN, END = "<!-- modules -->\n", "<!-- /modules -->"
PAGE = CHECKOUT / "docs" / "modules.md"

_FLAT_UNTIL = "^rooms: every module of pidscope in its room"  # the commit that moved them
_DIFF = ("--name-status", "--diff-filter=RD", "--find-renames=40%")
_ROW = re.compile(r"^\| `(\S+)` \| (.*) \|$", re.MULTILINE)


def renewed() -> Iterator[tuple[Path, str]]:
    """Give the page and what it should hold now, or nothing in a checkout without that commit."""
    move = _git("log", "--format=%H", f"--grep={_FLAT_UNTIL}").split()
    if move:
        flat = f"{move[-1]}^"
        old = _git("ls-tree", "-r", "--name-only", flat, "pidscope").split()
        log = _git("log", "--reverse", "--topo-order", "--format=", *_DIFF, f"{flat}..HEAD")
        places = followed(old, log + _git("diff", "HEAD", *_DIFF))
        yield PAGE, written(PAGE.read_text(encoding="utf-8"), places)


def followed(old: list[str], log: str) -> Mapping[str, str]:
    """Return where each module is after the renames of ``git log --name-status``; '': nowhere."""
    places = {path: path for path in old if path.endswith(".py")}
    for line in log.splitlines():
        status, _, paths = line.partition("\t")
        source, _, target = paths.partition("\t")
        if status:
            places.update({path: target for path, place in places.items() if place == source})
    return places


def written(text: str, places: Mapping[str, str]) -> str:
    """Return the page with a row for each module that moved.

    What stands there for one that is no more was written by hand and stays.
    """
    before, _, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"no place for the table of modules: {BEGIN.strip()} and {END}")
    by_hand = dict(_ROW.findall(table))
    rows = "".join(
        f"| `{old}` | {f'`{new}`' if new else by_hand.get(old, 'removed')} |\n"
        for old, new in sorted(places.items())
        if old != new
    )
    return f"{before}{BEGIN}| before | now |\n|---|---|\n{rows}{END}{after}"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True, text=True
    )
    return done.stdout
