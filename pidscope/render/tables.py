"""Processes and namespaces as text for people: plain tables that fit a terminal.

Pure: takes values, returns strings. ``?`` stands for what is not known; 0 is a
number that does not exist, as in /proc; ``…`` stands where something was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from pidscope.errors import UsageError
from pidscope.query.process import Namespace, Process
from pidscope.render.container_cells import NONE_OWNED, ContainerCells
from pidscope.render.text import COMM_WIDTH, cut, cut_front, cut_inside, cut_middle, known

_MIN_COMM = 8
_MIN_NSPID = 15
_GAP = 2  # tabulate's, between plain columns
_INDENT = "  "
# Stands for a space that tabulate must not strip. No cell holds one: `escape` writes a
# character for private use as bytes.
_SPACE = "\ue000"

_Column = Callable[[Sequence[Process]], list[str]]  # without a call for each cell
_PS_CELLS: Mapping[str, _Column] = {
    "PID": lambda all_: [str(it.pid) for it in all_],
    "TID": lambda all_: [str(it.tid) for it in all_],
    "NSPID": lambda all_: [_numbers([level.tid for level in it.levels]) for it in all_],
    "NSTGID": lambda all_: [_numbers([level.pid for level in it.levels]) for it in all_],
    "NSPPID": lambda all_: [_numbers([level.ppid for level in it.levels]) for it in all_],
    "NSPGID": lambda all_: [_numbers([level.pgid for level in it.levels]) for it in all_],
    "NSSID": lambda all_: [_numbers([level.sid for level in it.levels]) for it in all_],
    "NS": lambda all_: [known(it.ns) for it in all_],
    "LEVEL": lambda all_: [str(len(it.levels) - 1) for it in all_],
    "PPID": lambda all_: [known(it.levels[0].ppid) for it in all_],
    "PGID": lambda all_: [str(it.levels[0].pgid) for it in all_],
    "SID": lambda all_: [str(it.levels[0].sid) for it in all_],
    "STAT": lambda all_: [_state(it) for it in all_],
    "START": lambda all_: [known(it.start_time) for it in all_],
    "ID": lambda all_: [known(it.id) for it in all_],
    "COMM": lambda all_: [it.comm for it in all_],
}
CONTAINERS = frozenset({"CONTAINER", "NSCONTAINER"})  # what needs cgroups
# REAPER of a process is the name of its parent, which the caller looks up.
PS_COLUMNS = (*(it for it in _PS_CELLS if it != "COMM"), "CONTAINER", "NSCONTAINER", "COMM")


def _state(it: Process) -> str:
    if it.state not in "ZX" and not it.joined:  # most
        return it.state
    goes_on = it.state in "ZX" and it.is_leader and it.ended is False
    return f"{it.state}{'l' if goes_on else ''}{'j' if it.joined else ''}"


PS_STARTS = frozenset({"START", "ID"})  # what a snapshot without starts does not have
PS_DEFAULT = ("PID", "NSPID", "NS", "PPID", "PGID", "SID", "STAT", "COMM")
PS_THREADS = ("PID", "TID", "NSPID", "NS", "STAT", "COMM")
PS_ZOMBIES = ("PID", "NSPID", "NS", "PPID", "REAPER", "COMM")

# COMM of a namespace is that of its init, which the caller looks up.
NS_COLUMNS: Mapping[str, Callable[[Namespace], str]] = {
    "NS": lambda it: _INDENT * it.level + str(it.ns),
    "LEVEL": lambda it: str(it.level),
    "PARENT": lambda it: known(it.parent),
    "INIT": lambda it: known(it.init),
    "PROCS": lambda it: str(it.processes),
    "THREADS": lambda it: str(it.threads),
    "ZOMBIES": lambda it: str(it.zombies),
    "LAST": lambda it: known(it.last_pid),
    "CONTAINER": NONE_OWNED.of_namespace,
}
NS_DEFAULT = ("NS", "LEVEL", "INIT", "PROCS", "THREADS", "ZOMBIES", "COMM")

# Of any length; the first is shortened first.
_NAMES = ("REAPER", "COMM", "WHAT", "CONTAINER", "READ-COMM", "READ-CONTAINER")
_LEFT = frozenset(
    {
        "NS",
        "NSPID",
        "NSTGID",
        "NSPPID",
        "NSPGID",
        "NSSID",
        "STAT",
        "START",
        "ID",
        "NSCONTAINER",
        "LIMIT",
        "OF",
        "ERRNO",
        "PIDS.EVENTS",
        *("BORN", "ENDED", "READ-AT"),
        *_NAMES,
    }
)


def choose_columns(wanted: str, known: Iterable[str], default: Sequence[str]) -> list[str]:
    """Return the columns that ``-o`` names, after the default ones if it begins with ``+``.

    Raises UsageError for a name that is not ``known``.
    """
    names = [name.strip().upper() for name in wanted.removeprefix("+").split(",")]
    known = list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"no column {name or '(empty)'!r}", hint=f"one of {', '.join(known)}")
    return [*default, *names] if wanted.startswith("+") else names


def process_table(
    processes: Sequence[Process],
    columns: Sequence[str],
    comms: Mapping[int, str],
    *,
    headings: bool,
    width: int | None,
    containers: ContainerCells = NONE_OWNED,
    tracers: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """Return one line a task; NSPID and names give way to ``width``, None: nothing is cut.

    ``comms`` names parents by number, and ``tracers``, by the zombie's, those that have to wait
    first.
    """
    cells = process_cells(containers)
    cells["REAPER"] = lambda all_: [
        tracers.get(it.tid) or known(comms.get(it.levels[0].ppid or 0)) for it in all_
    ]
    rows = list(map(list, zip(*(cells[column](processes) for column in columns))))
    return aligned(fitted(rows, columns, headings, width), columns)


def process_cells(containers: ContainerCells) -> dict[str, _Column]:
    """Return what makes the cells of each of PS_COLUMNS, of several processes."""
    those: dict[str, _Column] = {
        "CONTAINER": lambda all_: [containers.of_process(it) for it in all_],
        "NSCONTAINER": lambda all_: [containers.of_levels(it) for it in all_],
    }
    return {**_PS_CELLS, **those}


def namespace_tree(
    namespaces: Iterable[Namespace],
    comms: Mapping[int, str],
    columns: Sequence[str],
    *,
    headings: bool,
    width: int | None,
    containers: ContainerCells = NONE_OWNED,
) -> str:
    """Return one line a namespace, indented by level; ``comms`` names inits by number."""

    def cell(namespace: Namespace, column: str) -> str:
        if column == "COMM":
            return known(comms.get(namespace.init or 0)) + (" <dying>" if namespace.dying else "")
        if column == "CONTAINER":
            return containers.of_namespace(namespace)
        return NS_COLUMNS[column](namespace)

    rows = [[cell(namespace, column) for column in columns] for namespace in namespaces]
    rows = fitted(rows, columns, headings, width)
    return tabulated(rows, columns) if rows else ""


def table(rows: list[list[str]], columns: Sequence[str], *, width: int | None, give: int) -> str:
    """Return the rows below their headings; the cells in column ``give`` give way to ``width``."""
    rows = [list(columns), *rows]
    if width is not None:
        widths = list(map(_widest, zip(*rows)))
        excess = sum(widths) + _GAP * (len(columns) - 1) - width
        if excess > 0:
            _shorten(rows, give, cut_front, max(_MIN_COMM, widths[give] - excess))
    return aligned(rows, columns)


def fitted(
    rows: list[list[str]], columns: Sequence[str], headings: bool, width: int | None
) -> list[list[str]]:
    """Return the cells as they are to be shown, the headings as the first row."""
    if headings:
        rows = [list(columns), *rows]
    if width is not None and rows:
        _fit(rows, columns, width)
    return rows


def tabulated(rows: list[list[str]], columns: Sequence[str]) -> str:
    """Return the rows as lines; a heading is a row, since tabulate pads what it knows to be one."""
    from tabulate import tabulate  # takes a while to import, and most of what is shown does without

    text = tabulate(
        [[cell.replace(" ", _SPACE) for cell in row] for row in rows],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["left" if column in _LEFT else "right" for column in columns],
    )
    return text.replace(_SPACE, " ")


def aligned(rows: list[list[str]], columns: Sequence[str]) -> str:
    """Return what `tabulated` does, where no cell but a COMM is empty or ends in a space.

    With thousands of rows tabulate takes longer than /proc does; this, a fiftieth of that.
    """
    if not rows:
        return ""
    line = (" " * _GAP).join(map(_cell_format, columns, map(_widest, zip(*rows))))
    if columns[-1] in _LEFT:
        line = line[: line.rindex("%")] + "%s"  # nothing to pad for
    texts = [line % tuple(row) for row in rows]
    return "\n".join(text if row[-1] else text.rstrip() for text, row in zip(texts, rows))


def _cell_format(column: str, width: int) -> str:
    return f"%-{width}s" if column in _LEFT else f"%{width}s"


def _fit(rows: list[list[str]], columns: Sequence[str], width: int) -> None:
    """Shorten NSPID as far as whole comms need it, then names as far as the line needs it."""
    widths = dict(zip(columns, map(_widest, zip(*rows))))
    # What a name has beyond a comm (workqueues, containers, escapes) is no reason to cut numbers.
    spare = sum(max(0, widths.get(column, 0) - COMM_WIDTH) for column in _NAMES)
    excess = sum(widths.values()) + _GAP * (len(columns) - 1) - width
    if "NSPID" in widths:
        room = max(_MIN_NSPID, widths["NSPID"] - excess + spare)
        excess -= widths["NSPID"] - _shorten(rows, columns.index("NSPID"), cut_middle, room)
    for column in _NAMES:
        if excess > 0 and widths.get(column, 0) > _MIN_COMM:
            room, index = max(_MIN_COMM, widths[column] - excess), columns.index(column)
            how = cut
            if column.endswith("CONTAINER"):
                room, how = _telling(room, {row[index] for row in rows}), cut_inside
            excess -= widths[column] - _shorten(rows, index, how, room)


def _telling(room: int, names: Collection[str]) -> int:
    """Return the least width from ``room`` on at which different names stay different."""
    while len({cut_inside(name, room) for name in names}) < len(names):
        room += 1
    return room


def _shorten(rows: list[list[str]], index: int, cut: Callable[[str, int], str], room: int) -> int:
    """Cut one column to ``room`` and return how wide it is now."""
    for row in rows:
        if len(row[index]) > room:
            row[index] = cut(row[index], room)
    return _widest(row[index] for row in rows)


def _widest(cells: Iterable[str]) -> int:
    return max(map(len, cells))


def _numbers(numbers: Sequence[int | None]) -> str:
    return known(numbers[0]) if len(numbers) == 1 else " ".join(map(known, numbers))
