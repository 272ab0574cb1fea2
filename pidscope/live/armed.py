"""Armed: the life stream goes on with no process, and the kernel keeps the latest lives.

Its programs and its slots are pinned: they have names in a BPF file system, and stay as long as
these do. A map beside them, ``about``, says what they are, as JSON: the layout of the records,
since when, by which version. The names are made in a directory of another name first, which is
then renamed: what is armed is whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from pidscope.errors import HostError, NotKnown, UsageError
from pidscope.live import bpf_call
from pidscope.live.compiled import Map
from pidscope.live.life_job import DEEP
from pidscope.live.life_program import LifeProgram, Stream
from pidscope.live.misses import recursion_misses
from pidscope.live.refused import explain
from pidscope.live.slots import SlotRows
from pidscope.wire.lives import CLASSES, LIFE_LAYOUT, Class

BPF_FS = "/sys/fs/bpf"
_ABOUT_BYTES = 4096
_ARRAY = 2  # BPF_MAP_TYPE_ARRAY
_ABOUT = Map("about", _ARRAY, 4, _ABOUT_BYTES, 1, 0)


def arm(program: LifeProgram, about: Mapping[str, Any], place: str = BPF_FS) -> None:
    """Pin a program that uses slots, with what is said of it; raises HostError, UsageError."""
    _expect_bpf_fs(place)
    if os.path.lexists(f"{place}/pidscope"):
        raise UsageError("this host is armed already", "pidscope disarm ends that")
    if not program.slots:
        raise HostError(
            "this kernel cannot be armed: its programs have no atomic addition that returns",
            "Linux 5.12 and newer have it; pidscope record works here",
        )
    private = f"{place}/pidscope-{os.urandom(8).hex()}"  # the kernel allows no dot in names
    try:
        os.mkdir(private, 0o700)  # noqa: PTH102 (pathlib takes a while to import)
        program.pin(private)
        _pin_about(f"{private}/about", about)
        os.rename(private, f"{place}/pidscope")  # noqa: PTH104
    except OSError as error:
        _remove(private)
        raise HostError(f"this kernel refuses to keep it in {place}: {explain(error)}") from error


def disarm(place: str = BPF_FS) -> bool:
    """Take everything out of the kernel; return whether something was there. Raises HostError."""
    path = f"{place}/pidscope"
    if not os.path.lexists(path):
        return False
    try:
        _remove(path)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    return True


def read_about(place: str = BPF_FS) -> dict[str, Any] | None:
    """Return what is said of what is armed; None: nothing is. Raises HostError."""
    try:
        fd = bpf_call.get(f"{place}/pidscope/about")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{place}/pidscope: {explain(error)}") from error
    try:
        content = ctypes.create_string_buffer(_ABOUT_BYTES)
        bpf_call.look_up(fd, 0, content)
    finally:
        os.close(fd)
    try:
        found = json.loads(content.value)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


class ArmedLives:
    """The lives that the kernel has kept.

    Raises:
        NotKnown: nothing is armed. HostError: it may not be read, or is of another layout.

    Attributes:
        about: what was said of it.
    """

    def __init__(self, place: str = BPF_FS) -> None:
        about = read_about(place)
        if about is None:
            raise NotKnown("nothing was recording: this host is not armed", "pidscope arm, as root")
        if about.get("layout") != LIFE_LAYOUT:
            raise HostError(
                f"this host was armed by pidscope {about.get('pidscope')}, whose records have "
                f"layout {about.get('layout')}; this one reads layout {LIFE_LAYOUT}",
                "pidscope disarm takes it away; the version that armed it can read it before",
            )
        self.about = about
        self._place = place
        lives = about.get("lives")
        self._rows: list[SlotRows] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            for of in CLASSES:
                if not of.births:
                    capacity = DEEP if of.name.endswith("_deep") else int(lives or 0)
                    self._rows.append(_opened(f"{place}/pidscope", of, capacity))
            undo.pop_all()

    def take(self) -> list[tuple[Class, bytes]]:
        """Return the lives that are there, class by class, the earliest first."""
        return [(each.of, run) for each in self._rows for run in each.take()]

    @property
    def overwritten(self) -> list[Class]:
        """The classes of which some are not there any more."""
        return [each.of for each in self._rows if each.overwritten]

    def skipped(self) -> int:
        """Return how many runs of its programs the kernel skipped; raises HostError."""
        directory = f"{self._place}/pidscope"
        names = (it for it in sorted(os.listdir(directory)) if it.endswith("_program"))  # noqa: PTH208
        return sum(_misses(f"{directory}/{name}") for name in names)

    def close(self) -> None:
        """Unmap everything; the kernel goes on."""
        while self._rows:
            self._rows.pop().close()


def _opened(directory: str, of: Class, capacity: int) -> SlotRows:
    with _descriptors(directory, of) as (slots, sequences, cursor):
        stream = Stream(of, slots, sequences, cursor, capacity, capacity * of.size)
        try:
            return SlotRows(stream, all_there=True)
        except (OSError, ValueError) as error:  # of another size than it is said to be
            raise HostError(f"{directory}/{of.name} cannot be read: {error}") from error


@contextlib.contextmanager
def _descriptors(directory: str, of: Class) -> Iterator[list[int]]:
    found: list[int] = []
    try:
        for name in (of.name, f"{of.name}_sequences", f"{of.name}_cursor"):
            found.append(bpf_call.get(f"{directory}/{name}"))
        yield found
    except OSError as error:
        raise HostError(f"{directory}: {explain(error)}") from error
    finally:
        for fd in found:
            os.close(fd)


def _misses(path: str) -> int:
    try:
        fd = bpf_call.get(path)
    except OSError as error:
        raise HostError(f"{path}: {explain(error)}") from error
    try:
        return recursion_misses(fd) or 0
    finally:
        os.close(fd)


def _pin_about(path: str, about: Mapping[str, Any]) -> None:
    text = json.dumps({**about, "layout": LIFE_LAYOUT}).encode()
    fd = bpf_call.create_map(_ABOUT)
    try:
        bpf_call.update(fd, 0, text.ljust(_ABOUT_BYTES, b"\0"))
        bpf_call.pin(fd, path)
    finally:
        os.close(fd)


def _remove(directory: str) -> None:
    """Remove the names, links first, so that no program runs whose slots are half gone."""
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(directory), key=lambda it: not it.startswith("link_")):  # noqa: PTH208
            os.unlink(f"{directory}/{name}")  # noqa: PTH108
        os.rmdir(directory)  # noqa: PTH106


def _expect_bpf_fs(place: str) -> None:
    """Raise HostError unless a BPF file system is mounted there."""
    for line in _mounts():
        fields = line.split()
        if fields[1:3] == [os.fsencode(place), b"bpf"]:
            return
    raise HostError(
        f"no BPF file system is mounted at {place}", f"mount -t bpf bpf {place}, as root"
    )


def _mounts() -> list[bytes]:
    from pidscope.host.proc_files import read_whole

    return (read_whole("/proc/self/mounts") or b"").splitlines()
