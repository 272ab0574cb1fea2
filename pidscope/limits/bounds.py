"""What bounds forking: a kernel's values in, bounds out.

Pure. ``copy_process()`` (kernel/fork.c) checks one after the other, and the first that refuses
gives the errno:

1. RLIMIT_NPROC of the user, unless that is root or the forker has CAP_SYS_RESOURCE or
   CAP_SYS_ADMIN; EAGAIN. Threads count, and zombies. Then that of the user who made its user
   namespace, as it was then, and so on outwards (``is_rlimit_overlimit()``, kernel/ucount.c).
2. threads-max of the machine; EAGAIN.
3. ``copy_pid_ns()``, for a new namespace only: EINVAL where unshare or setns has already sent the
   children elsewhere (also for a new thread, and earlier), ENOSPC beyond 32 levels or
   user.max_pid_namespaces.
4. ``alloc_pid()``: a number at every level, innermost first; EAGAIN. Then ENOMEM if the namespace's
   number 1 has exited.
5. ``pids_can_fork()`` (kernel/cgroup/pids.c): pids.max of the cgroup and all above it; EAGAIN.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pidscope.limits.tasks_limit import MAX, Amount, TasksLimit
from pidscope.query.place import bracketed
from pidscope.query.process import Process

MAX_PID_NS_LEVEL = 32  # include/linux/pid_namespace.h
_RESERVED_PIDS = 300  # include/linux/threads.h

FORK, THREAD, NAMESPACE = "fork", "thread", "namespace"

# Bounds that count nothing
INIT = "number 1"
CHILDREN = "pid_ns_for_children"


class Everyone(NamedTuple):
    """The tasks that were read on a host."""

    processes: list[Process]  # also threads
    ns_parents: Mapping[int, int]
    nobody_hidden: bool  # hidepid hides no process
    all_read: bool  # also the namespace of each task

    def threads_of(self, pid: int) -> list[int]:
        """The tids of a process."""
        return [task.tid for task in self.processes if task.pid == pid]


class PidNsNumbers(NamedTuple):
    """One ``struct pid_namespace`` in which a new task needs a number."""

    ns: int | None  # inum
    used: Collection[int]  # numbers that are taken
    all_seen: bool  # no other number is taken
    pid_max: int | None  # the one that applies here
    last_pid: int | None  # the last number that was given out


class UserTasks(NamedTuple):
    """RLIMIT_NPROC, and the tasks that count against it (``UCOUNT_RLIMIT_NPROC``)."""

    limit: TasksLimit
    all_seen: bool  # no other task counts
    exempt: bool | None  # the limit does not apply to the process
    # ``limit.max`` None: outside its user namespace, where no file shows the limit.


class Facts(NamedTuple):
    """What bounds the forks of one process, as far as it is known."""

    numbers: Sequence[PidNsNumbers]  # of the namespace of its children and outwards
    adding: bool | None  # the first of them takes new tasks: no number 1 of it has exited
    level: int | None  # of the first of them
    diverted: bool | None  # its children go to another namespace than its own
    cgroups: Sequence[TasksLimit]  # its own and upwards
    cgroups_known: bool  # there is no other above them
    user: UserTasks | None  # None: the kernel has no such limit
    threads: TasksLimit | None  # None: the kernel has no such limit
    pid_namespaces: int | None  # of its user
    max_pid_namespaces: Amount
    users_outside: Sequence[UserTasks] = ()  # for whom its tasks count around its user namespace


class Bound(NamedTuple):
    """One limit, and how many forks it still admits."""

    name: str  # the kernel's
    of: str  # what it is a limit of
    limit: Amount
    used: int | None
    room: Amount  # how many more forks at most; 0: it is reached
    least: float  # how many more at least
    errno: str  # of a fork that it refuses
    exempt: bool | None = False
    stops: str = FORK
    cgroup: TasksLimit | None = None
    used_at_least: bool = False  # more may count than ``used``

    @property
    def holds(self) -> bool:
        """Whether it is known to refuse a fork sooner or later."""
        return self.stops == FORK and self.exempt is False and self.room not in (None, MAX)

    @property
    def sure(self) -> float:
        """How many forks it certainly admits."""
        return MAX if self.stops != FORK or self.exempt else self.least


def bounds(facts: Facts) -> list[Bound]:
    """Return every bound, in the order of the kernel's checks."""
    found = [*_of_user(facts)]
    if facts.threads is not None:
        found.append(_of_limit(facts.threads))
    found += _of_new_namespace(facts)
    found += [_of_numbers(numbers) for numbers in facts.numbers]
    found.append(_of_init(facts))
    found += [_of_limit(it)._replace(cgroup=it) for it in facts.cgroups]
    if not facts.cgroups_known:
        found.append(_of_limit(TasksLimit("cgroups not seen", None, None)))
    return found


def _of_limit(it: TasksLimit, errno: str = "EAGAIN", stops: str = FORK) -> Bound:
    return Bound(it.name, it.of, it.max, it.current, it.room, it.room or 0, errno, stops=stops)


def _of_user(facts: Facts) -> Iterable[Bound]:
    own = [] if facts.user is None else [facts.user]
    for limit, all_seen, exempt in (*own, *facts.users_outside):
        bound = _of_limit(limit)
        sure = bound.least if all_seen or limit.max == MAX else 0
        at_least = limit.current is not None and not all_seen
        yield bound._replace(exempt=exempt, least=sure, used_at_least=at_least)


def _of_new_namespace(facts: Facts) -> Iterable[Bound]:
    if facts.diverted:
        for stops in (THREAD, NAMESPACE):
            yield Bound(CHILDREN, f"new {stops}s", None, None, 0, 0, "EINVAL", stops=stops)
    for name, limit, used in (
        ("MAX_PID_NS_LEVEL", MAX_PID_NS_LEVEL, facts.level),
        ("max_pid_namespaces", facts.max_pid_namespaces, facts.pid_namespaces),
    ):
        yield _of_limit(TasksLimit("new namespaces", limit, used, name), "ENOSPC", NAMESPACE)


def _of_numbers(numbers: PidNsNumbers) -> Bound:
    used = None if numbers.ns is None else len(numbers.used)
    bound = _of_limit(TasksLimit(bracketed(numbers.ns), numbers.pid_max, used, "pid_max"))
    room = free_numbers(numbers)
    # With the cursor beyond 300 there are fewest.
    far = numbers if numbers.last_pid is not None else numbers._replace(last_pid=_RESERVED_PIDS)
    sure = free_numbers(far) if numbers.all_seen else None
    at_least = used is not None and not numbers.all_seen
    return bound._replace(room=room, least=sure or 0, used_at_least=at_least)


def _of_init(facts: Facts) -> Bound:
    ns = facts.numbers[0].ns if facts.numbers else None
    room: Amount = None if facts.adding is None else MAX if facts.adding else 0
    return Bound(INIT, bracketed(ns), None, None, room, room or 0, "ENOMEM")


def free_numbers(numbers: PidNsNumbers) -> int | None:
    """Return how many forks find a number here if no task exits; None: not known.

    Once the cursor has passed 300, numbers below it are not given out again (``alloc_pid()``,
    kernel/pid.c). The number pid_max itself is never given out.
    """
    if numbers.pid_max is None:
        return None
    taken = set(numbers.used)
    high = _free(taken, _RESERVED_PIDS, numbers.pid_max)
    cursor = 0 if numbers.last_pid is None else numbers.last_pid + 1
    if cursor > _RESERVED_PIDS:
        return high
    return high + _free(taken, max(1, cursor) if high else 1, _RESERVED_PIDS)


def _free(taken: Collection[int], first: int, end: int) -> int:
    return max(0, end - first - sum(first <= number < end for number in taken))


def numbers_in_use(everyone: Iterable[Process], inum: int) -> set[int]:
    """Return the numbers of a namespace that are taken, also by threads.

    A number is taken while it is the number, the group or the session of a task, so the tasks show
    all that are (``free_pid()`` runs when the last list is empty).
    """
    used = {
        number
        for process in everyone
        for level in process.levels
        if level.ns == inum
        for number in (level.tid, level.pgid, level.sid)
    }
    return used - {0}


def tight(found: Iterable[Bound]) -> Bound | None:
    """Return the bound that stops forks first, of equals the first to be checked; None: none."""
    return min((bound for bound in found if bound.holds), key=_room, default=None)


def _room(bound: Bound) -> float:
    return MAX if bound.room is None else bound.room


def unknown(found: Sequence[Bound]) -> list[Bound]:
    """Return the bounds that may stop forks sooner than the tight one."""
    first = tight(found)
    most = MAX if first is None else _room(first)
    return [bound for bound in found if bound is not first and bound.sure < most]


def is_certain(found: Sequence[Bound]) -> bool:
    """Return whether no fork can fail sooner than at the tight bound."""
    first = tight(found)
    return not unknown(found) and (first is None or first.sure == first.room)


def sentence(found: Sequence[Bound]) -> str:
    """Return the answer in one line."""
    first = tight(found)
    if first is None:
        return "nothing that is known here stops a fork"
    if first.name == INIT:
        return f"the next fork fails with {first.errno}: {first.name} of {first.of} has exited"
    if first.room == 0:
        what = f"{first.name} {shown(first.limit)} of {first.of}"
        return f"the next fork fails with {first.errno} at {what}"
    most = "" if is_certain(found) else "at most "
    return f"room for {most}{shown(first.room)} more: {first.name} of {first.of}"


def by_room(found: Iterable[Bound]) -> list[Bound]:
    """Return the bounds that stop forks, the tight one first, then the others in order."""
    return sorted(found, key=lambda it: (it.stops != FORK, not it.holds, _room(it)))


def shown(amount: Amount) -> int | str | None:
    """An amount as a number or ``max``; None: not known."""
    if amount is None:
        return None
    return "max" if amount == MAX else int(amount)
