"""The tasks that ended on this host, as its ring has them, for a look-up of now."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cached_property

from pidscope.errors import PidscopeError
from pidscope.history.recording import Recording
from pidscope.host.proc_files import read_boot_id
from pidscope.query.ended import Life
from pidscope.wire import lives as wire

_MOST = 5  # of one number


class RingRecord:
    """A `pidscope.query.ended.History`: the latest lives of this boot that had a number.

    Args:
        path: the ring's directory, which is opened when it is asked.
    """

    is_slow = True

    def __init__(self, path: str) -> None:
        self._path = path

    @cached_property
    def _recording(self) -> Recording | None:
        try:
            return Recording(self._path)
        except (PidscopeError, OSError):
            return None

    @property
    def missing(self) -> str:
        """Why it may not know what had a number: it never has all."""
        recording = self._recording
        if recording is None:
            return f"nothing can be read of {self._path}"
        try:
            first_ns = recording.reach().first_ns
        except PidscopeError as error:
            return str(error)
        first = datetime.fromtimestamp(first_ns // 10**9, timezone.utc).astimezone()
        return f"none that ended since {first:%Y-%m-%d %H:%M:%S} had it"

    def lives(self, ns: int, number: int) -> tuple[Life, ...]:
        """Return the lives that had a number in the namespace with this inum, the latest first."""
        recording, boot_id = self._recording, read_boot_id()
        found: list[Life] = []
        for boot, life in () if recording is None else recording.having(ns, number):
            if len(found) == _MOST or boot != boot_id:
                break
            made = _life(life, ns)
            if made is not None:
                found.append(made)
        return tuple(found)


def _life(life: wire.Life, ns: int) -> Life | None:
    """Return the life of a process; of a thread only what counts where its process is known."""
    numbers = [number for number in life.numbers if number is not None]
    is_process = life.kind is wire.LifeKind.PROCESS
    if len(numbers) < len(life.numbers) or not (is_process or ns == life.inums[0]):
        return None
    if life.kind is wire.LifeKind.LEADER:  # its process's end is another
        return None
    return Life(
        inums=life.inums,
        numbers=tuple(numbers),
        tgids=tuple(numbers) if is_process else (life.tgid,),
        comm=life.comm,
        start_ns=life.start_ns,
        exited_ns=life.end_ns,
        released_ns=None,
        exit_code=life.status,
    )
