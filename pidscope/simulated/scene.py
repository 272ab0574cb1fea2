"""What a random workload knows of its world: the living tasks, and the numbers there are.

All are in the namespace of ``one``; the host's tasks are never looked at.
"""

from __future__ import annotations

import random
from collections import deque

from pidscope.model.pid import pid_nr_ns, task_active_pid_ns, task_pgrp, task_session
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.sched import EXIT_ZOMBIE, TaskStruct
from pidscope.simulated.calls import BadStep
from pidscope.simulated.play import Play

_REMEMBERED = 8  # of the dead


class Scene:
    """The named tasks of one world, as they are before the next step; it starts with ``one``."""

    def __init__(self, play: Play, rng: random.Random) -> None:
        self.cast = play.cast
        self.kernel = play.kernel
        self.rng = rng
        self.one = play.names["one"]
        ns = task_active_pid_ns(self.one)
        assert ns is not None
        self.ns: PidNamespace = ns
        self.living: dict[str, TaskStruct] = {"one": self.one}  # zombies too
        self.dead: deque[str] = deque(maxlen=_REMEMBERED)
        self._named = 0

    def new_name(self) -> str:
        """Return a name that no task has had."""
        self._named += 1
        while f"t{self._named}" in self.cast.tasks:
            self._named += 1
        return f"t{self._named}"

    def look(self, newcomer: str) -> None:
        """See what the last step did; it may have made a task of the name ``newcomer``."""
        if newcomer in self.cast.tasks:
            self.living[newcomer] = self.cast.tasks[newcomer]
        for name, task in list(self.living.items()):
            if task.thread_pid is None:
                del self.living[name]
                self.dead.append(name)

    def actors(self) -> list[str]:
        """The names of the tasks that can make a call."""
        return [name for name, task in self.living.items() if not task.blocked]

    def parents_of_zombies(self) -> list[str]:
        """The names of the tasks that can make a call and have a zombie to reap."""
        return [
            name
            for name in self.actors()
            if any(child.exit_state == EXIT_ZOMBIE for child in self.living[name].children)
        ]

    def lives_on(self, task: TaskStruct, is_group: bool) -> bool:
        """Whether the world survives that this thread, or its whole process, exits."""
        init = self.ns.child_reaper
        if init is None or init.signal is not task.signal:
            return True
        return not is_group and task.signal.live > 1

    def where(self, task: TaskStruct) -> PidNamespace:
        """Where a living task lives."""
        ns = task_active_pid_ns(task)
        assert ns is not None
        return ns

    def children_of(self, name: str) -> PidNamespace | None:
        """Where the children of a task will live, if that can be looked up."""
        try:
            return self.cast.children_namespace(name)
        except BadStep:
            return None

    def some_name(self) -> str:
        """Anybody, zombies too."""
        return self.rng.choice(list(self.living))

    def known_to(self, actor: TaskStruct) -> str:
        """Return a task that has a number where ``actor`` lives: itself at least."""
        ns = self.where(actor)
        known = [name for name, task in self.living.items() if pid_nr_ns(task.thread_pid, ns)]
        return self.rng.choice(known)

    def child_of(self, actor: TaskStruct) -> str | None:
        """One of the children of ``actor``."""
        children = [name for name, task in self.living.items() if task.real_parent is actor]
        return self.rng.choice(children) if children else None

    def dead_to(self, actor: TaskStruct) -> str | None:
        """Somebody released, whom ``actor`` could have known."""
        ns = self.where(actor)
        dead = [name for name in self.dead if self.cast.number(name, ns)]
        return self.rng.choice(dead) if dead else None

    def foreign_number(self) -> int:
        """Return a number that some task has somewhere."""
        pid = self.living[self.some_name()].thread_pid
        assert pid is not None
        return self.rng.choice(pid.numbers[1:]).nr

    def group_number(self, actor: TaskStruct) -> int:
        """The number that a group or a session has where ``actor`` lives; 0 if none there."""
        task = self.living[self.some_name()]
        of = self.rng.choice((task_pgrp, task_session))
        return pid_nr_ns(of(task), self.where(actor))

    def is_group_of_the_host(self, actor: TaskStruct) -> bool:
        """Whether the group of ``actor`` came from outside, so that others are in it."""
        return not pid_nr_ns(task_pgrp(actor), self.ns)

    def who(self, actor: TaskStruct) -> str:
        """Return a number or a name: of a task, of a task elsewhere, of a group, of none."""
        kind = self.rng.random()
        if kind < 0.5:
            return self.known_to(actor)
        if kind < 0.58:
            return str(self.foreign_number())
        if kind < 0.66:
            return str(self.group_number(actor))
        if kind < 0.74:
            return self.dead_to(actor) or "0"
        if kind < 0.82:
            return f"-{self.known_to(actor)}"
        if kind < 0.88:
            return str(-self.group_number(actor))
        if kind < 0.95:
            return str(self.rng.randint(1, 60))
        return self.rng.choice(("0", "-1", "-2", "300", "2147483647", "-2147483647"))
