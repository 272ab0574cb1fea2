"""What the model expects: its tasks in the form of `pidscope_dev.differential.state`."""

from __future__ import annotations

from pidscope.model.kernel import Kernel
from pidscope.model.pid import Pid, pid_nr_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import pidns_for_children_get
from pidscope.model.sched import EXIT_ZOMBIE, TaskStruct
from pidscope_dev.differential.state import Labels, Row, State

LEVEL = 1
"""The level of the proc mount."""


def expected_state(kernel: Kernel) -> State:
    """Every task from level 1 inwards, by its number there."""
    numbered = ((number_at(task.thread_pid), task) for task in kernel.tasks())
    tasks = {number: task for number, task in numbered if number}
    labels = Labels()
    return {tid: _row(tasks[tid], labels) for tid in sorted(tasks)}


def number_at(pid: Pid | None, level: int = LEVEL) -> int:
    """The number of a struct pid at a level; 0 if it has none."""
    return pid.numbers[level].nr if pid is not None and len(pid.numbers) > level else 0


def _row(task: TaskStruct, labels: Labels) -> Row:
    pid, tgid, pgid, sid = task.thread_pid, *task.signal.pids[1:]
    assert pid is not None
    namespaces = [upid.ns for upid in pid.numbers[LEVEL:]]
    return Row(
        task.exit_state == EXIT_ZOMBIE,
        number_at(tgid),
        number_at(pid),
        number_at(task.real_parent.signal.pids[1]),
        len(task.signal.threads),
        _numbers(tgid, namespaces),
        _numbers(pid, namespaces),
        _numbers(pgid, namespaces),
        _numbers(sid, namespaces),
        labels.of(namespaces[-1]),
        labels.of(pidns_for_children_get(task)),
    )


def _numbers(pid: Pid | None, namespaces: list[PidNamespace]) -> tuple[int, ...]:
    return tuple(pid_nr_ns(pid, ns) for ns in namespaces)
