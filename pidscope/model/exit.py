"""The end of tasks: kernel/exit.c, and zap_pid_ns_processes() of kernel/pid_namespace.c.

Exiting and being released are two things. A task that exits stays attached, as a zombie, until its
parent has waited for it; only ``release_task()`` detaches it. A task that no parent waits for
releases itself: threads other than the leader, and children of a process that ignores SIGCHLD. A
leader whose threads live on has to stay.
"""

from __future__ import annotations

from pidscope.errors import PidscopeError
from pidscope.model.cgroup import pids_release
from pidscope.model.fork import mm_release
from pidscope.model.nsproxy import switch_task_namespaces
from pidscope.model.pid import (
    PIDTYPE_PGID,
    PIDTYPE_PID,
    PIDTYPE_SID,
    PIDTYPE_TGID,
    Pid,
    detach_pid,
    free_pids,
    pid_task,
    task_active_pid_ns,
    task_pid_vnr,
)
from pidscope.model.pid_namespace import PidNamespace, disable_pid_allocation
from pidscope.model.sched import (
    EXIT_DEAD,
    EXIT_ZOMBIE,
    PF_EXITING,
    SIGCHLD,
    SIGKILL,
    SignalStruct,
    TaskStruct,
    delay_group_leader,
    same_thread_group,
    thread_group_empty,
    thread_group_leader,
)

INT_MIN = -(1 << 31)


class Panic(PidscopeError):
    """The kernel panicked: nothing goes on in it."""


def do_group_exit(current: TaskStruct, code: int) -> None:
    """Let all threads of its process exit, the caller first; ``code`` is a wait status."""
    if current.signal.group_exit_code is None:
        current.signal.group_exit_code = code
    zap_other_threads(current)
    current.kernel.wake_up(current, get_signal)


def zap_other_threads(current: TaskStruct) -> None:
    """Wake the other threads of its process to exit: those behind it, then those before it."""
    for thread in threads_from(current)[1:]:
        if not thread.flags & PF_EXITING:
            current.kernel.wake_up(thread, get_signal)


def complete_signal(target: TaskStruct, sig: int) -> None:
    """A fatal signal: the process has exited, as others observe it, and its threads will."""
    signal = target.signal
    if not signal.live:
        return
    if signal.group_exit_code is None:
        signal.group_exit_code = sig
    from_leader = target.kernel.features.killed_from_leader
    for thread in list(signal.threads) if from_leader else threads_from(target):
        if not thread.flags & PF_EXITING:
            target.kernel.wake_up(thread, get_signal)


def get_signal(tsk: TaskStruct) -> None:
    """A thread that was woken to exit does so."""
    do_exit(tsk, tsk.signal.group_exit_code or 0)


def do_exit(tsk: TaskStruct, code: int) -> None:
    """One thread exits; ``code`` is a wait status. Raises Panic for the last of the host's init."""
    kernel = tsk.kernel
    tsk.flags |= PF_EXITING
    tsk.signal.live -= 1
    synchronize_group_exit(tsk.signal, code, kernel.features.last_thread_exit_code)
    tsk.exit_code = code
    mm_release(tsk)
    if tsk.vfork_child is not None:
        tsk.vfork_child.vfork_done = None
        tsk.vfork_child = None
    kernel.trace.sched_process_exit(tsk)
    switch_task_namespaces(tsk, None)
    if kernel.features.exits_overlap:
        kernel.wake_up(tsk, leave)
    else:
        leave(tsk)


def leave(tsk: TaskStruct) -> None:
    """The rest of ``do_exit()``: another task that was killed by now may be exiting, too."""
    child_reaper = find_child_reaper(tsk)
    if child_reaper is not None:
        exit_notify(tsk, child_reaper)


def synchronize_group_exit(signal: SignalStruct, code: int, last_thread_exit_code: bool) -> None:
    """The last thread to exit decides for the process, unless all exit together."""
    if last_thread_exit_code and not signal.live and signal.group_exit_code is None:
        signal.group_exit_code = code


def find_child_reaper(father: TaskStruct) -> TaskStruct | None:
    """Return the number 1 for the children of ``father``, which may no longer be it.

    None: it was, and the namespace dies with it; `reap_until_empty` goes on.
    """
    ns = task_active_pid_ns(father)
    assert ns is not None
    if ns.child_reaper is not father:
        return ns.child_reaper
    ns.child_reaper = find_alive_thread(father) or father
    if ns.child_reaper is not father:
        return ns.child_reaper
    if ns.parent is None:
        raise Panic("Attempted to kill init!")
    zap_pid_ns_processes(ns, father)
    return None


def zap_pid_ns_processes(ns: PidNamespace, me: TaskStruct) -> None:
    """Kill every task in the namespace of ``me``, its init, and all namespaces inside it."""
    ns.kernel.trace.zap_pid_ns_processes(ns)
    disable_pid_allocation(ns)
    me.signal.ignores_sigchld = True
    me.zaps = ns
    for nr in sorted(ns.allocator.pids):
        task = pid_task(ns.allocator.pids[nr], PIDTYPE_PID)
        if nr > 1 and task is not None:
            complete_signal(task, SIGKILL)
    reap_until_empty(me)


def reap_until_empty(me: TaskStruct) -> None:
    """The rest of it: reap, sleep until no number but its own is taken, and exit.

    Zombies whose parents are outside keep it waiting. It has one number itself, or two if the last
    thread is not the leader.
    """
    if me.zaps is None:
        return  # what it reaped itself has woken it once more
    for p in list(me.children):  # its other threads have given theirs away
        if p.exit_state == EXIT_ZOMBIE and not delay_group_leader(p):
            wait_task_zombie(me, p)
    own = 1 if thread_group_leader(me) else 2
    if me.zaps.pid_allocated > own:
        return
    me.zaps = None
    exit_notify(me, me)


def exit_notify(tsk: TaskStruct, child_reaper: TaskStruct) -> None:
    """Give the children away and become a zombie, or nothing if no parent will wait."""
    dead: list[TaskStruct] = []
    forget_original_parent(tsk, child_reaper, dead)
    tsk.exit_state = EXIT_ZOMBIE
    if not thread_group_leader(tsk) or (thread_group_empty(tsk) and do_notify_parent(tsk)):
        tsk.exit_state = EXIT_DEAD
        dead.insert(0, tsk)
    for p in dead:
        release_task(p)


def do_notify_parent(tsk: TaskStruct) -> bool:
    """Tell the parent; whether none has to wait: it wants to for no child, or not for this one."""
    return tsk.signal.autoreap or tsk.real_parent.signal.ignores_sigchld


def find_alive_thread(p: TaskStruct) -> TaskStruct | None:
    """A thread of its process that has not begun to exit."""
    return next((t for t in p.signal.threads if not t.flags & PF_EXITING), None)


def find_new_reaper(father: TaskStruct, child_reaper: TaskStruct) -> TaskStruct:
    """Return the task that gets the children of ``father``.

    A thread of its own process; else the nearest ancestor in the same namespace that asked for it
    (PR_SET_CHILD_SUBREAPER); else the init. The level that counts is the father's, so a task that
    came from outside gets a reaper outside.
    """
    thread = find_alive_thread(father)
    if thread is not None:
        return thread
    if not father.signal.has_child_subreaper:
        return child_reaper
    assert father.thread_pid is not None
    level = father.thread_pid.level
    reaper = father.real_parent
    while reaper.thread_pid is not None and reaper.thread_pid.level == level:
        if reaper.real_parent is reaper:  # init_task
            break
        if reaper.signal.is_child_subreaper:
            thread = find_alive_thread(reaper)
            if thread is not None:
                return thread
        reaper = reaper.real_parent
    return child_reaper


def forget_original_parent(
    father: TaskStruct, child_reaper: TaskStruct, dead: list[TaskStruct]
) -> None:
    """Reparent the children; zombies that the new parent does not want are put into ``dead``."""
    if not father.children:
        return
    reaper = find_new_reaper(father, child_reaper)
    for p in father.children:
        for thread in p.signal.threads:
            thread.real_parent = reaper
        father.kernel.other_cpus()
        if not same_thread_group(reaper, father):
            reparent_leader(p, dead)
    reaper.children.update(father.children)
    father.children.clear()


def reparent_leader(p: TaskStruct, dead: list[TaskStruct]) -> None:
    """Tell the new parent of a child that is a zombie already; any child is one to wait for."""
    p.exit_signal = SIGCHLD
    if p.exit_state == EXIT_ZOMBIE and thread_group_empty(p) and do_notify_parent(p):
        p.exit_state = EXIT_DEAD
        dead.insert(0, p)


def release_task(p: TaskStruct) -> None:
    """Detach a dead task from everything; its leader too, if that waited for this thread only."""
    pids_release(p)
    pids: list[Pid] = []
    __unhash_process(pids, p)
    zap_leader = last_is_gone(p.group_leader) if p.group_leader is not p else False
    free_pids(pids)
    if zap_leader:
        release_task(p.group_leader)


def last_is_gone(leader: TaskStruct) -> bool:
    """Let a leader that was dead before its other threads end now; whether to release it, too."""
    if leader.exit_state != EXIT_ZOMBIE or not thread_group_empty(leader):
        return False
    code = leader.signal.group_exit_code
    if leader.kernel.features.leader_gets_group_exit_code and code is not None:
        leader.exit_code = code
    if not do_notify_parent(leader):
        return False
    leader.exit_state = EXIT_DEAD
    return True


def __unhash_process(pids: list[Pid], p: TaskStruct) -> None:
    """Of ``__exit_signal()``: PID first, then what only a leader has."""
    detach_pid(pids, p, PIDTYPE_PID)
    if thread_group_leader(p):
        for pid_type in (PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID):
            detach_pid(pids, p, pid_type)
        del p.real_parent.children[p]
    del p.signal.threads[p]


def threads_from(current: TaskStruct) -> list[TaskStruct]:
    """The threads of its process, the caller first, then those behind it (``next_thread()``)."""
    threads = list(current.signal.threads)
    at = threads.index(current)
    return threads[at:] + threads[:at]


def wait_task_zombie(current: TaskStruct, p: TaskStruct) -> int:
    """Reap one child: its number for the caller, its wait status at ``stat_addr``."""
    nr = task_pid_vnr(p, current)
    code = p.signal.group_exit_code
    current.stat_addr = p.exit_code if code is None else code
    p.exit_state = EXIT_DEAD
    release_task(p)
    return nr


# System calls


def sys_exit(current: TaskStruct, code: int = 0) -> int:
    """exit(2): this thread alone."""
    current.kernel.wake_up(current, lambda task: do_exit(task, (code & 0xFF) << 8))
    return 0


def sys_exit_group(current: TaskStruct, code: int = 0) -> int:
    """exit_group(2): the whole process."""
    do_group_exit(current, (code & 0xFF) << 8)
    return 0
