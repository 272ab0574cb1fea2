"""The kernel's structures of one task, and how they hang together: for reading, and for drawing.

Pure: tasks as documents.py has them go in; lines, a graph for graphviz, or JSON come out. What is
drawn is what since Linux 4.19 is there:

- a ``task_struct`` is a thread; its ``thread_pid`` points to a ``struct pid``, its own;
- a ``signal_struct`` is a process, which its threads share; ``pids[]`` in it point to the struct
  pids of its thread group, its process group and its session;
- a ``struct pid`` has one ``struct upid`` a level, which is a number and the ``pid_namespace`` in
  which it counts, and one list a kind: who has it for its own, as thread group, group, session.
  A process is on the last three by its group leader; its other threads are not.

/proc shows numbers, not pointers. That two tasks have the same number in the outermost namespace is
that they have the same struct pid. One that no task has for its own is seen through those that are
in its group or session, and they do not show numbers further in than they are: it is `partial`.
Nothing tells the order of a list, so members stand by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pidscope.documents import Outermost, Process

WIDTH = 79
TYPES = ("PID", "TGID", "PGID", "SID")  # enum pid_type, include/linux/pid_types.h
_COMM = 24  # as much of a comm is drawn, which may be escaped
_NAME = 40  # as wide may the numbers be that name a struct pid
_INDENTED = 4  # as many namespaces; those further inwards stand below each other
_LIST_WIDTH = 200  # of a list is drawn
_DOT_MEMBERS = 20  # of a list are drawn
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


class StructPid(NamedTuple):
    """``struct pid``; ``nr`` is its number in the outermost namespace, and names it here."""

    nr: int
    numbers: Sequence[int]  # of the outermost namespace that is seen, and inwards
    ns: Sequence[int | None]
    partial: bool  # there may be more of them
    tasks: Mapping[str, Sequence[Process]]  # by name of the type

    @property
    def name(self) -> str:
        """How it is called in the drawing: by its numbers, of very many the first and the last."""
        words = [*map(str, self.numbers), *(["?"] if self.partial else [])]
        cut = words
        while len("/".join(cut)) > _NAME:
            del words[1]
            cut = [words[0], "…", *words[1:]]
        return f"{'struct pid' if self.nr else 'init_struct_pid'} {'/'.join(cut)}"


class Space(NamedTuple):
    """``struct pid_namespace``."""

    ns: int | None
    level: int | None  # from the outermost that is seen; None: not known
    init: Process | None  # its number 1, where it is seen
    active: bool  # the task lives in it


class Explained(NamedTuple):
    """One task, and all that its pointers lead to."""

    task: Process
    leader: Process | None  # None: it is not seen
    parent: Process | None
    threads: Sequence[int]  # tids of its process
    links: Mapping[str, int | None]  # type to ``nr``; None: it has no number that is seen
    pids: Sequence[StructPid]
    spaces: Sequence[Space]  # from the outermost inwards
    children: Space | None  # where its children will be born; None: not known
    why: str  # it is not
    outermost: Outermost
    all_seen: bool  # nobody is hidden, or outside
    all_read: bool  # and where they live is known


def explain(
    task: Process,
    everyone: Sequence[Process],
    outermost: Outermost,
    *,
    nobody_hidden: bool,
    all_read: bool,
    children_ns: int | None,
    ns_is_read: bool,
) -> Explained:
    """Gather what hangs together with ``task``, which is one of ``everyone``, threads included.

    ``all_read``: that all their namespaces could be read, and nobody is hidden either.
    ``children_ns`` is the inum of ``ns/pid_for_children``, None if it is not to be had;
    ``ns_is_read``: ``ns/pid`` may be read, so that this is not what is in the way.
    """
    outer = task["levels"][0]
    initial = bool(outermost["initial"])
    links = {
        kind: number if number or initial else None
        for kind, number in zip(TYPES, (outer["tid"], outer["pid"], outer["pgid"], outer["sid"]))
    }
    by_tid = {other["tid"]: other for other in everyone}
    distinct = dict.fromkeys(nr for nr in links.values() if nr is not None)
    spaces = _spaces(task, everyone)
    return Explained(
        task=task,
        leader=by_tid.get(task["pid"]),
        parent=by_tid.get(outer["ppid"] or 0),
        threads=sorted(other["tid"] for other in everyone if other["pid"] == task["pid"]),
        links=links,
        pids=[_struct_pid(nr, everyone, by_tid.get(nr)) for nr in distinct],
        spaces=spaces,
        children=_children(children_ns, spaces, everyone),
        why=_why(task, ns_is_read),
        outermost=outermost,
        all_seen=nobody_hidden and initial,
        all_read=all_read and initial,
    )


def _struct_pid(nr: int, everyone: Sequence[Process], own: Process | None) -> StructPid:
    leaders = [other for other in everyone if other["tid"] == other["pid"]]
    groups = [other for other in leaders if other["levels"][0]["pgid"] == nr]
    sessions = [other for other in leaders if other["levels"][0]["sid"] == nr]
    tasks = {
        "PID": [own] if own is not None else [],
        "TGID": [own] if own is not None and own["pid"] == nr else [],
        "PGID": groups,
        "SID": sessions,
    }
    if own is not None:
        numbers = [(level["tid"], level["ns"]) for level in own["levels"]]
    else:
        through = [_through(it, "pgid") for it in groups] + [_through(it, "sid") for it in sessions]
        numbers = max(through, key=len)
    partial = own is None and nr != 0
    return StructPid(nr, [it[0] for it in numbers], [it[1] for it in numbers], partial, tasks)


def _through(process: Process, link: str) -> list[tuple[int, int | None]]:
    """Return the numbers of a process's group or session, as far in as it has some there."""
    numbers = [(level["pgid"] if link == "pgid" else level["sid"]) for level in process["levels"]]
    depth = next((place for place, number in enumerate(numbers) if place and not number), None)
    return [(number, level["ns"]) for number, level in zip(numbers[:depth], process["levels"])]


def _spaces(task: Process, everyone: Sequence[Process]) -> list[Space]:
    inums = [level["ns"] for level in task["levels"]]
    innermost = len(inums) - 1
    return [
        Space(ns, level, _init_of(ns, everyone), level == innermost)
        for level, ns in enumerate(inums)
    ]


def _init_of(ns: int | None, everyone: Iterable[Process]) -> Process | None:
    for other in everyone:
        innermost = other["levels"][-1]
        if ns is not None and innermost["ns"] == ns and innermost["tid"] == 1:
            return other
    return None


def _children(ns: int | None, spaces: Sequence[Space], everyone: Sequence[Process]) -> Space | None:
    """Return where the children go: where the task lives, or, after unshare or setns, inside."""
    if ns is None:
        return None
    known = next((space for space in spaces if space.ns == ns), None)
    if known is not None:
        return known
    depths = [len(it["levels"]) - 1 for it in everyone if it["levels"][-1]["ns"] == ns]
    return Space(ns, depths[0] if depths else None, _init_of(ns, everyone), False)


def _why(task: Process, ns_is_read: bool) -> str:
    if task["state"] in "ZX":
        return "NULL: it has exited"
    if not ns_is_read:
        return "not known: this user may not read it"
    # An init that waits for its namespace to empty is no zombie yet, and has no nsproxy either.
    return "not known: it is exiting, or the namespace there has had no number 1 yet"


# Drawing


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
    state = f"{task['state']} ({_STATES.get(task['state'], '?')})"
    pids = {pid.nr: pid.name for pid in it.pids}
    leader = "itself" if task["tid"] == task["pid"] else _comm(it.leader)
    return [
        f"task_struct {task['tid']}  {_comm(task)}, state {state}",
        *_tree(
            [
                _link("thread_pid", it.links["PID"], pids),
                _Branch("group_leader", [f"task_struct {task['pid']}", f"({leader})"]),
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
    label, ppid = "real_parent", it.task["levels"][0]["ppid"]
    if it.parent is not None:
        return _Branch(label, [f"a task_struct of process {ppid}", f"({_comm(it.parent)})"])
    if ppid is None:
        return _Branch(label, ["not known"], points=False)
    if ppid:
        return _Branch(label, [f"a task_struct of process {ppid},", "which has gone meanwhile"])
    return _Branch(label, ["init_task, the swapper" if it.outermost["initial"] else _OUTSIDE])


def _nsproxy(it: Explained) -> _Branch:
    if it.children is None and it.task["state"] in "ZX":
        return _Branch("nsproxy", [it.why], points=False)
    label = "pid_ns_for_children"
    if it.children is None:
        below = _Branch(label, it.why.split(" "), points=False)
    else:
        where = "(where it lives)" if it.children.active else "(not where it lives)"
        below = _Branch(label, [_called(it, it.children), where])
    return _Branch("nsproxy", below=[below])


def _signal(it: Explained, pids: Mapping[int, str]) -> _Branch:
    count = len(it.threads)
    what = f"signal_struct of process {it.task['pid']},"
    return _Branch(
        "signal",
        [what, "1 thread" if count == 1 else f"{count} threads"],
        below=[_link(f"pids[PIDTYPE_{kind}]", it.links[kind], pids) for kind in TYPES[1:]],
    )


def _pid_lines(it: Explained, pid: StructPid) -> list[str]:
    first = "" if it.outermost["initial"] else "n+"
    last = f"level {first}{len(pid.numbers) - 1}"
    if pid.partial:
        nobody = "no task has" if it.all_seen else "no task is seen that has"
        last = f"its level is not known: {nobody} it for its own"
    numbers = [
        _Branch(f"numbers[{first}{level}]", [f"{{nr {nr},", f"ns ▶ {_inum(ns)}}}"], points=False)
        for level, (nr, ns) in enumerate(zip(pid.numbers, pid.ns))
    ]
    if pid.partial:
        numbers.append(_Branch("numbers[…]", ["not known"], points=False))
    lists = [_list(it, kind, pid.tasks[kind], bool(pid.tasks["PID"])) for kind in TYPES]
    return [f"{pid.name}  {last}", *_tree([*numbers, *lists])]


def _list(it: Explained, kind: str, members: Sequence[Process], is_seen: bool) -> _Branch:
    label = f"tasks[PIDTYPE_{kind}]"
    # The first two have one or none, and both are those of the task that is seen to have it.
    open_ended = not it.all_seen and (kind in ("PGID", "SID") or not is_seen)
    if not members:
        nobody = "not known: nobody is seen" if open_ended else "empty"
        return _Branch(label, [nobody], points=False)
    names = [f"{member['tid']} {_comm(member)}" for member in members]
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


def _comm(task: Process | None) -> str:
    if task is None:
        return "?"
    comm = task["comm"]
    return comm if len(comm) <= _COMM else comm[: _COMM - 1] + "…"


def _inum(ns: int | None) -> str:
    return "?" if ns is None else str(ns)


def _called(it: Explained, space: Space) -> str:
    initial = it.outermost["initial"] and space.level == 0
    return f"pid_namespace {_inum(space.ns)}{' (init_pid_ns)' if initial else ''}"


def _space_lines(it: Explained) -> list[str]:
    spaces = list(it.spaces)
    if it.children is not None and it.children not in spaces:
        spaces.append(it.children)
    found: list[str] = []
    for place, space in enumerate(spaces):
        rest = "   " * min(place, _INDENTED)
        corner = rest[3:] + "└─ " if place else ""
        pieces = [f"level {_level(it, space)},", f"child_reaper ▶ {_reaper(it, space)}"]
        found += _flowed(f"{corner}{_called(it, space)}  ", pieces, rest)
        found += [f"{rest}▲ {said}" for said in _marks(it, space)]
    if not it.outermost["initial"]:
        found.append("n is not known: those around the first are not seen from here")
    return found


def _level(it: Explained, space: Space) -> str:
    return _inum(space.level) if it.outermost["initial"] else f"n+{_inum(space.level)}"


def _marks(it: Explained, space: Space) -> list[str]:
    if space.active and space == it.children:
        return ["it lives here, and its children will"]
    if space.active:
        return ["it lives here"]
    return ["its children will live here"] if space == it.children else []


def _reaper(it: Explained, space: Space) -> str:
    if space.init is None:
        return "NULL, or one that has exited" if it.all_read and space.ns else "not known"
    name = f"{space.init['tid']} {_comm(space.init)}"
    return f"a thread of {name}" if space.init["state"] in "ZX" else name


# For graphviz


def dot(it: Explained) -> str:
    """Return the same as a graph in the language of graphviz."""
    graph = ["digraph pidscope {", "  rankdir=LR;", '  node [shape=box, fontname="monospace"];']
    graph += [f"  {line};" for line in _nodes(it)]
    graph += [f"  {line};" for line in _edges(it)]
    return "\n".join([*graph, "}"])


def _nodes(it: Explained) -> Iterator[str]:
    drawn = {task["tid"]: task for task in _drawn(it)}
    for task in drawn.values():
        bold = ", style=bold" if task["tid"] == it.task["tid"] else ""
        yield f"{_id('task', task['tid'])} [label={_label(f'task_struct {_short(task)}')}{bold}]"
    process = it.task["pid"]
    threads = f"of {len(it.threads)} thread{'s' if len(it.threads) != 1 else ''}"
    yield f"signal [label={_label(f'signal_struct of process {process}', threads)}]"
    if it.children is not None or it.task["state"] not in "ZX":
        yield f"nsproxy [label={_label('nsproxy')}]"
    for pid in it.pids:
        numbers = [
            f"numbers[{level}] = {nr} in {_inum(ns)}"
            for level, (nr, ns) in enumerate(zip(pid.numbers, pid.ns))
        ]
        yield f"{_id('pid', pid.nr)} [label={_label(pid.name, *numbers)}, style=rounded]"
    for space in _all_spaces(it):
        yield f"{_id('ns', space.ns)} [label={_label(_called(it, space))}, shape=ellipse]"


def _all_spaces(it: Explained) -> list[Space]:
    spaces = {space.ns: space for pid in it.pids for space in _of_pid(pid)}
    spaces.update((space.ns, space) for space in it.spaces)
    if it.children is not None:
        spaces.setdefault(it.children.ns, it.children)
    return [space for space in spaces.values() if space.ns is not None]


def _of_pid(pid: StructPid) -> list[Space]:
    return [Space(ns, level, None, False) for level, ns in enumerate(pid.ns)]


def _drawn(it: Explained) -> Iterator[Process]:
    yield it.task
    if it.leader is not None:
        yield it.leader
    if it.parent is not None:
        yield it.parent
    for pid in it.pids:
        for kind in TYPES:
            yield from pid.tasks[kind][:_DOT_MEMBERS]


def _edges(it: Explained) -> Iterator[str]:
    task = _id("task", it.task["tid"])
    links = [(task, "thread_pid", "PID")]
    links += [("signal", f"pids[PIDTYPE_{kind}]", kind) for kind in TYPES[1:]]
    yield _edge(task, "signal", "signal")
    if it.leader is not None:
        yield _edge(task, _id("task", it.leader["tid"]), "group_leader")
    if it.parent is not None:
        yield _edge(task, _id("task", it.parent["tid"]), "real_parent (or a thread)")
    for start, label, kind in links:
        nr = it.links[kind]
        if nr is not None:
            yield _edge(start, _id("pid", nr), label)
    if it.children is not None or it.task["state"] not in "ZX":
        yield _edge(task, "nsproxy", "nsproxy")
    if it.children is not None:
        yield _edge("nsproxy", _id("ns", it.children.ns), "pid_ns_for_children")
    for pid in it.pids:
        yield from _pid_edges(pid)
    for inner, outer in zip(it.spaces[1:], it.spaces):
        if inner.ns is not None and outer.ns is not None:
            yield _edge(_id("ns", inner.ns), _id("ns", outer.ns), "parent")


def _pid_edges(pid: StructPid) -> Iterator[str]:
    for level, ns in enumerate(pid.ns):
        if ns is not None:
            yield _edge(_id("pid", pid.nr), _id("ns", ns), f"numbers[{level}].ns")
    for kind in TYPES:
        for member in pid.tasks[kind][:_DOT_MEMBERS]:
            label = f"tasks[PIDTYPE_{kind}]"
            yield _edge(_id("pid", pid.nr), _id("task", member["tid"]), label)


def _edge(start: str, end: str, label: str) -> str:
    return f"{start} -> {end} [label={_label(label)}]"


def _id(kind: str, number: int | None) -> str:
    return f"{kind}_{number}"


def _short(task: Process) -> str:
    return f"{task['tid']} {_comm(task)}"


def _label(*rows: str) -> str:
    r"""Return a string of graphviz: only ``"`` ends it, and a backslash begins an escape."""
    quoted = (row.replace("\\", "\\\\").replace('"', '\\"') for row in rows)
    return '"' + "\\l".join(quoted) + ('\\l"' if len(rows) > 1 else '"')


# JSON


def pid_documents(it: Explained) -> list[dict[str, Any]]:
    """Return the struct pids as JSON has them; who is on a list is named by tid."""
    return [
        {
            "nr": pid.nr,
            "numbers": list(pid.numbers),
            "ns": list(pid.ns),
            "partial": pid.partial,
            "tasks": {kind: [task["tid"] for task in pid.tasks[kind]] for kind in TYPES},
        }
        for pid in it.pids
    ]


def document(it: Explained) -> dict[str, Any]:
    """Return the rest of it as JSON has it; pointers are ``nr``, tids or inums, null: not known."""
    return {
        "task": it.task,
        "thread_pid": it.links["PID"],
        "group_leader": it.task["pid"],
        "real_parent": it.task["levels"][0]["ppid"],
        "signal": {
            "pids": {kind: it.links[kind] for kind in TYPES[1:]},
            "threads": list(it.threads),
        },
        "pid_ns_for_children": None if it.children is None else it.children.ns,
        "namespaces": [
            {
                "ns": space.ns,
                "level": space.level,
                "child_reaper": None if space.init is None else space.init["tid"],
                "active": space.active,
            }
            for space in it.spaces
        ],
    }
