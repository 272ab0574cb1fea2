"""From a step's text to a system call of the model."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from pidscope.model.fork import CLONE_AUTOREAP, CLONE_PARENT, CLONE_THREAD
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.sched import PF_KTHREAD, TaskStruct
from pidscope.simulated.calls import SIGNALS, BadStep, clone_arguments, comm_bytes
from pidscope.simulated.cast import Cast
from pidscope.simulated.steps import Step

_FLAGS = {
    "NEWPID": CLONE_NEWPID,
    "THREAD": CLONE_THREAD,
    "PARENT": CLONE_PARENT,
    "AUTOREAP": CLONE_AUTOREAP,
}


_OF_KERNEL_THREADS = ("fork", "comm", "exit")  # which are no system calls then


class SystemCall(NamedTuple):
    """What `pidscope.model.syscalls.call` takes."""

    current: TaskStruct
    name: str
    args: tuple[Any, ...]


def resolve(cast: Cast, step: Step) -> SystemCall:
    """The system call of a step, with the numbers that its names have where the actor lives.

    Raises:
        BadStep: the actor cannot act, or a name means nothing there.
    """
    current = cast.task(step.actor)
    if current.blocked:
        raise BadStep(f"{step.actor} cannot act: it {current.blocked}")
    if current.flags & PF_KTHREAD and step.call not in _OF_KERNEL_THREADS:
        raise BadStep(f"{step.actor} is a kernel thread: it does not {step.call}")
    words = step.args
    if step.call == "sysctl":
        access = "write" if len(words) > 1 else "read"
        return SystemCall(current, f"{access}_{words[0]}", tuple(map(int, words[1:])))
    arguments = _ARGUMENTS.get(step.call)
    name = _NAMES.get(step.call, step.call)
    return SystemCall(current, name, arguments(cast, current, words) if arguments else ())


_Words = tuple[str, ...]
_Arguments = Callable[[Cast, TaskStruct, _Words], "tuple[Any, ...]"]


def _who(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (cast.who(words[0], current) if words else 0,)


def _two_whos(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return tuple(cast.who(word, current) for word in (*words, "0", "0")[:2])


def _kill(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    signal = words[1] if len(words) > 1 else "TERM"
    return cast.who(words[0], current), SIGNALS[signal] if signal in SIGNALS else int(signal)


def _clone(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    flags, set_tid, bad_pidfd = clone_arguments(words)
    return sum({_FLAGS[flag] for flag in flags}), set_tid, bad_pidfd


def _setns(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    look_up = cast.children_namespace if len(words) > 1 else cast.namespace
    return (look_up(words[0]),)


_ARGUMENTS: dict[str, _Arguments] = {
    "clone": _clone,
    "unshare": lambda cast, current, words: (CLONE_NEWPID,),
    "setns": _setns,
    "exec": lambda cast, current, words: (comm_bytes(words[0]),),
    "comm": lambda cast, current, words: (comm_bytes(words[0]),),
    "exit": lambda cast, current, words: (int(words[0]) if words else 0,),
    "exit_group": lambda cast, current, words: (int(words[0]) if words else 0,),
    "wait": lambda cast, current, words: (cast.who(words[0], current) if words else -1,),
    "kill": _kill,
    "setpgid": _two_whos,
    "getpgid": _who,
    "getsid": _who,
    "subreaper": lambda cast, current, words: (int(words[0] == "on"),),
    "join": lambda cast, current, words: (cast.cgroup(words[0]),),
}
"""The arguments of each call that has any."""

_NAMES = {
    "exec": "execve",
    "comm": "set_comm",
    "wait": "wait4",
    "subreaper": "set_child_subreaper",
    "join": "join_cgroup",
}
"""The system calls that the scenario language calls otherwise."""
