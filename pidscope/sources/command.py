"""What runs beside a command: the CMD after ``--``, and the signals that end both."""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from pidscope.errors import HostError, UsageError
from pidscope.host.proc import ProcFs
from pidscope.session.session import Session

_GRACE_S = 3  # from SIGTERM to SIGKILL
POLL_MS = 100  # the ring holds 25,000 lives, and each wake-up finds cold caches
IDLE_MS = 1000  # where nothing happens; tracepoint mode reads all tasks as often


class Stop:
    """Set by the first SIGINT or SIGTERM, so that a command can end in order.

    A second one, and one before there is anything to end in order, raises KeyboardInterrupt with
    the signal's number.
    """

    def __init__(self) -> None:
        self.asked = False
        self._begun = False
        self.fd, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def begin(self) -> None:
        """From here on the first signal is only noted."""
        self._begun = True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self._begun:
            raise KeyboardInterrupt(number)
        self.asked = True
        os.write(self._writer, b".")  # a poll() goes on after a signal

    @contextlib.contextmanager
    def listening(self) -> Iterator[Stop]:
        """Listen to both signals until left."""
        before = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self.fd)
            os.close(self._writer)


class Reader:
    """The other end of standard output."""

    def __init__(self) -> None:
        self._poll = select.poll()
        with contextlib.suppress(ValueError, OSError):  # closed, or not a file
            self._poll.register(sys.stdout.fileno(), 0)  # POLLERR and POLLHUP come unasked

    def wait(self) -> None:
        """Let `POLL_MS` pass; raise BrokenPipeError if no process reads the output any more."""
        self._expect_reader(self._poll.poll(POLL_MS))

    def wait_for(self, fds: Sequence[int], longest_ms: float) -> list[int]:
        """The same, but until one of these can be read, at the most so long; returns which can."""
        for fd in fds:
            self._poll.register(fd, select.POLLIN)
        try:
            happened = self._poll.poll(longest_ms)
        finally:
            for fd in fds:
                self._poll.unregister(fd)
        self._expect_reader([one for one in happened if one[0] not in fds])
        return [fd for fd, _ in happened if fd in fds]

    def _expect_reader(self, happened: Sequence[tuple[int, int]]) -> None:
        if any(how & select.POLLERR for _, how in happened):
            raise BrokenPipeError


def expect_command(command: Sequence[str]) -> None:
    """Raise UsageError for a CMD that cannot be run, before anything costly is done for it."""
    name = command[0]
    if shutil.which(name) is None:
        folders = [""] if "/" in name else os.get_exec_path()
        there = any(Path(folder, name).exists() for folder in folders)
        reason = os.strerror(errno.EACCES if there else errno.ENOENT)
        raise UsageError(f"cannot run {name!r}: {reason}")


@contextlib.contextmanager
def spawned(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run CMD; it has ended when this context is left, also after an error.

    Its standard output goes to our standard error: our own is the stream, and may be JSON.

    Raises:
        UsageError: it cannot be started.
    """
    stderr = sys.stderr.fileno()
    try:
        child = subprocess.Popen(command, stdout=stderr)
    except OSError as error:
        raise UsageError(f"cannot run {command[0]!r}: {error.strerror}") from error
    try:
        yield child
    finally:
        if child.poll() is None:
            _end(child)
        child.wait()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End CMD and its descendants, which a signal to CMD alone would not reach.

    If /proc has the numbers of another namespace, a signal would reach another process: then CMD
    alone is ended.
    """
    import psutil  # slow to import, and hardly ever needed

    tree: list[psutil.Process | subprocess.Popen[bytes]] = [child]
    if _proc_is_ours():  # and CMD is not waited for yet, so it is there
        tree += psutil.Process(child.pid).children(recursive=True)
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE_S)
        return
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _proc_is_ours() -> bool:
    try:
        return ProcFs().mount().inside is None
    except HostError:
        return False


def seconds(text: str) -> float:
    """Return a duration of the command line, for argparse: a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"not a number above 0: {text!r}")
    return value


def status(returncode: int) -> int:
    """Return a return code as a shell does: 128 + N for a death by signal N."""
    return returncode if returncode >= 0 else 128 - returncode


def warn_head(title: str, session: Session) -> int:
    """Print on standard error how many tasks the watch starts from; return that number."""
    assert session.table is not None
    tasks = sum(1 for _ in session.table.tasks())
    warn_tasks(title, tasks)
    return tasks


def warn_tasks(title: str, tasks: int) -> None:
    """Print on standard error what is watched, and how many tasks it starts from."""
    print(f"pidscope: {title}, from {tasks} tasks on", file=sys.stderr)


def warn_missing(missing: Iterable[str]) -> None:
    """Print on standard error what a watch cannot observe."""
    for what in missing:
        print(f"pidscope: cannot observe {what}", file=sys.stderr)


_GAPS_SHOWN = 10


def warn_gaps(session: Session) -> None:
    """Print on standard error where the stream was interrupted, and what it lacks."""
    refused = [session.iterator_refused] if session.iterator_refused else []
    faults = session.ungrammatical[:_GAPS_SHOWN]
    more = session.faults.count(session.skipped) - len(faults)
    for line in (
        *(f"the task iterator failed, so /proc was read: {why}" for why in refused),
        *(f"the stream was interrupted: {reason}" for reason in session.broken),
        *(f"the stream is not complete: {fault}" for fault in faults),
        *([f"the stream is not complete in {more} more places"] if more > 0 else []),
    ):
        print(f"pidscope: {line}", file=sys.stderr)
