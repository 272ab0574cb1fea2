"""Steps: what the tasks of a simulated world do, one call a line.

The language::

    # a comment; also after a step
    ACTOR: CALL [ARGUMENT...] [-> NAME] [= RESULT]
    N * ACTOR: CALL ... [-> NAME]       N times; the names are then NAME1 to NAMEN
    cgroup NAME [in PARENT] [pids.max N]
    sleep SECONDS                       the clock moves, no task acts

ACTOR and NAME call tasks; ``init`` and ``kthreadd`` are there from the start. ``-> NAME`` names
the task that was made; a name can be given again. The calls::

    fork    vfork    clone [FLAG[|FLAG]] [set_tid N[,N...]] [bad_pidfd]
    unshare NEWPID   setns NAME [children]
    exec COMM        comm COMM          exit [CODE]      exit_group [CODE]
    wait [WHO]       kill WHO [SIGNAL]  setsid           setpgid [WHO [WHO]]
    getpid           gettid             getppid          getpgid [WHO]    getsid [WHO]
    subreaper on|off join CGROUP        sysctl pid_max|ns_last_pid|max_pid_namespaces [N]

FLAG     NEWPID, THREAD (with all that a thread shares), PARENT, or AUTOREAP (its end leaves no
         zombie, since 7.1)
WHO      a number in the actor's namespace; NAME, the number of that task there (a thread's is its
         tid; one that ended: the last it had); -WHO, a group
set_tid  the numbers wanted, innermost namespace first
bad_pidfd  the place for a pidfd cannot be written: the fork fails after it got its numbers
setns NAME           the namespace that NAME is in; ``children``: the one its children will be in
sysctl   without N reads; wait never blocks and gives 0 when no child has ended
SIGNAL   KILL, TERM (if left out) or a number; none that stops
RESULT   what the call must give: a number, a NAME (its number) or an error like EPERM, else the
         scenario is wrong there; ``?`` is anything. Without it the call must succeed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pidscope.simulated.calls import (
    CREATING,
    ENDING,
    BadStep,
    check_call,
    is_errno,
    is_name,
    is_number,
    quote,
)

DIRECTIVES = ("cgroup", "sleep")
ANYTHING = "?"

_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)
_SECONDS = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_REPEATED_MAX = 10_000
_LINE_MAX = 4096  # the text of a step is read again whenever it is played, however often it repeats


class Step(NamedTuple):
    """One call of one task, as text; its ``str()`` parses to the same step.

    A directive is a step without an actor.
    """

    line: int
    actor: str
    call: str
    args: tuple[str, ...] = ()
    name: str = ""
    result: str = ""

    def __str__(self) -> str:
        words = [f"{self.actor}:"] if self.actor else []
        words += [self.call, *self.args]
        if self.name:
            words += ["->", self.name]
        if self.result:
            words += ["=", self.result]
        return " ".join(words)


class CgroupArguments(NamedTuple):
    """A cgroup to make; ``parent`` is "" for the root, ``pids_max`` None for no bound."""

    name: str
    parent: str
    pids_max: int | None


def parse_line(text: str, line: int) -> Iterator[Step]:
    """The steps of one line: none, one, or as many as it repeats; raises BadStep."""
    if len(text) > _LINE_MAX:
        raise BadStep(f"the line has more than {_LINE_MAX} characters")
    words = _COMMENT.sub("", text).split()
    if not words:
        return
    if words[1:2] == ["*"]:
        yield from _repeated(words, line)
    else:
        yield _parse_step(words, line)


def _repeated(words: Sequence[str], line: int) -> Iterator[Step]:
    if not is_number(words[0]) or not 1 <= int(words[0]) <= _REPEATED_MAX:
        raise BadStep(f"{quote(words[0])} * is not 1 to {_REPEATED_MAX} times")
    step = _parse_step(words[2:], line)
    if not step.actor:
        raise BadStep("only calls can be repeated")
    times = int(words[0])
    if step.name and not is_name(f"{step.name}{times}"):
        raise BadStep(f"{quote(f'{step.name}{times}')} cannot be the name of a task")
    for n in range(1, times + 1):
        yield step._replace(name=f"{step.name}{n}") if step.name else step


def _parse_step(words: Sequence[str], line: int) -> Step:
    if words and words[0] in DIRECTIVES:
        step = Step(line, "", words[0], tuple(words[1:]))
        check_directive(step)
        return step
    actor = words[0] if words else ""
    if not actor.endswith(":"):
        raise BadStep(f"{quote(actor)}: expected 'ACTOR: CALL', 'cgroup' or 'sleep'")
    if not is_name(actor[:-1]):
        raise BadStep(f"{quote(actor[:-1])} cannot be the name of a task")
    if len(words) == 1:
        raise BadStep(f"what does {actor[:-1]} do?")
    rest, result = _taken(list(words[1:]), "=")
    rest, name = _taken(rest, "->")
    step = Step(line, actor[:-1], rest[0] if rest else "", tuple(rest[1:]), name, result)
    check_call(step.call, step.args)
    _check_outcome(step)
    return step


def _taken(words: list[str], mark: str) -> tuple[list[str], str]:
    """The words before ``mark``, and the one behind it: "" if there is no mark."""
    if mark not in words:
        return words, ""
    position = words.index(mark)
    if len(words) != position + 2:
        raise BadStep(f"expected one word behind '{mark}', at the end")
    return words[:position], words[-1]


def _check_outcome(step: Step) -> None:
    result = step.result
    if step.name:
        if not is_name(step.name):
            raise BadStep(f"{quote(step.name)} cannot be the name of a task")
        if step.call not in CREATING:
            raise BadStep(f"{step.call} makes no task that could be {step.name}")
        if is_errno(result):
            raise BadStep(f"{step.call} that gives {result} makes no {step.name}")
    if result in ("", ANYTHING):
        return
    if step.call in ENDING:
        raise BadStep(f"{step.call} does not return, so it gives nothing")
    if not (is_errno(result) or is_name(result) or is_number(result)):
        raise BadStep(f"{quote(result)} is not a number, a name, an error or '{ANYTHING}'")


def check_directive(step: Step) -> None:
    """Raise BadStep unless the arguments of ``cgroup`` or ``sleep`` are right."""
    if step.call == "cgroup":
        cgroup_arguments(step.args)
    else:
        sleep_ns(step.args)


def cgroup_arguments(words: Sequence[str]) -> CgroupArguments:
    """``NAME [in PARENT] [pids.max N]``; raises BadStep."""
    rest = list(words)
    names = [rest.pop(0) if rest else ""]
    if rest[:1] == ["in"]:
        names.append(rest[1] if len(rest) > 1 else "")
        del rest[:2]
    for name in names:
        if not is_name(name):
            raise BadStep(f"{quote(name)} cannot be the name of a cgroup")
    pids_max = None
    if rest[:1] == ["pids.max"]:
        if len(rest) < 2 or not is_number(rest[1]) or int(rest[1]) < 0:
            raise BadStep("pids.max needs a number, 0 or more")
        pids_max = int(rest[1])
        del rest[:2]
    if rest:
        raise BadStep(f"cgroup: {quote(rest[0])} does not belong here")
    return CgroupArguments(names[0], names[1] if len(names) > 1 else "", pids_max)


def sleep_ns(words: Sequence[str]) -> int:
    """``SECONDS`` in nanoseconds; raises BadStep."""
    match = _SECONDS.fullmatch(words[0]) if len(words) == 1 else None
    if match is None:
        raise BadStep("sleep needs seconds, like 10 or 0.25")
    return int(match[1]) * 10**9 + int((match[2] or "").ljust(9, "0"))
