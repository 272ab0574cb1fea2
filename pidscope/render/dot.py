"""The structures of a task as a graph: `pidscope.query.explain` in the language of graphviz.

Pure. What a process called itself stands in quotes only, and can neither end them nor begin one of
graphviz's escapes. Names of nodes are made of our own words and numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

from pidscope.query.explain import TYPES, Explained, Space, StructPid
from pidscope.query.process import Process
from pidscope.render.drawing import called, comm, name
from pidscope.render.text import known

_MEMBERS = 20  # of a list are drawn


def dot(it: Explained) -> str:
    """Return the same as a graph in the language of graphviz."""
    graph = ["digraph pidscope {", "  rankdir=LR;", '  node [shape=box, fontname="monospace"];']
    graph += [f"  {line};" for line in _nodes(it)]
    graph += [f"  {line};" for line in _edges(it)]
    return "\n".join([*graph, "}"])


def _nodes(it: Explained) -> Iterator[str]:
    drawn = {task.tid: task for task in _drawn(it)}
    for task in drawn.values():
        bold = ", style=bold" if task.tid == it.task.tid else ""
        yield f"{_id('task', task.tid)} [label={_label(f'task_struct {_short(task)}')}{bold}]"
    process = it.task.pid
    threads = f"of {len(it.threads)} thread{'s' if len(it.threads) != 1 else ''}"
    yield f"signal [label={_label(f'signal_struct of process {process}', threads)}]"
    if it.children is not None or it.task.state not in "ZX":
        yield f"nsproxy [label={_label('nsproxy')}]"
    for pid in it.pids:
        numbers = [
            f"numbers[{level}] = {nr} in {known(ns)}"
            for level, (nr, ns) in enumerate(zip(pid.numbers, pid.ns))
        ]
        yield f"{_id('pid', pid.nr)} [label={_label(name(pid), *numbers)}, style=rounded]"
    for space in _all_spaces(it):
        yield f"{_id('ns', space.ns)} [label={_label(called(it, space))}, shape=ellipse]"


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
            yield from pid.tasks[kind][:_MEMBERS]


def _edges(it: Explained) -> Iterator[str]:
    task = _id("task", it.task.tid)
    links = [(task, "thread_pid", "PID")]
    links += [("signal", f"pids[PIDTYPE_{kind}]", kind) for kind in TYPES[1:]]
    yield _edge(task, "signal", "signal")
    if it.leader is not None:
        yield _edge(task, _id("task", it.leader.tid), "group_leader")
    if it.parent is not None:
        yield _edge(task, _id("task", it.parent.tid), "real_parent (or a thread)")
    for start, label, kind in links:
        nr = it.links[kind]
        if nr is not None:
            yield _edge(start, _id("pid", nr), label)
    if it.children is not None or it.task.state not in "ZX":
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
        for member in pid.tasks[kind][:_MEMBERS]:
            label = f"tasks[PIDTYPE_{kind}]"
            yield _edge(_id("pid", pid.nr), _id("task", member.tid), label)


def _edge(start: str, end: str, label: str) -> str:
    return f"{start} -> {end} [label={_label(label)}]"


def _id(kind: str, number: int | None) -> str:
    return f"{kind}_{number}"


def _short(task: Process) -> str:
    return f"{task.tid} {comm(task)}"


def _label(*rows: str) -> str:
    r"""Return a string of graphviz: only ``"`` ends it, and a backslash begins an escape."""
    quoted = (row.replace("\\", "\\\\").replace('"', '\\"') for row in rows)
    return '"' + "\\l".join(quoted) + ('\\l"' if len(rows) > 1 else '"')
