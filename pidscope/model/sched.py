"""Tasks and what their threads share: include/linux/sched.h and include/linux/sched/signal.h.

A ``task_struct`` is a thread. It has one ``struct pid`` of its own (``thread_pid``). Everything a
process also has is in the ``signal_struct`` that its threads share: ``pids[]`` there are the
thread group's, the process group's and the session's struct pids, so a thread can never be in
another session than its siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pidscope.model.cgroup import Cgroup
    from pidscope.model.kernel import Kernel
    from pidscope.model.nsproxy import NsProxy
    from pidscope.model.pid import Pid
    from pidscope.model.pid_namespace import PidNamespace

PF_EXITING = 0x00000004
PF_FORKNOEXEC = 0x00000040  # forked, and has not exec'd since
PF_KTHREAD = 0x00200000

SIGKILL = 9
SIGTERM = 15
SIGCHLD = 17

EXIT_ZOMBIE = "Z"
EXIT_DEAD = "X"


class SignalStruct:
    """``struct signal_struct``: one process. ``struct sighand_struct`` is folded in."""

    __slots__ = (
        "autoreap",
        "group_exit_code",
        "has_child_subreaper",
        "ignores_sigchld",
        "is_child_subreaper",
        "leader",
        "live",
        "pids",
        "threads",
        "unkillable",
    )

    def __init__(self) -> None:
        self.pids: list[Pid | None] = [None, None, None, None]  # by PidType; PID is the task's
        self.threads: dict[TaskStruct, None] = {}  # thread_head, in order of birth
        self.live = 0  # threads that have not begun to exit
        self.leader = False  # leads its session
        self.unkillable = False  # SIGNAL_UNKILLABLE: the init of a PID namespace
        self.is_child_subreaper = False
        self.has_child_subreaper = False  # an ancestor may be one
        self.group_exit_code: int | None = None  # set once the whole group exits
        self.ignores_sigchld = False  # SIG_IGN: its children reap themselves
        self.autoreap = False  # CLONE_AUTOREAP: it reaps itself; its children do not inherit that


class TaskStruct:
    """``struct task_struct``: one thread. ``signal.threads`` are its siblings and itself."""

    __slots__ = (
        "cgroup",
        "children",
        "comm",
        "exit_code",
        "exit_signal",
        "exit_state",
        "flags",
        "group_leader",
        "kernel",
        "nsproxy",
        "pid",
        "real_parent",
        "signal",
        "start_boottime",
        "stat_addr",
        "tgid",
        "thread_pid",
        "vfork_child",
        "vfork_done",
        "zaps",
    )

    def __init__(self, kernel: Kernel, signal: SignalStruct, comm: bytes) -> None:
        self.kernel = kernel
        self.signal = signal
        self.comm = comm
        self.pid = 0  # pid_t: the number in the initial namespace, kept after the release
        self.tgid = 0
        self.thread_pid: Pid | None = None  # None once released
        self.group_leader = self
        self.real_parent = self
        self.children: dict[TaskStruct, None] = {}  # leaders only, oldest first
        self.nsproxy: NsProxy | None = None  # None once it exits
        self.cgroup: Cgroup = kernel.cgroup_root
        self.flags = 0
        self.start_boottime = 0  # CLOCK_BOOTTIME, ns
        self.exit_state = ""
        self.exit_code = 0
        self.exit_signal = SIGCHLD  # to the parent; 0: none; -1: a thread that is not the leader
        self.stat_addr = 0  # where its last wait4() wrote the wait status
        self.vfork_child: TaskStruct | None = None  # it waits for this child's exec or end
        self.vfork_done: TaskStruct | None = None  # the parent that waits for us
        self.zaps: PidNamespace | None = None  # it is in zap_pid_ns_processes()

    @property
    def blocked(self) -> str:
        """Why it can make no system call; empty if it can."""
        if self.zaps is not None:
            return "waits for its namespace to empty"
        if self.flags & PF_EXITING:
            return "exited"
        if self.vfork_child is not None:
            return "waits for its vfork child"
        return ""

    def __repr__(self) -> str:
        return f"task {self.pid} {self.comm!r}{' ' + self.exit_state if self.exit_state else ''}"


def thread_group_leader(p: TaskStruct) -> bool:
    """Whether ``p`` is its process's leader: it alone has an exit signal."""
    return p.exit_signal >= 0


def thread_group_empty(p: TaskStruct) -> bool:
    """Whether no other thread of its process is left, zombies counted."""
    return len(p.signal.threads) <= 1


def same_thread_group(p: TaskStruct, q: TaskStruct) -> bool:
    """Whether both are threads of one process."""
    return p.signal is q.signal


def delay_group_leader(p: TaskStruct) -> bool:
    """Whether ``p`` is a leader that has to stay a zombie until its other threads are gone."""
    return thread_group_leader(p) and not thread_group_empty(p)
