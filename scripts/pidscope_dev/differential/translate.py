"""From a step of the model to the same call of a puppet."""

from __future__ import annotations

from pidscope.model.fork import CLONE_AUTOREAP
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import find_task_by_vpid, find_vpid, pid_nr_ns, task_active_pid_ns
from pidscope.model.sched import TaskStruct
from pidscope.simulated.play import Play
from pidscope.simulated.steps import Step
from pidscope_dev.differential.puppets import Command
from pidscope_dev.differential.state import number_at

NEVER = ("join", "cgroup", "sleep", "comm")
"""Steps that have no counterpart among the puppets' calls."""

_SAME_NAME = {
    "fork",
    "vfork",
    "unshare",
    "exit",
    "exit_group",
    "wait4",
    "kill",
    "setsid",
    "setpgid",
    "getpid",
    "gettid",
    "getppid",
    "getpgid",
    "getsid",
}


def translate(play: Play, step: Step) -> Command | None:
    """The puppet's call, before the model makes it; None if puppets are not to make it.

    Raises ScenarioError if the step means nothing now.
    """
    if step.call in NEVER:
        return None
    _, name, arguments = play.resolve(step)
    if name in _SAME_NAME:
        return Command(name.upper(), *arguments)
    if name == "execve":
        return Command("EXECVE")
    if name == "set_child_subreaper":
        return Command("SUBREAPER", *arguments)
    if name == "clone":
        return _clone(*arguments)
    if name == "setns":
        return _setns(play, step)
    access, sysctl = name.split("_", 1)
    path = f"sys/{'user' if sysctl == 'max_pid_namespaces' else 'kernel'}/{sysctl}"
    return Command(f"{access.upper()}_SYSCTL", a=arguments[0] if arguments else 0, path=path)


def concerns_host(play: Play, step: Step) -> bool:
    """Whether a call is not the world's own affair."""
    current, name, arguments = play.resolve(step)
    if name == "clone":
        return not _is_inside(current, *arguments[:2])
    if name == "setpgid":
        return _strands(current, *arguments)
    is_global = name == "write_pid_max" and not play.kernel.features.pid_max_per_ns
    return is_global or name == "write_max_pid_namespaces"


def _clone(flags: int, set_tid: tuple[int, ...], bad_pidfd: bool) -> Command:
    """By clone3 what only it can do, and a plain fork; flags alone by clone."""
    only3 = set_tid or bad_pidfd or flags & CLONE_AUTOREAP
    call = "CLONE3" if only3 or not flags else "CLONE"
    return Command(call, flags, int(bad_pidfd), set_tid)


def _is_inside(current: TaskStruct, flags: int, set_tid: tuple[int, ...]) -> bool:
    """Whether no number at level 0 is asked for: others live there."""
    assert current.nsproxy is not None
    level = current.nsproxy.pid_ns_for_children.level + bool(flags & CLONE_NEWPID)
    return len(set_tid) != level + 1


def _setns(play: Play, step: Step) -> Command | None:
    """Through the link of the task that is named, if it is inside."""
    number = number_at(play.names[step.args[0]].thread_pid)
    link = "pid_for_children" if len(step.args) > 1 else "pid"
    return Command("SETNS", path=f"{number}/ns/{link}") if number else None


def _strands(current: TaskStruct, pid: int, pgid: int) -> bool:
    """Whether an init would join a group of its namespace, which would keep it for ever.

    The group's number stays taken as long as the init is in it, and the init waits at its end until
    all numbers are free (zap_pid_ns_processes): nothing can kill it any more.
    """
    init = find_task_by_vpid(pid, current) if pid else current.group_leader
    pgrp = find_vpid(pgid, current) if pgid else None
    ns = task_active_pid_ns(init) if init is not None and init.signal.unkillable else None
    return pgrp is not None and pid_nr_ns(pgrp, ns) > 1
