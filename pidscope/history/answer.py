"""What a recording answers when it is asked which task had a number at some time.

Times are CLOCK_BOOTTIME in ns, of the boot that the answer names. A bare number is one in the
initial PID namespace.

Annotations are values here, not strings: typing.NamedTuple compiles each string by itself, which
every command would wait for.
"""

from typing import NamedTuple, Optional


class Holder(NamedTuple):
    """A task that had the number.

    What can change while a task lives stands as it was at ``facts_ns``: at the task's end, or when
    a snapshot was taken. At another time it may have been something else.
    """

    boot_id: str
    numbers: tuple[Optional[int], ...]  # from the initial namespace inwards; None: not known
    inums: tuple[int, ...]  # of the namespaces
    tgid: int
    start_ns: Optional[int]  # None: not known, of a thread that called exec
    end_ns: Optional[int]  # of its exit; None: it lived when the recording was last written
    status: Optional[int]  # as wait() gives it; None: not known, or not ended
    facts_ns: int
    comm: bytes
    ppid: Optional[int]  # thread group of the parent; None: not known, as the next ones
    pgid: Optional[int]
    sid: Optional[int]
    uid: Optional[int]  # the real one, in the initial user namespace; None: not recorded
    cgroup_id: int  # 0: not recorded; from `NO_CGROUP_IDS` on what stands for a cgroup

    @property
    def is_thread(self) -> bool:
        """Whether it is no process's leader."""
        return self.numbers[0] != self.tgid

    @property
    def signal(self) -> int:
        """The signal that ended it; 0: none did, or it is not known."""
        return (self.status or 0) & 0x7F

    @property
    def exit_status(self) -> Optional[int]:
        """What exit() was given; None: a signal ended it, or it is not known."""
        return None if self.status is None or self.signal else self.status >> 8 & 0xFF


NO_CGROUP_IDS = 1 << 63  # from here on no kernel has an id of a cgroup
# Why something is not known.
NOT_RECORDING = "nothing was recording"
GONE = "nothing was recording, or its file is gone"
ENDS = "the record ends"
NO_THREADS = "threads are not recorded"


class Gap(NamedTuple):
    """A stretch of time of which the recording does not know everything."""

    boot_id: str  # empty: it is no stretch of a boot, but the question that has no answer
    first_ns: int
    last_ns: Optional[int]  # None: to the end of the boot
    reason: str  # such as "nothing was recording"


class Answer(NamedTuple):
    """All that may have had the number at some moment of the time asked for.

    One holder is the answer, several are ambiguous, and without any no task had the number then;
    unless there is a ``gap``, which is why that is not known: there may be another holder.
    """

    holders: tuple[Holder, ...]
    gap: Optional[Gap] = None
