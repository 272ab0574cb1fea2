"""Run by drgn: every task with its number at every level, as `pidscope ps` has them."""

from __future__ import annotations

from typing import Any

from drgn.helpers.linux.pid import for_each_task

prog: Any  # drgn defines it

for task in for_each_task(prog):  # noqa: F821
    pid = task.thread_pid
    for level in range(pid.level + 1):
        pid.numbers[level].nr.value_()
    task.comm.string_()
