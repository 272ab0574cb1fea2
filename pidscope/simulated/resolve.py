"""From a step's text to a system call of the model."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from pidscope.model.fork import CLONE_PARENT, CLONE_THREAD
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.sched import PF_KTHREAD, TaskStruct
from pidscope.simulated.calls import SIGNALS, BadStep, clone_arguments, comm_bytes
from pidscope.simulated.cast import Cast
from pidscope.simulated.steps import Step

_FLAGS = {"NEWPID": CLONE_NEWPID, "THREAD": CLONE_THREAD, "PARENT": CLONE_PARENT}


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
    name, arguments = _SYSTEM_CALLS[step.call]
    return SystemCall(current, name, arguments(cast, current, words))


_Words = tuple[str, ...]
_Arguments = Callable[[Cast, TaskStruct, _Words], "tuple[Any, ...]"]


def _none(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return ()


def _who(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (cast.who(words[0], current) if words else 0,)


def _two_whos(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return tuple(cast.who(word, current) for word in (*words, "0", "0")[:2])


def _wait(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (cast.who(words[0], current) if words else -1,)


def _kill(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    signal = words[1] if len(words) > 1 else "TERM"
    return cast.who(words[0], current), SIGNALS[signal] if signal in SIGNALS else int(signal)


def _clone(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    flags, set_tid, bad_pidfd = clone_arguments(words)
    return sum({_FLAGS[flag] for flag in flags}), set_tid, bad_pidfd


def _unshare(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (CLONE_NEWPID,)


def _setns(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    look_up = cast.children_namespace if len(words) > 1 else cast.namespace
    return (look_up(words[0]),)


def _comm(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (comm_bytes(words[0]),)


def _code(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (int(words[0]) if words else 0,)


def _switch(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (int(words[0] == "on"),)


def _join(cast: Cast, current: TaskStruct, words: _Words) -> tuple[Any, ...]:
    return (cast.cgroup(words[0]),)


_SYSTEM_CALLS: dict[str, tuple[str, _Arguments]] = {
    "fork": ("fork", _none),
    "vfork": ("vfork", _none),
    "clone": ("clone", _clone),
    "unshare": ("unshare", _unshare),
    "setns": ("setns", _setns),
    "exec": ("execve", _comm),
    "comm": ("set_comm", _comm),
    "exit": ("exit", _code),
    "exit_group": ("exit_group", _code),
    "wait": ("wait4", _wait),
    "kill": ("kill", _kill),
    "setsid": ("setsid", _none),
    "setpgid": ("setpgid", _two_whos),
    "getpid": ("getpid", _none),
    "gettid": ("gettid", _none),
    "getppid": ("getppid", _none),
    "getpgid": ("getpgid", _who),
    "getsid": ("getsid", _who),
    "subreaper": ("set_child_subreaper", _switch),
    "join": ("join_cgroup", _join),
}
