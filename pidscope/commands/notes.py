"""What the commands that list print beside their tables."""

from __future__ import annotations

from collections.abc import Iterable

from pidscope.query.place import ROOT
from pidscope.query.process import Process
from pidscope.sources.privilege import own_hint
from pidscope.terminal import warn


def print_text(text: str, notes: Iterable[str] = ()) -> None:
    """Print a text, unless it is empty, and on standard error what it does not show."""
    if text:
        print(text)
    for note in notes:
        warn(note)


def unread_notes(processes: Iterable[Process]) -> list[str]:
    """Return what of the processes this user may not read, and what to do."""
    unread = sum(process.ns is None for process in processes)
    what = f"the namespaces of {unread} of these (?)" if unread else "? and what is missing"
    return [f"{what} may not be read by this user", own_hint(ROOT)]
