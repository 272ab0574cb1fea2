"""The structures of a task (`pidscope.query.explain`) drawn as lines below 80 columns.

Pure. ``▶`` stands at the end of a pointer, ``=`` before what stands there itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pidscope.query.explain import TYPES, Explained, Space, StructPid
from pidscope.query.process import Process
from pidscope.render.text import WIDTH, cut, cut_middle, known

_COMM = 24  # as much of a comm is drawn, which may be escaped
_NAME = 40  # as wide may the numbers be that name a struct pid
_INDENTED = 4  # as many namespaces; those further inwards stand below each other
_LIST_WIDTH = 200  # of a list is drawn
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "disk sleep",
    "T": "stopped",
    "t": "tracing stop",
    "Z": "zombie",
    "X": "dead",
    "I": "idle",
    "P": "parked",
}


class _Branch(NamedTuple):
    """One line of a tree: ``pieces``, which are not broken, and what hangs below them."""

    label: str
    pieces: Sequence[str] = ()
    points: bool = True  # the label is a pointer's, or a list's head
    below: Sequence[_Branch] = ()


def lines(it: Explained) -> list[str]:
    """Return the drawing, of lines below 80 columns."""
    blocks = [_task_lines(it), *(_pid_lines(it, pid) for pid in it.pids), _space_lines(it)]
    return [line for block in blocks for line in (*block, "")][:-1]


def _tree(branches: Sequence[_Branch], indent: str = "") -> Iterator[str]:
    room = max((len(it.label) for it in branches if it.pieces), default=0)
    for place, it in enumerate(branches):
        last = place == len(branches) - 1
        corner, bar = ("└─ ", "   ") if last else ("├─ ", "│  ")
        head = indent + corner + it.label
        if it.pieces:
            gap = room - len(it.label)
            head += f" {'─' * gap}─▶ " if it.points else f" {' ' * gap} = "
        rest = indent + bar + ("│" if it.below else "")
        yield from _flowed(head, it.pieces, rest.ljust(len(head)))
        yield from _tree(it.below, indent + bar)


def _flowed(head: str, pieces: Iterable[str], rest: str) -> Iterator[str]:
    """Yield ``head`` and the pieces; lines that begin with ``rest`` take what is too much."""
    line = head
    for piece in pieces:
        if len(line) + len(piece) > WIDTH and line not in (head, rest):
            yield line.rstrip()
            line = rest
        line += piece + " "
    yield line.rstrip()


def _task_lines(it: Explained) -> list[str]:
    task = it.task
    state = f"{task.state} ({known(_STATES.get(task.state))})"
    pids = {pid.nr: name(pid) for pid in it.pids}
    leader = "itself" if task.tid == task.pid else comm(it.leader)
    return [
        f"task_struct {task.tid}  {comm(task)}, state {state}",
        *_tree(
            [
                _link("thread_pid", it.links["PID"], pids),
                _Branch("group_leader", [f"task_struct {task.pid}", f"({leader})"]),
                _parent(it),
                _nsproxy(it),
                _signal(it, pids),
            ]
        ),
    ]


def _link(label: str, nr: int | None, pids: Mapping[int, str]) -> _Branch:
    return _Branch(label, [_OUTSIDE if nr is None else pids[nr]])


_OUTSIDE = "one that has no number here"


def _parent(it: Explained) -> _Branch:
    label, ppid = "real_parent", it.task.levels[0].ppid
    if it.parent is not None:
        return _Branch(label, [f"a task_struct of process {ppid}", f"({comm(it.parent)})"])
    if ppid is None:
        return _Branch(label, ["not known"], points=False)
    if ppid:
        return _Branch(label, [f"a task_struct of process {ppid},", "which has gone meanwhile"])
    return _Branch(label, ["init_task, the swapper" if it.initial else _OUTSIDE])


def _nsproxy(it: Explained) -> _Branch:
    if it.children is None and it.task.state in "ZX":
        return _Branch("nsproxy", [it.why], points=False)
    label = "pid_ns_for_children"
    if it.children is None:
        below = _Branch(label, it.why.split(" "), points=False)
    else:
        where = "(where it lives)" if it.children.active else "(not where it lives)"
        below = _Branch(label, [called(it, it.children), where])
    return _Branch("nsproxy", below=[below])


def _signal(it: Explained, pids: Mapping[int, str]) -> _Branch:
    count = len(it.threads)
    what = f"signal_struct of process {it.task.pid},"
    return _Branch(
        "signal",
        [what, "1 thread" if count == 1 else f"{count} threads"],
        below=[_link(f"pids[PIDTYPE_{kind}]", it.links[kind], pids) for kind in TYPES[1:]],
    )


def _pid_lines(it: Explained, pid: StructPid) -> list[str]:
    first = "" if it.initial else "n+"
    last = f"level {first}{len(pid.numbers) - 1}"
    if pid.partial:
        sure = it.all_seen and pid.nr != it.links["TGID"]
        none = "no task has" if sure else "no visible task has"
        last = f"its level is not known: {none} it as its own"
    numbers = [
        _Branch(f"numbers[{first}{level}]", [f"{{nr {nr},", f"ns ▶ {known(ns)}}}"], points=False)
        for level, (nr, ns) in enumerate(zip(pid.numbers, pid.ns))
    ]
    if pid.partial:
        numbers.append(_Branch("numbers[…]", ["not known"], points=False))
    seen, is_its_group = bool(pid.tasks["PID"]), pid.nr == it.links["TGID"]
    lists = [_list(it, kind, pid.tasks[kind], seen, is_its_group) for kind in TYPES]
    return [f"{name(pid)}  {last}", *_tree([*numbers, *lists])]


def _list(
    it: Explained, kind: str, members: Sequence[Process], is_seen: bool, is_its_group: bool
) -> _Branch:
    label = f"tasks[PIDTYPE_{kind}]"
    # The first two have one or none, and both are those of the visible task that has it.
    open_ended = not it.all_seen and (kind in ("PGID", "SID") or not is_seen)
    if kind in ("PID", "TGID") and not is_seen and is_its_group:
        open_ended = True  # its leader was not there while it was read
    if not members:
        text = "not known: no task is visible" if open_ended else "empty"
        return _Branch(label, [text], points=False)
    names = [f"{member.tid} {comm(member)}" for member in members]
    shown = names[: _fitting(names)]
    if len(shown) < len(names):
        shown.append(f"and {len(names) - len(shown)} more")
    if open_ended:
        shown.append("and perhaps others")
    return _Branch(label, [*(f"{name}," for name in shown[:-1]), shown[-1]])


def _fitting(names: Sequence[str]) -> int:
    """Return how many names a list may have."""
    room = _LIST_WIDTH
    for count, name in enumerate(names):
        room -= len(name) + 2
        if room < 0:
            return max(1, count)
    return len(names)


def _space_lines(it: Explained) -> list[str]:
    spaces = list(it.spaces)
    if it.children is not None and it.children not in spaces:
        spaces.append(it.children)
    found: list[str] = []
    for place, space in enumerate(spaces):
        rest = "   " * min(place, _INDENTED)
        corner = rest[3:] + "└─ " if place else ""
        pieces = [f"level {_level(it, space)},", f"child_reaper ▶ {_reaper(it, space)}"]
        found += _flowed(f"{corner}{called(it, space)}  ", pieces, rest)
        found += [f"{rest}▲ {said}" for said in _marks(it, space)]
    if not it.initial:
        found.append("n is not known: those around the first cannot be read from here")
    return found


def _level(it: Explained, space: Space) -> str:
    return known(space.level) if it.initial else f"n+{known(space.level)}"


def _marks(it: Explained, space: Space) -> list[str]:
    if space.active and space == it.children:
        return ["it lives here, and its children will"]
    if space.active:
        return ["it lives here"]
    return ["its children will live here"] if space == it.children else []


def _reaper(it: Explained, space: Space) -> str:
    if space.init is None:
        return "NULL, or one that has exited" if it.all_read and space.ns else "not known"
    name = f"{space.init.tid} {comm(space.init)}"
    return f"a thread of {name}" if space.init.state in "ZX" else name


# The names of the structures, here and in the graph


def name(pid: StructPid) -> str:
    """Return a struct pid by its numbers, of very many the first and the last."""
    words = [*map(str, pid.numbers), *(["?"] if pid.partial else [])]
    numbers = cut_middle("/".join(words), _NAME, "/")
    return f"{'struct pid' if pid.nr else 'init_struct_pid'} {numbers}"


def comm(task: Process | None) -> str:
    """Return what a task calls itself, cut if it is long."""
    return known(None if task is None else cut(task.comm, _COMM))


def called(it: Explained, space: Space) -> str:
    """Return what a namespace is called."""
    initial = it.initial and space.level == 0
    return f"pid_namespace {known(space.ns)}{' (init_pid_ns)' if initial else ''}"
