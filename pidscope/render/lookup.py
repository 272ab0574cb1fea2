"""What `pidscope lookup` found, as a table for people.

Pure. A line for what has the number now, then one for each task that had it before, as far as that
was recorded. ``-`` stands where there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pidscope.escape import escape
from pidscope.query.lookup import Answer, Held, Numbered, number_in
from pidscope.query.process import Level, Process
from pidscope.render import tables
from pidscope.render.container_cells import NONE_OWNED, ContainerCells
from pidscope.render.text import known

if TYPE_CHECKING:
    from pidscope.query.ended import Life

_NOTHING = "-"


class Line(NamedTuple):
    """One that has, or had, a number."""

    number: int
    to: int | None  # its number there; 0: none, None: not known
    levels: Sequence[Numbered]
    comm: str
    what: str
    task: Process | None = None


_COLUMNS: Mapping[str, Callable[[Line], str]] = {
    "NUMBER": lambda it: str(it.number),
    "TO": lambda it: known(it.to),
    "NSPID": lambda it: " ".join(str(level.number) for level in it.levels),
    "NS": lambda it: known(it.levels[-1].ns),
    "LEVEL": lambda it: str(len(it.levels) - 1),
    "COMM": lambda it: it.comm,
    "WHAT": lambda it: it.what,
}
COLUMNS = (*_COLUMNS, *(column for column in tables.PS_COLUMNS if column not in _COLUMNS))
DEFAULT = ("NUMBER", "TO", "NSPID", "NS", "COMM", "WHAT")


def answer_table(
    answers: Iterable[Answer],
    columns: Sequence[str],
    boot_time: int | None,
    *,
    headings: bool,
    width: int | None,
    containers: ContainerCells = NONE_OWNED,
) -> str:
    """Return the lines, with times as here; ``boot_time`` is in seconds since the epoch."""
    cells = tables.process_cells(containers)
    lines = [line for answer in answers for line in _lines(answer, boot_time)]
    rows = [[_cell(line, column, cells) for column in columns] for line in lines]
    rows = tables.fitted(rows, columns, headings, width)
    return tables.aligned(rows, columns) if lines else ""


def _cell(
    line: Line, column: str, cells: Mapping[str, Callable[[Sequence[Process]], list[str]]]
) -> str:
    if column in _COLUMNS:
        return _COLUMNS[column](line)
    return _NOTHING if line.task is None else cells[column]([line.task])[0]


def _lines(answer: Answer, boot_time: int | None) -> Iterator[Line]:
    task, held, number = answer.taken.task, answer.taken.held, answer.taken.number
    if task is not None:
        what = what_is(task, answer.level or task.levels[0])
        yield Line(number, answer.translated, answer.levels, task.comm, what, task)
    elif held is not None:
        yield Line(number, answer.translated, answer.levels, _NOTHING, what_holds(held))
    for place, life in enumerate(answer.ended or ()):
        levels = [Numbered(ns, nr) for ns, nr in zip(life.inums, life.numbers)]
        again = ", reused" if place or task is not None else ""
        what = f"{_thread_of(life, answer.ns)}{_ended(life, boot_time)}{again}"
        yield Line(number, number_in(levels, answer.to), levels, escape(life.comm), what)


def what_is(task: Process, level: Level) -> str:
    """Return what has a number: ``process``, or ``thread 19 of process 17`` as ``level`` counts."""
    words = "process"
    if level.tid != level.pid:
        words = f"thread {level.tid} of process {level.pid}"
    elif task.state == "Z" and task.ended is False:
        words = "process, its main thread has exited"
    elif task.state == "Z":
        # Its parent, if it has a number here: it is outside if the dead one entered from there.
        reaper = "its tracer" if task.is_held_by_tracer else level.ppid or "its parent"
        words = f"zombie, {reaper} has yet to wait"
    return f"{words}, joined" if task.joined else words


def what_holds(held: Held) -> str:
    """Return what keeps a number taken whose process is gone."""
    kinds = (("session", held.session), ("group", held.group))
    return "no process: " + ", ".join(f"{kind} of {len(who)}" for kind, who in kinds if who)


def _thread_of(life: Life, ns: int | None) -> str:
    """Return the process that it was a thread of, as ``ns`` counts; nothing for a process."""
    if life.numbers == life.tgids:
        return ""
    level = life.inums.index(ns) if ns in life.inums else 0
    return f"thread of {life.tgids[level]}, "


def _ended(life: Life, boot_time: int | None) -> str:
    ending = ", status not known"
    if life.exit_code is not None:
        status = life.exit_code >> 8 & 0xFF
        ending = f", signal {life.signal}" if life.signal else f", status {status}"
    if boot_time is None:
        return f"ended{ending}"
    from datetime import datetime  # what has never ended does without

    exited = datetime.fromtimestamp(boot_time + life.exited_ns / 1e9)
    return f"ended {exited:%H:%M:%S}{ending}"
