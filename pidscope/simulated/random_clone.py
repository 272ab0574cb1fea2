"""The arguments of a random clone: flags, wanted numbers, and a place for a pidfd that is none."""

from __future__ import annotations

from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.sched import TaskStruct
from pidscope.simulated.scene import Scene

DEEP = 6
"""The level of the deepest namespace, mostly."""

_FLAGS = {
    "": 3,
    "THREAD": 5,
    "NEWPID": 4,
    "PARENT": 3,
    "NEWPID|PARENT": 1,
    "THREAD|PARENT": 1,
    "NEWPID|THREAD": 0.3,
}
_TOO_MANY = ",".join(["1"] * 33)  # there are 32 levels below the first


def clone_words(scene: Scene, task: TaskStruct) -> tuple[str, ...]:
    """Return arguments for a clone by ``task``, good or bad."""
    assert task.nsproxy is not None
    ns, rng = task.nsproxy.pid_ns_for_children, scene.rng
    flags = _flags(scene, task, ns)
    words = [flags] if flags else []
    if rng.random() < 0.25:
        words += ["set_tid", _set_tid(scene, ns, "NEWPID" in flags)]
    if rng.random() < 0.06:
        words.append("bad_pidfd")
    return tuple(words)


def _flags(scene: Scene, task: TaskStruct, ns: PidNamespace) -> str:
    """Mostly such as are not refused at once."""
    rng = scene.rng
    (flags,) = rng.choices(list(_FLAGS), list(_FLAGS.values()))
    is_diverted = ns is not scene.where(task)
    refused = (
        ("NEWPID" in flags and (is_diverted or ns.level >= DEEP))
        or ("THREAD" in flags and is_diverted)
        or ("PARENT" in flags and task.signal.unkillable)
    )
    return "" if refused and rng.random() < 0.8 else flags


def _set_tid(scene: Scene, ns: PidNamespace, is_new: bool) -> str:
    """Numbers for the levels from the innermost outwards, as far as ``one``."""
    if scene.rng.random() < 0.03:
        return _TOO_MANY
    inside = [above for above in ns.outwards() if above.level >= scene.ns.level]
    wanted = [str(_wanted(scene, above)) for above in inside]
    if is_new:
        wanted.insert(0, scene.rng.choice("1112"))
    return ",".join(wanted[: scene.rng.randint(1, len(wanted))])


def _wanted(scene: Scene, ns: PidNamespace) -> int:
    rng = scene.rng
    kind = rng.random()
    if ns.child_reaper is None and kind < 0.7:
        return 1
    if kind < 0.15:
        return rng.choice((0, -1, ns.pid_limit, 2**31 - 1))
    if kind < 0.3:
        return rng.choice((1, 2, 299, 300, 301, ns.pid_limit - 1))
    if kind < 0.5 and ns.allocator.pids:
        return rng.choice(list(ns.allocator.pids))
    return rng.randint(2, 60)
