"""Random steps that look for trouble: for every world a mood, so that different corners are met."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Callable

from pidscope.simulated.play import Play
from pidscope.simulated.steps import Step

_BIRTHS: dict[str, float] = {"fork": 10, "vfork": 2, "clone": 8}
_DEATHS: dict[str, float] = {"exit": 5, "exit_group": 2, "kill": 4, "wait": 10}
_OTHERS: dict[str, float] = {
    "unshare": 2,
    "setns": 4,
    "exec": 3,
    "setsid": 3,
    "setpgid": 8,
    "getpid": 1,
    "gettid": 1,
    "getppid": 1,
    "getpgid": 2,
    "getsid": 2,
    "subreaper": 3,
    "sysctl": 2,
}
_MOST = 100  # tasks: each has a channel (puppets.SLOTS)
_EDGES = (-1, 0, 1, 2, 3, 4, 5, 7, 299, 300, 301, 302, 32767, 4194303, 4194304, -2, 2**31 - 1)
_FLAGS = ("NEWPID", "THREAD", "PARENT")


class Chaos:
    """Makes up steps for a play that goes on meanwhile.

    Args:
        play: whose tasks act.
        rng: of everything random.
        haste: so much likelier are births, and execs, and so many more tasks may be alive.
    """

    def __init__(self, play: Play, rng: random.Random, haste: int = 1) -> None:
        self._play = play
        self._rng = rng
        self._born = 0
        self._most = haste * rng.choice((3, 6, 10, 16, 24))
        self._flags = rng.choice((_FLAGS, ("THREAD",), ("NEWPID",), ("NEWPID", "PARENT"), _FLAGS))
        self._weights = {call: w * rng.choice((0, 1, 1, 2, 4)) for call, w in _OTHERS.items()}
        self._weights["exec"] *= haste
        self._births = {call: haste * w * rng.choice((1, 1, 3)) for call, w in _BIRTHS.items()}
        self._deaths = {call: w * rng.choice((1, 1, 3)) for call, w in _DEATHS.items()}
        self._edgy = rng.choice((0.05, 0.2, 0.5))
        self._tight = rng.random() < 0.3  # few numbers, so that they wrap and run out
        self._spares_init = rng.random() < 0.9

    def __iter__(self) -> Iterator[Step]:
        """Steps until no task is left to act. Some mean nothing: a name without a number there."""
        play = self._play
        if self._tight:
            yield Step(0, "one", "sysctl", ("pid_max", str(self._rng.choice((301, 303, 310, 330)))))
            yield Step(0, "one", "sysctl", ("ns_last_pid", str(self._rng.choice((298, 299, 300)))))
        names = play.names
        while True:
            here = [name for name in names if name not in ("init", "kthreadd")]
            actors = [name for name in here if not names[name].blocked]
            if not actors:
                return
            known = [n for n in here if names[n].thread_pid is not None] or here
            gone = [n for n in here[-40:] if names[n].thread_pid is None]
            yield self._step(actors, known + gone[-3:])

    def _step(self, actors: list[str], known: list[str]) -> Step:
        rng = self._rng
        actor = rng.choice(actors)
        crowded = len(known) / self._most
        weights = dict(self._weights)
        births = 0 if len(known) > _MOST else 2 if crowded < 0.7 else 0.4
        weights.update({call: w * births for call, w in self._births.items()})
        weights.update({call: w * (0.3 + crowded) for call, w in self._deaths.items()})
        call = rng.choices(list(weights), list(weights.values()))[0]
        if actor == "one" and self._spares_init and call in ("exit", "exit_group"):
            call = "wait"
        name = ""
        if call in _BIRTHS:
            self._born += 1
            name = f"t{self._born}"
        make = _ARGUMENTS.get(call)
        return Step(0, actor, call, make(self, actor, known) if make else (), name)

    def _who(self, actor: str, known: list[str], group: float = 0.2) -> str:
        rng = self._rng
        if rng.random() < self._edgy:
            return str(rng.choice(_EDGES))
        name = actor if rng.random() < 0.2 else rng.choice(known)
        return f"-{name}" if rng.random() < group else name

    def _clone(self, actor: str, known: list[str]) -> tuple[str, ...]:
        rng = self._rng
        count = rng.choices((0, 1, 2, 3), (2, 8, 2, 0.3))[0]
        flags = rng.sample(self._flags, min(count, len(self._flags)))
        words = ["|".join(flags)] if flags else []
        if rng.random() < 0.25:
            count = rng.choice((1, 1, 1, 2, 2, 3, 4))
            numbers = [rng.choice((*range(1, 12), *_EDGES)) for _ in range(count)]
            if "NEWPID" in flags and rng.random() < 0.7:
                numbers[0] = 1
            words += ["set_tid", ",".join(map(str, numbers))]
        return (*words, "bad_pidfd") if rng.random() < 0.1 else tuple(words)

    def _setns(self, actor: str, known: list[str]) -> tuple[str, ...]:
        name = self._rng.choice(known)
        return (name, "children") if self._rng.random() < 0.4 else (name,)

    def _kill(self, actor: str, known: list[str]) -> tuple[str, ...]:
        rng = self._rng
        signal = rng.choices(("KILL", "TERM", "0", "65", "-1"), (6, 3, 3, 0.2, 0.2))[0]
        who = self._who(actor, known)
        broad = who in ("-1", "0") and signal in ("KILL", "TERM") and rng.random() < 0.7
        return (actor if broad else who, signal)

    def _setpgid(self, actor: str, known: list[str]) -> tuple[str, ...]:
        count = self._rng.choices((0, 1, 2), (3, 2, 5))[0]
        return tuple(self._who(actor, known, 0.02) for _ in range(count))

    def _wait(self, actor: str, known: list[str]) -> tuple[str, ...]:
        return (self._who(actor, known),) if self._rng.random() < 0.4 else ()

    def _one(self, actor: str, known: list[str]) -> tuple[str, ...]:
        return (self._who(actor, known, 0.02),)

    def _code(self, actor: str, known: list[str]) -> tuple[str, ...]:
        return (str(self._rng.choice((0, 1, 3, 255))),)

    def _switch(self, actor: str, known: list[str]) -> tuple[str, ...]:
        return (self._rng.choice(("on", "on", "off")),)

    def _sysctl(self, actor: str, known: list[str]) -> tuple[str, ...]:
        rng = self._rng
        name = rng.choice(("ns_last_pid", "ns_last_pid", "pid_max"))
        if rng.random() < 0.3:
            return (name,)
        if name == "pid_max":
            return name, str(rng.choice((300, 301, 305, 320, 400, 4194304, 4194305, -1, 32768)))
        return name, str(rng.choice((*range(0, 20), *_EDGES)))


_ARGUMENTS: dict[str, Callable[[Chaos, str, list[str]], tuple[str, ...]]] = {
    "clone": Chaos._clone,
    "unshare": lambda chaos, actor, known: ("NEWPID",),
    "setns": Chaos._setns,
    "exec": lambda chaos, actor, known: ("x",),
    "exit": Chaos._code,
    "exit_group": Chaos._code,
    "kill": Chaos._kill,
    "wait": Chaos._wait,
    "setpgid": Chaos._setpgid,
    "getpgid": Chaos._one,
    "getsid": Chaos._one,
    "subreaper": Chaos._switch,
    "sysctl": Chaos._sysctl,
}
