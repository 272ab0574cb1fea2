"""The directory of a recording that goes on: files that are named by their order and their times.

``000000000042-20261130T140305.123Z-20261130T150305.123Z.seg`` is sealed; the one that is being
written has no second time, and ends in ``.open``. Names alone tell which files a time falls into:
within a file the wall clock makes no step, because a step begins a new one.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from pidscope.errors import HostError, NotKnown

OPEN, SEALED = "open", "seg"
_TIME = r"\d{8}T\d{6}\.\d{3}Z"
_NAME = rf"(\d{{12}})-({_TIME})(?:-({_TIME}))?\.({OPEN}|{SEALED})"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MS = 1_000_000


class Segment(NamedTuple):
    """A file of a ring, by its name; times are the wall clock's in ns."""

    sequence: int
    first_ns: int  # rounded down to a millisecond
    last_ns: int | None  # rounded up; None: it is being written, or its writer died
    path: str

    @property
    def sealed(self) -> bool:
        """Whether nothing is added to it any more."""
        return self.last_ns is not None


def segment_name(sequence: int, first_ns: int, last_ns: int | None = None) -> str:
    """Return the name of a file."""
    end = "" if last_ns is None else f"-{_stamp(-(-last_ns // _MS))}"
    return f"{sequence:012d}-{_stamp(first_ns // _MS)}{end}.{SEALED if end else OPEN}"


def list_segments(directory: str) -> list[Segment]:
    """Return the files of a ring in their order; other files are none of it.

    Of one that is there twice, because its writer died between sealing and removing, the sealed one
    counts. Raises NotKnown: there is no ring; HostError: it may not be read.
    """
    try:
        names = os.listdir(directory)  # noqa: PTH208 (pathlib takes a while to import)
    except FileNotFoundError:
        raise NotKnown(
            f"nothing was recording: there is no {directory}",
            "record from now on, as root: pidscope record --ring",
        ) from None
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}") from None
    found: dict[int, Segment] = {}
    for name in sorted(names, reverse=True):  # .seg after .open
        segment = _parsed(directory, name)
        if segment is not None and (segment.sealed or segment.sequence not in found):
            found[segment.sequence] = segment
    return [found[sequence] for sequence in sorted(found)]


def is_written(directory: str) -> bool:
    """Whether a process records into a ring now."""
    import fcntl  # which look-ups do without

    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def list_leftovers(directory: str) -> list[str]:
    """Return the paths of what a writer left that died while it sealed a file; raises OSError.

    That is what it had of the sealed file, under a private name, or the open file beside it.
    """
    found = []
    sealed = {it.sequence for it in list_segments(directory) if it.sealed}
    for name in os.listdir(directory):  # noqa: PTH208
        segment = _parsed(directory, name)
        is_twice = segment is not None and not segment.sealed and segment.sequence in sealed
        if is_twice or re.fullmatch(rf"{_NAME}\.[0-9a-f]{{16}}", name):
            found.append(f"{directory}/{name}")
    return found


def _parsed(directory: str, name: str) -> Segment | None:
    match = re.fullmatch(_NAME, name)
    if match is None:
        return None
    sequence, first, last, suffix = match.groups()
    if (last is None) != (suffix == OPEN):
        return None
    try:
        times = [None if it is None else _time_ns(it) for it in (first, last)]
    except ValueError:  # month 13
        return None
    return Segment(int(sequence), times[0] or 0, times[1], f"{directory}/{name}")


def _stamp(ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=ms)
    return f"{moment:%Y%m%dT%H%M%S}.{ms % 1000:03d}Z"


def _time_ns(stamp: str) -> int:
    moment = datetime.strptime(stamp[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    return (int(moment.timestamp()) * 1000 + int(stamp[16:19])) * _MS
