"""Why a fork failed: what is printed of each cause, and that likely is never certain."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from unittest.mock import Mock

import pytest

from pidscope import events
from pidscope.limits.failure import Known, Reason, errno_name, reason, reason_json
from pidscope.limits.fork_stage import Attempts, Facts, Stage
from pidscope.limits.tasks_limit import MAX, TasksLimit
from pidscope.session.session import Session
from pidscope.simulated.limits import pids_limits
from tests.unit.machine import Machine, inum, nr
from tests.unit.played import play, scenario_world
from tests.unit.stepped_kernel import ROOT

NS = 4026532146
COUNTED = "RLIMIT_NPROC threads-max"
NEWPID, THREAD, NEWUSER = 0x20000000, 0x10000, 0x10000000
INTO_CGROUP = 0x200000000
FULL = TasksLimit("/box", 8, 8)
HAS_ROOM = TasksLimit("/box/app", 8, 7)
ONCE = TasksLimit("/box", 8, 7, events_local=23)
LIFTED = TasksLimit("/lifted", MAX, 7, events_local=5)
OWN = TasksLimit("/box", 8, 7, events=23)
NPROC = TasksLimit("user 1000", 20, 20, "RLIMIT_NPROC")
THREADS = TasksLimit("this host", 90, 91, "threads-max")
ROOM = TasksLimit("this host", 90, 89, "threads-max")


def failed(number: int, flags: int = 0) -> events.ForkFailed:
    return events.ForkFailed(9, 5, number, flags, 41, NS)


def why(
    number: int,
    stage: Stage = Stage.UNKNOWN,
    flags: int = 0,
    level: int | None = 1,
    dead: bool = False,
    home: int | None = NS,
    cgroups: Sequence[TasksLimit] | None = (),
    counted: Sequence[TasksLimit] = (),
) -> Reason:
    facts = Facts(stage, home, level, dead)
    return reason(failed(number, flags), facts, lambda: counted, lambda: cgroups)


@pytest.mark.parametrize(
    ("found", "known", "causes", "words"),
    [
        (why(errno.EAGAIN, Stage.REFUSED), "certain", "pid_max", f"pid:[{NS}] or in one around"),
        (why(errno.EAGAIN, Stage.REFUSED, level=0), "certain", "pid_max", f"in pid:[{NS}]"),
        (why(errno.ENOMEM, Stage.REFUSED, dead=True), "likely", "number 1", f"lives in pid:[{NS}]"),
        (why(errno.ENOMEM, dead=True), "likely", "number 1", "dead namespace"),
        (why(errno.ENOMEM, Stage.REFUSED), "likely", "memory", "want of memory"),
        (why(errno.EEXIST, Stage.REFUSED), "certain", "set_tid", "is taken"),
        (why(errno.EINVAL, Stage.REFUSED), "likely", "set_tid", "cannot be had"),
        (why(errno.EPERM, Stage.REFUSED), "likely", "set_tid", "right to choose"),
        (why(errno.EDOM, Stage.REFUSED), "not known", "", "refused"),
        (why(errno.EAGAIN, cgroups=[FULL]), "likely", "pids.max", "pids.max 8 of /box"),
        (why(errno.EAGAIN, Stage.BEHIND, cgroups=[FULL]), "likely", "pids.max", "has 8 tasks"),
        (why(errno.EAGAIN, Stage.BEHIND), "likely", "pids.max", "no longer reached"),
        (why(errno.EAGAIN, Stage.BEHIND, cgroups=None), "likely", "pids.max", "not be read"),
        (why(errno.EAGAIN, Stage.BEFORE, cgroups=[FULL]), "likely", COUNTED, "of its user, or"),
        (why(errno.EAGAIN, counted=[ROOM]), "not known", f"{COUNTED} pids.max", "none is seen"),
        (why(errno.EAGAIN, counted=[NPROC, THREADS]), "likely", "RLIMIT_NPROC", "20 of user 1000"),
        (why(errno.EAGAIN, Stage.BEFORE, counted=[THREADS]), "likely", "threads-max", "has 91"),
        (why(errno.EAGAIN, cgroups=[FULL], counted=[THREADS]), "likely", "threads-max", "90 of"),
        (
            why(errno.EAGAIN, Stage.BEHIND, cgroups=[FULL], counted=[THREADS]),
            "likely",
            "pids.max",
            "has 8 tasks",
        ),
        (why(errno.EAGAIN, cgroups=[HAS_ROOM, ONCE]), "likely", "pids.max", "refused 23 forks"),
        (
            why(errno.EAGAIN, cgroups=[LIFTED]),
            "likely",
            "pids.max",
            "of /lifted, which has refused",
        ),
        (why(errno.EAGAIN, cgroups=[LIFTED, ONCE]), "likely", "pids.max", "pids.max of /box, whi"),
        (why(errno.EAGAIN, cgroups=[HAS_ROOM, ONCE, FULL]), "likely", "pids.max", "has 8 tasks"),
        (why(errno.EAGAIN, cgroups=[OWN, HAS_ROOM]), "likely", "pids.max", "/box or of one above"),
        (why(errno.EAGAIN, cgroups=[HAS_ROOM, OWN]), "not known", f"{COUNTED} pids.max", ""),
        (why(errno.EAGAIN, Stage.BEHIND, cgroups=[ONCE]), "likely", "pids.max", "of /box, which"),
        (why(errno.EAGAIN, cgroups=[ONCE], counted=[NPROC]), "likely", "RLIMIT_NPROC", "20 of"),
        (
            why(errno.EAGAIN, flags=INTO_CGROUP, cgroups=[FULL]),
            "not known",
            f"pids.max {COUNTED}",
            "could not be read",
        ),
        (why(errno.EAGAIN, cgroups=None), "not known", f"pids.max {COUNTED}", "read"),
        (why(errno.ENOSPC, flags=NEWPID, level=32), "certain", "MAX_PID_NS_LEVEL", "level 32"),
        (why(errno.ENOSPC, flags=NEWPID), "likely", "max_pid_namespaces", "of its user"),
        (
            why(errno.ENOSPC, flags=NEWPID, level=None),
            "likely",
            "max_pid_namespaces MAX_PID_NS_LEVEL",
            "32 levels",
        ),
        (
            why(errno.ENOSPC, flags=NEWPID | NEWUSER),
            "likely",
            "max_pid_namespaces max_*_namespaces",
            "the other namespaces",
        ),
        (why(errno.ENOSPC, flags=NEWUSER), "likely", "max_*_namespaces", "/proc/sys/user"),
        (why(errno.EFAULT), "likely", "arguments", "a pointer"),
        (why(errno.EINVAL), "likely", "arguments", "do not go together"),
        (why(errno.EINVAL, flags=THREAD), "likely", "arguments", "do not go together"),
        (
            why(errno.EINVAL, flags=THREAD, home=ROOT),
            "likely",
            "pid_ns_for_children",
            "no new thre",
        ),
        (why(errno.EINVAL, flags=NEWPID, home=ROOT), "likely", "pid_ns_for_children", "no new PID"),
        (why(errno.EINVAL, flags=NEWPID, home=None), "likely", "arguments", "do not go together"),
        (why(errno.EPERM, flags=NEWPID), "likely", "privilege", "CAP_SYS_ADMIN"),
        (why(errno.EINTR), "certain", "signal", "fatal"),
        (why(513), "certain", "signal", "again"),
        (why(errno.EDOM), "not known", "", "nothing here tells"),
    ],
)
def test_what_is_printed(found: Reason, known: str, causes: str, words: str) -> None:
    assert (found.known.value, " ".join(found.causes)) == (known, causes)
    assert words in found.text
    begins = {"certain": found.text, "likely": "likely ", "not known": "not known: "}[known]
    assert found.sentence.startswith(begins) and found.sentence.endswith(found.text)


def test_the_innermost_limit_that_is_reached_is_it() -> None:
    limits = [
        TasksLimit("/a/b/c", 9, 8),
        TasksLimit("/a/b", MAX, 8),
        TasksLimit("/a", 8, None),
        TasksLimit("/x", 7, 8),
        TasksLimit("/", 1, 100),
    ]
    found = why(errno.EAGAIN, cgroups=limits)
    assert (found.cgroup, found.limit, found.short) == ("/x", 7, "pids.max?")
    assert reason_json(found) == {
        "known": "likely",
        "causes": ["pids.max"],
        "cgroup": "/x",
        "limit": 7,
        "text": "pids.max 7 of /x, which has 8 tasks",
    }


def test_another_limit_is_reported_without_a_cgroup() -> None:
    found = why(errno.EAGAIN, counted=[NPROC])
    assert (found.cgroup, found.limit, found.short) == (None, 20, "RLIMIT_NPROC?")
    assert found.sentence == "likely RLIMIT_NPROC 20 of user 1000, which has 20 tasks"


@pytest.mark.parametrize(
    ("number", "stage", "counted_read", "cgroups_read"),
    [
        (errno.ENOMEM, Stage.UNKNOWN, False, False),
        (errno.ENOSPC, Stage.UNKNOWN, False, False),
        (errno.EINVAL, Stage.UNKNOWN, False, False),
        (errno.EFAULT, Stage.UNKNOWN, False, False),
        (errno.EPERM, Stage.UNKNOWN, False, False),
        (513, Stage.UNKNOWN, False, False),
        (errno.EAGAIN, Stage.REFUSED, False, False),
        (errno.EAGAIN, Stage.BEFORE, True, False),
        (errno.EAGAIN, Stage.BEHIND, False, True),
        (errno.EAGAIN, Stage.UNKNOWN, True, True),
    ],
)
def test_limits_are_read_only_for_what_may_be_theirs(
    number: int, stage: Stage, counted_read: bool, cgroups_read: bool
) -> None:
    counted, cgroups = Mock(return_value=()), Mock(return_value=())
    reason(failed(number), Facts(stage, NS, 1, False), counted, cgroups)
    assert counted.called == counted_read
    assert cgroups.called == cgroups_read


def test_errnos_have_names() -> None:
    assert [errno_name(n) for n in (11, 513, 999)] == ["EAGAIN", "ERESTARTNOINTR", "999"]


# The stage, and what the table knows


REFUSED = events.PidRefused(1, 5, errno.EAGAIN)
ALLOCATED = events.PidAllocated(1, 5, events.PidNumbers((9,), ROOT))


@pytest.mark.parametrize(
    ("stream", "steps", "stage"),
    [
        ((), False, Stage.UNKNOWN),
        ((), True, Stage.BEFORE),
        ((REFUSED,), False, Stage.REFUSED),
        ((REFUSED._replace(by=6),), False, Stage.UNKNOWN),
        ((ALLOCATED,), True, Stage.BEHIND),
        ((REFUSED, failed(errno.EAGAIN)), False, Stage.UNKNOWN),
        ((REFUSED, failed(errno.EAGAIN)._replace(by=6)), False, Stage.REFUSED),
        ((REFUSED, events.Lost(1, 4)), False, Stage.UNKNOWN),
    ],
)
def test_the_stage_is_that_of_the_same_task(
    stream: Sequence[events.Event], steps: bool, stage: Stage
) -> None:
    attempts = Attempts(steps)
    for event in stream:
        attempts.add(event)
    assert attempts.facts(failed(errno.EAGAIN), Machine().table).stage is stage


def test_what_never_ends_is_forgotten() -> None:
    attempts = Attempts(True)
    for by in range(5000):
        attempts.add(events.PidRefused(1, by, errno.EAGAIN))
        attempts.add(events.NamespaceDying(1, by, by, ROOT, 1))
    assert len(attempts._stages) <= 1024 and len(attempts._dying) <= 1024


def reasons(text: str, steps: bool = False) -> list[tuple[int, Reason]]:
    """Errno and reason of each failed fork of a scenario."""
    world = scenario_world(text)
    world.steps = steps
    attempts, found = Attempts(steps), []

    def told(event: events.Event, session: Session) -> None:
        if isinstance(event, events.ForkFailed):
            assert session.table is not None
            facts = attempts.facts(event, session.table)
            limits = pids_limits(world.kernel, event.cgroup_id)
            found.append((event.errno, reason(event, facts, tuple, lambda: limits)))
        attempts.add(event)

    session = Session(world, told)
    session.begin()
    while world.step():
        session.pump()
    session.pump()
    return found


SCENARIO = """
init: unshare NEWPID
init: clone NEWPID = EINVAL
init: clone THREAD = EINVAL
init: fork -> one
one: clone set_tid 1 = EEXIST
one: clone set_tid -4 = EINVAL
one: clone bad_pidfd = EFAULT
one: sysctl pid_max 301
one: sysctl ns_last_pid 300
one: fork -> last = 300
one: fork = EAGAIN
one: sysctl max_pid_namespaces 1
one: clone NEWPID = ENOSPC
one: sysctl pid_max 400
cgroup outer pids.max 2
cgroup inner in outer
one: join inner
one: fork -> more
one: fork = EAGAIN
one: exit
init: fork = ENOMEM
"""


@pytest.mark.parametrize("steps", [False, True])
def test_of_a_whole_scenario(steps: bool) -> None:
    found = reasons(SCENARIO, steps)
    assert [(errno_name(number), *why.causes) for number, why in found] == [
        ("EINVAL", "pid_ns_for_children"),
        ("EINVAL", "pid_ns_for_children"),
        ("EEXIST", "set_tid"),
        ("EINVAL", "set_tid"),
        ("EFAULT", "arguments"),
        ("EAGAIN", "pid_max"),
        ("ENOSPC", "max_pid_namespaces"),
        ("EAGAIN", "pids.max"),
        ("ENOMEM", "number 1"),
    ]
    (full,) = [why for _, why in found if why.causes == ("pids.max",)]
    assert (full.cgroup, full.limit, full.known) == ("/outer", 2, Known.LIKELY)


def test_the_model_counts_what_a_limit_refused() -> None:
    kernel = play("""
        cgroup outer pids.max 2
        cgroup inner in outer
        init: join inner
        init: fork -> child
        3 * init: fork = EAGAIN
        child: exit
        init: wait
    """).kernel
    limits = pids_limits(kernel, kernel.init.cgroup.id)
    outer = TasksLimit("/outer", 2, 1, events_local=3)
    assert limits == [TasksLimit("/outer/inner", MAX, 1, events_local=0), outer]
    assert why(errno.EAGAIN, cgroups=limits).cgroup == "/outer"


def test_32_levels_are_certain() -> None:
    deeper = "".join(f"t{n}: clone NEWPID -> t{n + 1}\n" for n in range(32))
    text = deeper.replace("t0:", "init:") + "t32: clone NEWPID = ENOSPC\n"
    ((_, found),) = reasons(text)
    assert found.causes == ("MAX_PID_NS_LEVEL",) and found.known is Known.CERTAIN


def test_a_namespace_lives_again_under_its_inum() -> None:
    m = Machine()
    inner = m.contain(m.fork(m.kernel.init))
    ns = inum(inner)
    attempts, table = Attempts(False), m.table
    event = failed(errno.ENOMEM)._replace(children_ns=ns, by=nr(inner))
    assert attempts.facts(event, table)[1:] == (ns, 1, False)
    attempts.add(events.NamespaceDying(1, nr(inner), ns, ROOT, 1))
    assert attempts.facts(event, table).dead
    births = [
        e for e in m.kernel.records if isinstance(e, events.PidAttached) and e.tid == nr(inner)
    ]
    attempts.add(births[0])
    assert not attempts.facts(event, table).dead
    assert attempts.facts(event._replace(children_ns=1), table)[2:] == (None, True)
