"""A kernel that the test moves: the model, in whole calls or from stop to stop, and its world.

A call that has begun stops before each of its records and wherever others can look: a fence, a
position or a reading may then come in its middle. Faults are planted with ``skip`` (a hook that
does not run), ``lose`` (a record that cannot be written) and ``vanish`` (nor is it counted).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import random
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Callable, ClassVar

from pidscope.errors import PidscopeError
from pidscope.events import Event, TaskSeen
from pidscope.model.fork import CLONE_PARENT, CLONE_THREAD, copy_process
from pidscope.model.kernel import PROC_PID_INIT_INO, Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import Pid, find_task_by_pid_ns, pid_nr_ns, pid_vnr
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import proc_pid_readdir
from pidscope.model.sched import EXIT_ZOMBIE, TaskStruct
from pidscope.model.syscalls import call
from pidscope.simulated.hooks import runs
from pidscope.simulated.procfs import Reading, SimulatedProcFs, T, _listed
from pidscope.simulated.world import SimulatedWorld, _Reader
from pidscope.wire.encode import encode

ROOT = PROC_PID_INIT_INO
Call = Callable[[], Any]
_ALL = 1 << 30  # stops
_EVENT_NS = 7_000_001  # so much later is each event, that starts differ in USER_HZ

_LIVING = (
    *[("clone", 0)] * 6,
    *[("clone", CLONE_THREAD)] * 4,
    ("clone", CLONE_PARENT),
    ("clone", 0, (), True),
    *[("unshare", CLONE_NEWPID)] * 2,
    ("setns", "ns"),
    *[("setsid",)] * 5,
)
_DYING = (
    *[("exit", 0)] * 3,
    ("exit_group", 0),
    ("kill", "nr", 9),
    *[("wait4", -1)] * 4,
    *[("execve", b"exec")] * 3,
    *[("setpgid", 0, 0)] * 2,
    *[("setpgid", 0, "nr")] * 6,
    *[("setpgid", "nr", "nr")] * 2,
)


class Midway:
    """A call in a thread, which runs only while `step` waits for the call to stop."""

    _idle: ClassVar[list[Midway]] = []  # a thread costs as much as several stops: it is used again

    def __init__(self) -> None:
        self._turn, self._stopped = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._stopped.acquire()
        self._body: Call = lambda: None
        self._error: BaseException | None = None
        self._passing = 0
        self.is_done = True
        threading.Thread(target=self._run, daemon=True).start()

    @classmethod
    def of(cls, body: Call) -> Midway:
        """A call that has not begun."""
        act = cls._idle.pop() if cls._idle else cls()
        act._body, act._error, act.is_done = body, None, False
        return act

    def _run(self) -> None:
        while self._turn.acquire():
            try:
                self._body()
            except BaseException as error:
                self._error = error
            self.is_done = True
            self._stopped.release()

    def stop(self) -> None:
        self._passing -= 1
        if self._passing <= 0:
            self._stopped.release()
            self._turn.acquire()

    def step(self, stops: int) -> None:
        """Let it go on to the first, or a later, of its next stops."""
        self._passing = stops
        self._turn.release()
        self._stopped.acquire()
        if self.is_done:
            self._idle.append(self)
        if self._error is not None:
            raise self._error


class SteppedKernel(Kernel):
    """The model with init alone, low numbers that come again at once, and acts by name."""

    _latest: SteppedKernel | None = None

    def __init__(self, pid_max: int = 40) -> None:
        if SteppedKernel._latest is not None:
            SteppedKernel._latest.finish()  # or its thread would wait for ever
        SteppedKernel._latest = self
        self.records: list[Event] = []
        self.pick_number: Callable[[Sequence[int]], int] = min
        self.act: Midway | None = None
        self._is_before_record = False
        super().__init__(listener=self.told)
        self.elsewhere = self.stop
        self.init_pid_ns.pid_max = pid_max

    def _boot(self) -> TaskStruct:
        """Number 1, whose birth is told."""
        self.listener = self.told
        self.current.comm = b"init"
        return copy_process(self.current, 0)

    def told(self, event: Event) -> None:
        """What is found midway here has no record yet: a newborn may be listed already."""
        self._is_before_record = True
        self.stop()
        self._is_before_record = False
        self.records.append(event)
        self.now_ns += _EVENT_NS

    # Calls: one at a time, as the tasklist lock has it

    def begin(self, body: Call, until: type | None = None, stops: int = 1) -> None:
        """Let a call go on to its first stop, or to where it has told such an event."""
        assert self.act is None
        before = len(self.records)
        self.act = Midway.of(partial(self._numbered, body))
        self.step(stops)
        while until is not None and not any(isinstance(e, until) for e in self.records[before:]):
            self.step()

    def step(self, stops: int = 1) -> None:
        assert self.act is not None
        act = self.act
        try:
            act.step(stops)
        finally:
            self.act = None if act.is_done else act

    def stop(self) -> None:
        if self.act is not None:
            self.act.stop()

    def finish(self) -> None:
        """What a fence waits for (and a little more)."""
        if self.act is not None:
            self.step(_ALL)

    def settle(self) -> None:
        """Do every write whose record is there, and no more."""
        while self.act is not None and not self._is_before_record:
            self.step()

    def run(self, *bodies: Call) -> None:
        for body in bodies:
            self.finish()
            self._numbered(body)

    def _numbered(self, body: Call) -> None:
        place_cursors(self, self.pick_number)
        body()

    # Acts

    def fork(self, by: TaskStruct, thread: bool = False, clone_parent: bool = False) -> Call:
        return partial(call, by, "clone", CLONE_THREAD * thread | CLONE_PARENT * clone_parent)

    def born(self, by: TaskStruct, thread: bool = False, clone_parent: bool = False) -> TaskStruct:
        """Fork, and return the child."""
        known = set(self.tasks())
        self.run(self.fork(by, thread, clone_parent))
        (child,) = set(self.tasks()) - known
        return child

    def end(self, task: TaskStruct) -> None:
        self.run(self.exit(task), self.release(task))

    def failed_fork(self, by: TaskStruct) -> Call:
        """It fails after ``alloc_pid()``."""
        return partial(_try, partial(call, by, "clone", 0, (), True))

    def setsid(self, task: TaskStruct) -> Call:
        return partial(call, task, "setsid")

    def setpgid(self, task: TaskStruct, group: Pid | None) -> Call:
        return lambda: call(task, "setpgid", 0, pid_vnr(group, task))

    def exit(self, task: TaskStruct) -> Call:
        return partial(call, task, "exit", 0)

    def release(self, task: TaskStruct) -> Call:
        """Let its parent wait for it, unless it is gone already."""
        return partial(_reap, task)

    def execute(self, task: TaskStruct) -> Call:
        """A thread becomes the leader, and the old one is released."""
        return partial(call, task, "execve", b"exec")

    def unshare(self, task: TaskStruct) -> Call:
        return partial(call, task, "unshare", CLONE_NEWPID)

    def setns(self, task: TaskStruct, ns: PidNamespace | None = None) -> Call:
        """To its own namespace by default."""
        return lambda: call(task, "setns", ns or spaces(task)[-1])

    def random_act(self, rng: random.Random) -> Call:
        """A call of some task; it may be refused."""
        tasks = list(self.tasks())
        able = [task for task in tasks if not task.blocked]
        full = len(self.init_pid_ns.allocator.pids) > self.init_pid_ns.pid_max - 4
        name, *words = rng.choice(_DYING if full else (*_LIVING, *_DYING))
        actor = rng.choice(able)
        if name == "wait4":
            zombies = [task for task in tasks if task.exit_state == EXIT_ZOMBIE]
            actor = rng.choice(zombies).real_parent if zombies else actor
        if name in ("exit", "exit_group", "execve") and actor.signal is self.init.signal:
            name, words = "wait4", [-1]
        some = {
            "nr": lambda: pid_nr_ns(rng.choice(tasks).thread_pid, spaces(actor)[-1]),
            "ns": lambda: rng.choice(spaces(rng.choice(tasks))),
        }
        args = [some[word]() if word in some else word for word in words]
        return partial(_try, partial(call, actor, name, *args))

    def act_at_random(self, rng: random.Random, acts: int) -> None:
        for _ in range(acts):
            self.run(self.random_act(rng))

    def meanwhile(self, rng: random.Random, rate: float) -> None:
        """What others do between two of a reader's steps."""
        stops = next(stop for stop in itertools.count() if rng.random() >= rate)
        if stops and self.act is None:
            self.begin(self.random_act(rng), stops=stops)
        elif stops:
            self.step(stops)

    @property
    def procfs(self) -> SimulatedProcFs:
        """Its /proc while nobody acts."""
        return SimulatedProcFs(self, undisturbed)

    def find(self, nr: int) -> TaskStruct:
        task = find_task_by_pid_ns(nr, self.init_pid_ns)
        assert task is not None
        return task


def _try(body: Call) -> None:
    """Make a call that may be refused."""
    with contextlib.suppress(OSError, PidscopeError):
        body()


def _reap(task: TaskStruct) -> None:
    if task.thread_pid is not None:
        parent = task.real_parent
        assert call(parent, "wait4", pid_vnr(task.thread_pid, parent))


def undisturbed(reading: Reading[T]) -> T:
    """Finish a reading while nobody acts."""
    reader = _Reader(reading)
    while not reader.done:
        reader.go_on()
    return reader.result


def place_cursors(kernel: Kernel, pick_number: Callable[[Sequence[int]], int]) -> None:
    """Let each namespace give out next the number that is picked of the low ones that are free."""
    innermost = dict.fromkeys(spaces(task)[-1] for task in kernel.tasks())
    for ns in dict.fromkeys(outer for inner in innermost for outer in inner.outwards()):
        free = [nr for nr in range(2, kernel.init_pid_ns.pid_max) if nr not in ns.allocator.pids]
        if ns.child_reaper is not None and free:
            ns.allocator.last_pid = pick_number(free) - 1


def spaces(task: TaskStruct) -> list[PidNamespace]:
    """From the initial one inwards."""
    assert task.thread_pid is not None
    return [upid.ns for upid in task.thread_pid.numbers]


def never(event: Event) -> bool:
    return False


class SteppedProcFs(SimulatedProcFs):
    """Remembers who was listed and read; ``is_early``: a listing may be ahead of attach_pid()."""

    root = "/nonexistent"  # where other files would be
    is_early = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.read_numbers: list[int] = []
        self.listed: list[int] = []

    def numbers(self) -> list[int]:
        """Up to 5.7 no task is listed before it is attached as PID."""
        found = (
            number
            for number in proc_pid_readdir(self._ns)
            if self.is_early or find_task_by_pid_ns(number, self._ns) is not None
        )
        return self._finish(_listed(found))

    def hides(self) -> str:
        """Nothing, as the world's tasks are all shown."""
        return ""

    def threads(self, number: int) -> list[int]:
        self.listed.append(number)
        return super().threads(number)

    def read(self, number: int) -> Any:
        self.read_numbers.append(number)
        return super().read(number)

    def boottime_offset_ns(self) -> int:
        return 0

    def number_of(self, pid: int) -> int:
        return pid


class SteppedRing:
    """As its reader has it: others go on until it has a position."""

    def __init__(self, world: SteppedWorld) -> None:
        self._world, self._ring = world, world.ring

    @property
    def position(self) -> int:
        self._world.between()
        return self._ring.position

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ring, name)


class FaultyWorld(SimulatedWorld):
    """A world where the iterator hides processes and hooks do not run, as the test has it."""

    def __init__(self, kernel: Kernel, *args: Any) -> None:
        super().__init__(kernel, *args)
        self.hidden: Any = frozenset()  # processes that the iterator leaves out
        self.left_out: Counter[str] = Counter()  # runs of hooks

    def tasks(self) -> list[TaskSeen] | None:  # type: ignore[override]
        return [row for row in super().tasks() if row.birth.tgid not in self.hidden]

    @property
    def skipped(self) -> dict[str, int]:
        return dict(self.left_out)


class SteppedWorld(FaultyWorld):
    """Calls ``between`` whenever a session looks: at the ring, or at anything that /proc reads."""

    blind_to = ""  # a hook that is not attached
    iterates = False  # there is a task iterator
    fails = False  # and it does

    def __init__(self, kernel: SteppedKernel) -> None:
        self.between: Call = lambda: None
        self.skip = self.lose = self.vanish = never
        super().__init__(kernel, lambda: False, 0, 1 << 30)
        self.kernel: SteppedKernel = kernel
        self.kernel.elsewhere = kernel.stop
        self.procfs = SteppedProcFs(kernel, self._finish)
        self._written = self.ring
        self.ring: Any = SteppedRing(self)

    def fence(self) -> None:
        """Whoever has the lock gives it back; then others may go on."""
        self.kernel.finish()
        self.between()

    def tasks(self) -> list[TaskSeen] | None:  # type: ignore[override]
        if self.fails:
            raise OSError(errno.EIO, "no iterator today")
        return super().tasks() if self.iterates else None

    def sees(self, name: str) -> bool:
        return name != self.blind_to

    def others_act(self, rng: random.Random, acts: int, rate: float = 0.2) -> None:
        """From now on others act whenever the session looks, until they have done so many."""
        left = iter(range(acts * 4))

        def between() -> None:
            while rng.random() < rate and next(left, None) is not None:
                self.kernel.meanwhile(rng, 0.7)

        self.between = between

    def lose_one_a_look(self) -> None:
        """Records are being lost without end."""

        def between() -> None:
            self.lost += 1

        self.between = between

    def _others_go_on(self) -> None:
        self.between()

    def _hooked(self, event: Event) -> None:
        self.kernel.told(event)
        if self.skip(event):
            return
        hook, times = runs(event)
        self._hits[hook] += times
        if self.lose(event):
            self.lost += 1
        elif not self.vanish(event):
            assert self._written.write(encode(event, self.lost))
