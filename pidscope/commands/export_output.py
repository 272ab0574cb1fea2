"""Where an export goes, and in which form: lines to standard output, or a file that is whole."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, BinaryIO, Callable, Optional, Protocol

from pidscope import __version__
from pidscope.errors import UsageError
from pidscope.escape import printable
from pidscope.history.export import ecs, ndjson, ocsf
from pidscope.history.export.forms import timestamp
from pidscope.history.export.ndjson import Known
from pidscope.history.export.read import FOREVER, Exported
from pidscope.history.export.task import Instant, Missing, Task
from pidscope.history.moment import Moment
from pidscope.history.recording import Recording
from pidscope.history.whole_file import whole_file

_SECOND = len("2026-11-30T14:03:05")
Write = Callable[[str], object]
Form = Callable[[Task], Optional[dict[str, Any]]]
_FORMS: dict[str, Form] = {
    "ndjson": ndjson.life_line,
    "ocsf": lambda task: ocsf.event(task, __version__),
    "ecs": ecs.document,
}


class Output(Protocol):
    """One form of an export, being written."""

    unplaced: int  # tasks that it had no time for

    def put(self, task: Task) -> None:
        """Write a task."""

    def finish(self, exported: Exported) -> None:
        """Write the end."""


class Lines:
    """An object a line; pidscope's own lines have a first and a last one, and gaps."""

    def __init__(self, form: str, write: Write, recording: Recording, asked: Moment) -> None:
        self._form, self._write = _FORMS[form], write
        self._is_own = form == "ndjson"
        self.unplaced = 0
        if self._is_own:
            ends = asked.last_ns < FOREVER
            self._line(ndjson.first_line(recording.path, __version__, asked, ends))

    def put(self, task: Task) -> None:
        """Write a task."""
        made = self._form(task)
        if made is None:
            self.unplaced += 1
        else:
            self._line(made)

    def finish(self, exported: Exported) -> None:
        """Write the gaps, and the last line."""
        if self._is_own:
            for gap in exported.gaps:
                self._line(ndjson.gap_line(gap))
            self._line(ndjson.last_line(known_of(exported)))

    def _line(self, value: dict[str, Any]) -> None:
        self._write(json.dumps(value) + "\n")


def output_of(
    form: str, path: str | None, recording: Recording, asked: Moment
) -> AbstractContextManager[Output]:
    """Return what writes a form to a new file, or to standard output; raises UsageError."""
    return (
        _to_stdout(form, recording, asked)
        if path is None
        else _to_file(form, path, recording, asked)
    )


@contextmanager
def _to_stdout(form: str, recording: Recording, asked: Moment) -> Iterator[Output]:
    yield Lines(form, sys.stdout.write, recording, asked)


@contextmanager
def _to_file(form: str, path: str, recording: Recording, asked: Moment) -> Iterator[Output]:
    with new_file(path) as file:
        if form in _FORMS:
            yield Lines(form, lambda text: file.write(text.encode()), recording, asked)
            return
        from pidscope.commands.export_columns import columns  # pyarrow

        with columns(form, file, path) as output:
            yield output


@contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """Make a file of its owner's alone, which gets its name once it is whole and on the disk.

    Raises UsageError: there is something of that name that is no file, or it cannot be made.
    """
    is_there = os.path.lexists(path)
    if is_there and not stat.S_ISREG(os.lstat(path).st_mode):
        raise UsageError(f"{printable(path)} is no file", "give the name of a file")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(whole_file(path))
        except OSError as error:
            raise UsageError(f"{printable(path)}: {error.strerror}") from None
        yield file


def known_of(exported: Exported) -> Known:
    """Return what an export has."""
    return Known(
        exported.ended,
        exported.alive,
        len(exported.gaps) + exported.more_gaps,
        exported.first,
        exported.last,
        tuple(exported.cannot),
    )


def reach_text(exported: Exported) -> str:
    """Return from when to when it has everything but its gaps."""
    first, last = exported.first, exported.last
    return f"from {_shown(first and first.at)} to {_shown(last and last.at)}"


def gap_text(gap: Missing) -> str:
    """Return when something is missing, and why."""
    times = f"from {_shown(gap.first)} on" if gap.last is None else ""
    times = times or f"{_shown(gap.first)} to {_shown(gap.last)}"
    return f"{times}: {printable(gap.reason)}"


def _shown(instant: Instant | None) -> str:
    text = timestamp(instant)
    if instant is None or text is None:
        return f"{(instant.boottime_ns if instant else 0) / 1e9:.3f} s after the boot"
    return f"{text[:_SECOND]}Z"
