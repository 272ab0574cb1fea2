"""The calls of the scenario language and the arguments each takes: what is known before playing.

The words of a step stay text (`pidscope.simulated.steps`). Those that need no task to be
understood are taken apart here, once, for the check and for the play alike.
"""

from __future__ import annotations

import difflib
import enum
import errno
import re
from collections.abc import Sequence
from typing import Callable, NamedTuple

from pidscope.escape import unescape

BOOTED = ("init", "kthreadd")
"""The tasks that are there before the first step."""
FLAGS = ("NEWPID", "THREAD", "PARENT", "AUTOREAP")
READABLE = ("pid_max", "ns_last_pid")
SYSCTLS = (*READABLE, "max_pid_namespaces")
SIGNALS = {"KILL": 9, "TERM": 15}
_STOPS = (19, 20, 21, 22)  # SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU: no task is ever stopped here
CREATING = ("fork", "vfork", "clone")
"""The calls that make a task, which can be given a name."""
ENDING = ("exit", "exit_group")
"""The calls that do not return."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}")
_NUMBER = re.compile(r"-?[0-9]{1,10}")
_COMM_MAX = 15  # TASK_COMM_LEN without the NUL
_ERRNOS = frozenset(errno.errorcode.values())


class BadStep(ValueError):
    """A step is wrong, or cannot be made; the caller adds its line in a `ScenarioError`."""


class Kind(enum.Enum):
    """What an argument is, in the words of an error."""

    NUMBER = "a number of 32 bits"
    CODE = "an exit code (0 to 255)"
    SIGNAL = "a signal (KILL, TERM or a number; none that stops)"
    COMM = r"a comm (1 to 15 bytes, the unprintable ones as \xNN)"
    SWITCH = "on or off"
    WHO = "a number, a name or -name"
    TASK = "a name of a task"
    CGROUP = "a name of a cgroup"
    CHILDREN = "'children'"
    SYSCTL = f"a sysctl ({', '.join(SYSCTLS)})"

    def fits(self, word: str) -> bool:
        """Tell whether ``word`` is one."""
        return _FITS[self](word)


class Signature(NamedTuple):
    """The arguments of a call: so many of ``kinds`` must be there."""

    required: int
    kinds: tuple[Kind, ...]

    def check(self, call: str, words: Sequence[str]) -> None:
        """Raise BadStep if these words are not arguments of ``call``."""
        if len(words) < self.required:
            missing = self.kinds[len(words)]
            raise BadStep(f"{call} needs {missing.value}")
        if len(words) > len(self.kinds):
            raise BadStep(f"{call} takes {_counted(self)}")
        for kind, word in zip(self.kinds, words):
            if not kind.fits(word):
                raise BadStep(f"{call}: {quote(word)} is not {kind.value}")


class CloneArguments(NamedTuple):
    """The arguments of ``clone``: names of flags, and the numbers wanted, innermost first."""

    flags: tuple[str, ...]
    set_tid: tuple[int, ...]
    bad_pidfd: bool


SIGNATURES = {
    "fork": Signature(0, ()),
    "vfork": Signature(0, ()),
    "setns": Signature(1, (Kind.TASK, Kind.CHILDREN)),
    "exec": Signature(1, (Kind.COMM,)),
    "comm": Signature(1, (Kind.COMM,)),
    "exit": Signature(0, (Kind.CODE,)),
    "exit_group": Signature(0, (Kind.CODE,)),
    "wait": Signature(0, (Kind.WHO,)),
    "kill": Signature(1, (Kind.WHO, Kind.SIGNAL)),
    "setsid": Signature(0, ()),
    "setpgid": Signature(0, (Kind.WHO, Kind.WHO)),
    "getpid": Signature(0, ()),
    "gettid": Signature(0, ()),
    "getppid": Signature(0, ()),
    "getpgid": Signature(0, (Kind.WHO,)),
    "getsid": Signature(0, (Kind.WHO,)),
    "subreaper": Signature(1, (Kind.SWITCH,)),
    "sysctl": Signature(1, (Kind.SYSCTL, Kind.NUMBER)),
    "join": Signature(1, (Kind.CGROUP,)),
}
"""The calls whose arguments have fixed places; clone and unshare have none."""

CALLS = (*SIGNATURES, "clone", "unshare")


def check_call(call: str, words: Sequence[str]) -> None:
    """Raise BadStep unless ``call`` exists and can have these arguments."""
    if call == "clone":
        clone_arguments(words)
    elif call == "unshare":
        if list(words) != ["NEWPID"]:
            raise BadStep("unshare needs NEWPID, and takes nothing else")
    elif call in SIGNATURES:
        SIGNATURES[call].check(call, words)
        if call == "sysctl" and len(words) == 1 and words[0] not in READABLE:
            raise BadStep(f"sysctl {words[0]} needs {Kind.NUMBER.value}")
    else:
        known = difflib.get_close_matches(call, CALLS, n=1) or sorted(CALLS)
        raise BadStep(f"no call {quote(call)} ({', '.join(known)})")


def tasks_named(call: str, words: Sequence[str]) -> list[str]:
    """The names of tasks among the arguments of a checked call."""
    if call not in SIGNATURES:
        return []
    named = zip(SIGNATURES[call].kinds, words)
    tasks = [word.lstrip("-") for kind, word in named if kind in (Kind.TASK, Kind.WHO)]
    return [task for task in tasks if is_name(task)]


def clone_arguments(words: Sequence[str]) -> CloneArguments:
    """``[FLAG[|FLAG]] [set_tid N[,N...]] [bad_pidfd]``; raises BadStep."""
    rest = list(words)
    flags: tuple[str, ...] = ()
    set_tid: tuple[int, ...] = ()
    if rest and rest[0] not in ("set_tid", "bad_pidfd"):
        flags = tuple(rest.pop(0).split("|"))
        for flag in flags:
            if flag not in FLAGS:
                raise BadStep(f"clone: no flag {quote(flag)} ({', '.join(FLAGS)})")
    if rest and rest[0] == "set_tid":
        set_tid = _numbers(rest[1:2])
        del rest[:2]
    bad_pidfd = rest[:1] == ["bad_pidfd"]
    if rest[bad_pidfd:]:
        raise BadStep(f"clone: {quote(rest[bad_pidfd])} does not belong here")
    return CloneArguments(flags, set_tid, bad_pidfd)


def comm_bytes(word: str) -> bytes:
    """The comm behind its text; raises ValueError for what is not one."""
    comm = unescape(word)
    if not word.isprintable() or not 0 < len(comm) <= _COMM_MAX or b"\0" in comm:
        raise ValueError(word)
    return comm


def is_errno(word: str) -> bool:
    """Tell whether ``word`` is what an error is called, like EPERM."""
    return word in _ERRNOS


def is_name(word: str) -> bool:
    """Tell whether a task or a cgroup can be called ``word``."""
    return _NAME.fullmatch(word) is not None and not is_errno(word)


def is_number(word: str) -> bool:
    """Tell whether ``word`` is a number that a ``pid_t`` can hold."""
    return _NUMBER.fullmatch(word) is not None and -(2**31) <= int(word) < 2**31


def quote(word: str) -> str:
    """Foreign text for a message: short, and harmless to a terminal."""
    return repr(word if len(word) <= 40 else f"{word[:39]}…")


def _numbers(words: Sequence[str]) -> tuple[int, ...]:
    numbers = words[0].split(",") if words else [""]
    for number in numbers:
        if not is_number(number):
            raise BadStep(f"clone: set_tid {quote(number)} is not {Kind.NUMBER.value}")
    return tuple(map(int, numbers))


def _counted(signature: Signature) -> str:
    return ("no arguments", "at most one argument", "at most two arguments")[len(signature.kinds)]


def _is_comm(word: str) -> bool:
    try:
        comm_bytes(word)
    except ValueError:
        return False
    return True


_FITS: dict[Kind, Callable[[str], bool]] = {
    Kind.NUMBER: is_number,
    Kind.CODE: lambda word: is_number(word) and 0 <= int(word) <= 255,
    Kind.SIGNAL: lambda word: word in SIGNALS or (is_number(word) and int(word) not in _STOPS),
    Kind.COMM: _is_comm,
    Kind.SWITCH: lambda word: word in ("on", "off"),
    Kind.WHO: lambda word: is_number(word) or is_name(word[word.startswith("-") :]),
    Kind.TASK: is_name,
    Kind.CGROUP: is_name,
    Kind.CHILDREN: lambda word: word == "children",
    Kind.SYSCTL: lambda word: word in SYSCTLS,
}
