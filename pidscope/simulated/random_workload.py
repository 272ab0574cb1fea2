"""Random workloads: every call of the language but for cgroups and max_pid_namespaces.

Those two are the host's, and these steps are also made on real kernels (the differential test). For
the same reason no task of the host acts after the first step, no signal reaches it, and numbers are
asked for (set_tid) only inside the world. Each choice is the random number generator's, so the
same seed gives the same steps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, islice
from typing import Callable, NamedTuple

from pidscope.model.kernel import Kernel
from pidscope.model.pid_namespace import PID_MAX_LIMIT
from pidscope.model.sched import TaskStruct, thread_group_leader
from pidscope.simulated.play import Play
from pidscope.simulated.random_clone import DEEP, clone_words
from pidscope.simulated.scene import Scene
from pidscope.simulated.steps import ANYTHING, Step

STEPS = 2_000
"""The length of the scenario ``random``."""

_CROWD = 24  # tasks, zombies too: no task is born above it
_FEW = 6
_ONCE_IN = 200  # how rarely the world may end
_COMMS = ("sh", "nginx", "worker", "a\\x20b", "\\x28x\\x29\\x20R\\x201")


class _Act(NamedTuple):
    """What an actor does; ``creates`` if that makes a task to name."""

    actor: str
    call: str
    args: tuple[str, ...] = ()
    creates: bool = False


def random_steps(play: Play, rng: random.Random) -> Iterator[Step]:
    """An endless workload in a new world below the host's init, which is called ``one``.

    Each step can be resolved when it is asked for, if those before it have been performed. The
    steps end if no task is left.
    """
    yield Step(1, "init", "clone", ("NEWPID",), "one")
    if play.names["one"].thread_pid is None:
        return
    workload = _Workload(Scene(play, rng))
    line = 1
    while workload.scene.actors():
        line += 1
        act = workload.next_act()
        name = workload.scene.new_name() if act.creates else ""
        yield Step(line, act.actor, act.call, act.args, name, ANYTHING)
        workload.scene.look(name)


def random_play(kernel: Kernel, seed: int) -> Play:
    """The scenario ``random``: `STEPS` steps; when a world has ended, another begins."""
    play = Play(kernel, source=f"random:{seed}")
    worlds = _worlds(play, random.Random(seed))
    numbered = (step._replace(line=line) for line, step in enumerate(worlds, start=1))
    play.steps = islice(numbered, STEPS)
    return play


def _worlds(play: Play, rng: random.Random) -> Iterator[Step]:
    yield Step(0, "init", "setsid")
    yield Step(0, "init", "comm", ("systemd",))
    while True:
        yield from chain(random_steps(play, rng), [Step(0, "init", "wait", (), "", ANYTHING)])


class _Workload:
    """Chooses what happens next."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.rng = scene.rng
        self._choices: dict[Callable[[str, TaskStruct], _Act | None], float] = {
            self._fork: 30,
            self._unshare: 3,
            self._setns: 4,
            self._exec: 4,
            self._comm: 1,
            self._exit: 7,
            self._kill: 9,
            self._wait: 10,
            self._setsid: 4,
            self._setpgid: 9,
            self._ask: 6,
            self._subreaper: 2,
            self._last_pid: 4,
            self._pid_max: 1.5,
        }

    def next_act(self) -> _Act:
        """Return what happens next; at least one task must be able to act."""
        while True:
            (choice,) = self.rng.choices(list(self._choices), list(self._choices.values()))
            actor = self.rng.choice(self.scene.actors())
            act = choice(actor, self.scene.living[actor])
            if act is not None:
                return act

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    # Births

    def _fork(self, actor: str, task: TaskStruct) -> _Act | None:
        if len(self.scene.living) >= _CROWD:
            return None
        assert task.nsproxy is not None
        if not task.nsproxy.pid_ns_for_children.adding and self._chance(0.8):
            return _Act(actor, "setns", (actor,))  # no task can be born where they go now
        kind = self.rng.random()
        if kind < 0.35:
            return _Act(actor, "fork", (), True)
        if kind < 0.40:
            return _Act(actor, "vfork", (), True)
        return _Act(actor, "clone", clone_words(self.scene, task), True)

    # Namespaces and programs

    def _unshare(self, actor: str, task: TaskStruct) -> _Act | None:
        if self.scene.where(task).level >= DEEP and not self._chance(0.05):
            return None
        return _Act(actor, "unshare", ("NEWPID",))

    def _setns(self, actor: str, task: TaskStruct) -> _Act | None:
        name = actor if self._chance(0.3) else self.scene.some_name()
        if self._chance(0.6):
            return _Act(actor, "setns", (name,))
        if self.scene.children_of(name) is None:
            return None
        return _Act(actor, "setns", (name, "children"))

    def _exec(self, actor: str, task: TaskStruct) -> _Act | None:
        if thread_group_leader(task) and self._chance(0.6):
            return None
        return _Act(actor, "exec", (self.rng.choice(_COMMS[:3]),))

    def _comm(self, actor: str, task: TaskStruct) -> _Act:
        return _Act(actor, "comm", (self.rng.choice(_COMMS),))

    # Ends

    def _exit(self, actor: str, task: TaskStruct) -> _Act | None:
        if len(self.scene.living) < _FEW and self._chance(0.8):
            return None
        is_group = self._chance(0.2)
        ends_the_world = not self.scene.lives_on(task, is_group)
        if ends_the_world and not self._chance(1 / _ONCE_IN):
            return None
        code = (str(self.rng.randint(0, 255)),) if self._chance(0.5) else ()
        return _Act(actor, "exit_group" if is_group else "exit", code)

    def _kill(self, actor: str, task: TaskStruct) -> _Act | None:
        who = self.scene.who(task)
        number = self.scene.cast.who(who, task)
        if number == 0 and self.scene.is_group_of_the_host(task):
            return None
        if number in (0, -1) and not self._chance(0.1):
            return None
        few = len(self.scene.living) < _FEW
        weights = (12 if few else 3, 4, 3, 1, 0.5, 0.5)
        (signal,) = self.rng.choices(("0", "KILL", "TERM", "", "65", "-1"), weights)
        return _Act(actor, "kill", (who, signal) if signal else (who,))

    def _wait(self, actor: str, task: TaskStruct) -> _Act:
        parents = self.scene.parents_of_zombies()
        if parents and self._chance(0.8):
            actor = self.rng.choice(parents)
            task = self.scene.living[actor]
        return _Act(actor, "wait", () if self._chance(0.6) else (self.scene.who(task),))

    # Groups and questions

    def _setsid(self, actor: str, task: TaskStruct) -> _Act:
        return _Act(actor, "setsid")

    def _setpgid(self, actor: str, task: TaskStruct) -> _Act:
        kind = self.rng.random()
        if kind < 0.25:
            return _Act(actor, "setpgid", ("0", "0") if self._chance(0.3) else ())
        child = self.scene.child_of(task)
        who = child if child is not None and kind < 0.7 else self.scene.who(task)
        group = self.rng.choice(
            ("0", who, str(self.scene.group_number(task)), self.scene.who(task))
        )
        return _Act(actor, "setpgid", (who, group))

    def _ask(self, actor: str, task: TaskStruct) -> _Act:
        call = self.rng.choice(("getpid", "gettid", "getppid", "getpgid", "getpgid", "getsid"))
        if call in ("getpgid", "getsid") and self._chance(0.8):
            return _Act(actor, call, (self.scene.who(task),))
        return _Act(actor, call)

    def _subreaper(self, actor: str, task: TaskStruct) -> _Act:
        return _Act(actor, "subreaper", (self.rng.choice(("on", "on", "off")),))

    # Numbers to come

    def _last_pid(self, actor: str, task: TaskStruct) -> _Act:
        if self._chance(0.2):
            return _Act(actor, "sysctl", ("ns_last_pid",))
        ns = self.scene.where(task)
        last, limit = ns.allocator.last_pid, ns.pid_limit
        near = (last - 1, last - 2, last - 3, self.rng.randint(1, 20))
        borders = (0, 298, 299, 300, 301, limit - 2, limit - 1, limit)
        invalid = (-1, limit + 1)
        (values,) = self.rng.choices((near, borders, invalid), (5, 4, 0.5))
        return _Act(actor, "sysctl", ("ns_last_pid", str(self.rng.choice(values))))

    def _pid_max(self, actor: str, task: TaskStruct) -> _Act | None:
        kernel, ns = self.scene.kernel, self.scene.where(task)
        if self._chance(0.3):
            return _Act(actor, "sysctl", ("pid_max",))
        if not kernel.features.pid_max_per_ns:
            return None
        least = kernel.pid_max_min
        valid = [least, least + 1, self.rng.randint(least, least + 700), PID_MAX_LIMIT]
        invalid = [least - 1, 0, -1, PID_MAX_LIMIT + 1]
        values = valid if self._chance(0.85) else invalid
        if ns.pid_limit < PID_MAX_LIMIT and self._chance(0.6):
            values = [PID_MAX_LIMIT]  # or most forks would be refused soon
        return _Act(actor, "sysctl", ("pid_max", str(self.rng.choice(values))))
