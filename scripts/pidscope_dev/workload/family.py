"""The processes of one workload: how they are made, wait for each other, fail and end.

Nothing may outlive the main process, and nothing may hang:

- every process dies with the one that made it (PR_SET_PDEATHSIG), or, where it is meant to outlive
  that one, ends when the *lifeline* does: a pipe whose writing end only the main process keeps;
- a process that fails prints why and writes to the *trouble* pipe, which is never emptied;
- a process that waits for a message watches all three, so one failure ends the whole family;
- the main process is the subreaper: orphans of its own level come to it.

No process is made but by an explicit fork, so the counts of a workload can be exact.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from pidscope_dev.workload import syscalls

Resource = TypeVar("Resource")
STOPPING = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask the main process to end."""


class Failure(Exception):
    """A workload did not do what it promises."""


class Unable(Failure):
    """This host does not allow what the workload needs."""


class Stopped(Exception):
    """The main process was asked to end (SIGTERM, SIGINT)."""


class Channel:
    """A pipe shared by the family; each message is a line of integers, an empty one is a sign."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._read, self._write = family.keep(_pipe())
        os.set_blocking(self._read, False)  # a sign may go to another reader after the poll

    def send(self, *numbers: int) -> None:
        """Send one line; short enough to be atomic (PIPE_BUF)."""
        os.write(self._write, " ".join(map(str, numbers)).encode() + b"\n")

    def give(self, signs: int) -> None:
        """Send so many signs."""
        for _ in range(signs):
            self.send()

    def receive(self) -> list[int]:
        """Wait for one line; raises Failure when the family is ending. One reader of numbers only.

        Signs may have several readers, because a sign is one byte.
        """
        line = b""
        while not line.endswith(b"\n"):
            self._family.wait_readable(self._read)
            with contextlib.suppress(BlockingIOError):
                line += os.read(self._read, 1)
        return [int(number) for number in line.split()]

    def collect(self, signs: int) -> None:
        """Wait for so many signs."""
        for _ in range(signs):
            self.receive()

    def is_readable(self) -> bool:
        """True once something was sent that no process has read."""
        return bool(select.select([self._read], [], [], 0)[0])

    def descriptors(self) -> tuple[int, int]:
        """The reading and the writing end, for a program that is executed."""
        return self._read, self._write


class Family:
    """The main process and its descendants."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kept = contextlib.ExitStack()
        self._lifeline, self._keeps_alive = os.pipe()
        self._kept.callback(os.close, self._lifeline)
        self._trouble, self._make_trouble = self.keep(_pipe())
        self._is_main = True

    def channel(self) -> Channel:
        """A pipe that every process made from now on shares."""
        return Channel(self)

    def keep(self, resource: contextlib.AbstractContextManager[Resource]) -> Resource:
        """Enter a context that is left when all processes of the family have ended."""
        return self._kept.enter_context(resource)

    def fork(
        self,
        body: Callable[[], object],
        *,
        outlives: bool = False,
        make: Callable[[], int] = os.fork,
    ) -> int:
        """Make one process that runs `body` and ends; its number in the caller's namespace.

        `outlives` lets it live on when its parent dies; then it must be waiting for a message, or
        end by itself. `make` is the system call. Raises OSError as `make` does.
        """
        pid = fork_undisturbed(make)
        if pid == 0:
            self._run_child(body, outlives)
        return pid

    def refuse_fork(self, error: int, make: Callable[[], int] = os.fork) -> None:
        """Try to make a process; raises Failure unless the kernel refuses with this errno."""
        got = self.try_fork(make)
        check(got == error, f"fork: expected {_errno_name(error)}, got {_errno_name(got)}")

    def try_fork(self, make: Callable[[], int]) -> int:
        """Try to make a process that ends at once; the errno, or 0 if it was born (and reaped)."""
        try:
            pid = fork_undisturbed(make)
        except OSError as refused:
            return refused.errno or 0
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return 0

    def reap(self, *pids: int, killed_by: int = 0) -> None:
        """Wait for children in turn; raises Failure unless each ended well, or by the signal."""
        for pid in pids:
            _, status = os.waitpid(pid, 0)
            good = os.waitstatus_to_exitcode(status) == -killed_by
            check(good, f"child {pid} ended with wait status {status:#x}")

    def in_new_namespace(self, init: Callable[[], object]) -> None:
        """Make a PID namespace and its first process, and wait for the end of that."""
        syscalls.unshare_pid_namespace()
        self.reap(self.fork(init))

    def wait_readable(self, descriptor: int) -> None:
        """Wait until a descriptor can be read; raises Failure when the family is ending."""
        poll = select.poll()
        for watched in (descriptor, self._lifeline, self._trouble):
            poll.register(watched, select.POLLIN)
        ready = {number for number, _ in poll.poll()}
        if descriptor not in ready:
            raise Failure("")

    def hold(self, seconds: float | None, *, say: str = "") -> None:
        """Wait: so many seconds, or until SIGTERM or SIGINT, or the end of a standard input pipe.

        The program that reads what is printed may send a signal. Raises Failure if a process fails.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(Stopped):
            if say:
                print(say, flush=True)
            poll = select.poll()
            poll.register(self._trouble, select.POLLIN)
            if _is_pipe(0):
                poll.register(0, select.POLLIN)
            while deadline is None or time.monotonic() < deadline:
                left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
                ready = {number for number, _ in poll.poll(left)}
                if self._trouble in ready:
                    raise Failure("")
                if 0 in ready and not os.read(0, 4096):
                    return

    def end(self) -> bool:
        """End and reap whatever is left, then give back what was kept; True when none was left.

        Raises OSError as the contexts that were kept do.
        """
        left = _kill_children()
        os.close(self._keeps_alive)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        self._kept.close()
        return not left

    def _run_child(self, body: Callable[[], object], outlives: bool) -> NoReturn:
        """The life of a child: `body`, then the end; never returns into the parent's code."""
        code = 1
        try:
            self._enter_child(outlives)
            body()
            code = 0
        except Stopped:
            pass
        except BaseException as problem:
            self._tell(problem)
        finally:
            os._exit(code)

    def _enter_child(self, outlives: bool) -> None:
        """Tie the new process to the family; raises Failure if the family has ended already."""
        if self._is_main:
            os.close(self._keeps_alive)
            self._is_main = False
        if not outlives:
            syscalls.die_with_parent()
        # The parent may have died before that call; it only does so early when the main one did.
        poll = select.poll()
        poll.register(self._lifeline, select.POLLIN)
        if poll.poll(0):
            raise Failure("")

    def _tell(self, problem: BaseException) -> None:
        """Print what went wrong, once, and let the others know."""
        text = describe(problem)
        if text:
            sys.stderr.write(f"workload {self._name}: {text}\n")
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            os.write(self._make_trouble, b"!")


def fork_undisturbed(make: Callable[[], int] = os.fork) -> int:
    """Fork so that no child ever gets a stopping signal: the main process decides for all.

    Terminals and timeout(1) send it to the whole group. Raises OSError as `make` does.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    pid = -1
    try:
        pid = make()
        return pid
    finally:
        if pid == 0:
            for number in STOPPING:
                signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe that is closed again."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def stay(there: Channel, go: Channel) -> None:
    """Give a sign that this process is there, then wait for a sign."""
    there.send()
    go.receive()


def check(good: bool, otherwise: str) -> None:
    """Raise Failure unless good."""
    if not good:
        raise Failure(otherwise)


def refuse(error: int, call: Callable[[], object], what: str) -> None:
    """Make a call that must fail with this errno; raises Failure otherwise. Not for forks."""
    got = 0
    try:
        call()
    except OSError as refused:
        got = refused.errno or 0
    check(got == error, f"{what}: expected {_errno_name(error)}, got {_errno_name(got)}")


def describe(problem: BaseException) -> str:
    """One line for a problem; empty for a failure that another process has reported already."""
    if isinstance(problem, Failure):
        return str(problem)
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    text = f"{type(problem).__name__}: {problem}"
    if trace is None:
        return text
    return f"{text} (line {trace.tb_lineno} of {Path(trace.tb_frame.f_code.co_filename).name})"


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, str(number)) if number else "success"


def _is_pipe(descriptor: int) -> bool:
    """True for a pipe or socket: the end of /dev/null or of a terminal's input means nothing."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _kill_children() -> bool:
    """Kill the direct children that are left; True if there was one, dead or alive."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    for pid in _children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return True


def _children() -> list[int]:
    """The direct children of the calling process, from /proc (CONFIG_PROC_CHILDREN)."""
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    return []
