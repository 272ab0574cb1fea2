"""The files of a /proc mount that `ProcFs` takes apart itself, below a root made for it."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from pathlib import Path

from pidscope.errors import HostError
from pidscope.host.proc import ProcFs
from pidscope_dev.fuzz.proc_parse import STAT, STATUS, plain_start_ticks, plain_status
from pidscope_dev.fuzz.target import Target

_PAGE = 4096  # all that is read of a file that no line ends
_LINK = re.compile(rb"pid:\[([0-9]+)\]")
_FILES = ("loadavg", "sys/kernel/random/boot_id", "7/status", "7/stat")
_LINKS = ("7/ns/pid", "self")


@functools.cache
def _made() -> tempfile.TemporaryDirectory[str]:
    """The root, which goes away with the process."""
    made = tempfile.TemporaryDirectory(prefix="pidscope-fuzz-")
    for name in (*_FILES, *_LINKS):
        Path(made.name, name).parent.mkdir(parents=True, exist_ok=True)
    return made


def check(data: bytes) -> bool:
    """The first byte names the file or the link that has the other bytes in it."""
    names = (*_FILES, *_LINKS)
    name, content = names[data[0] % len(names) if data else 0], data[1:]
    path = Path(_made().name, name)
    path.unlink(missing_ok=True)
    try:
        _write(path, name, content)
    except (OSError, ValueError):  # no file system holds such a link
        return False
    try:
        return _ask(ProcFs(Path(_made().name)), name, content)
    finally:
        path.unlink()


def _write(path: Path, name: str, content: bytes) -> None:
    if name in _LINKS:
        path.symlink_to(os.fsdecode(content))
    else:
        path.write_bytes(content)


def _ask(proc: ProcFs, name: str, content: bytes) -> bool:
    """Ask for what stands in this file; True if there was an answer, which is the right one."""
    answer, expected = {
        "loadavg": (proc.last_pid, _last_pid),
        "sys/kernel/random/boot_id": (proc.boot_id, _boot_id),
        "7/status": (lambda: proc.read_status(7), lambda text: plain_status(_as_read(text))),
        "7/stat": (lambda: proc.start_ticks(7), lambda text: plain_start_ticks(text[:_PAGE])),
        "7/ns/pid": (lambda: proc.pid_ns(7), _inum),
        "self": (lambda: proc.mount(), lambda text: None),
    }[name]
    try:
        given = answer()
    except HostError:
        given = None
    assert given == expected(content), f"{name}: {given}"
    return given is not None


def _as_read(status: bytes) -> bytes:
    """A page of it, or all if the last of the lines that are parsed does not end in the first."""
    page = status[:_PAGE]
    return page if re.search(rb"\nNSsid:\t[^\n]*\n", page) else status


def _last_pid(text: bytes) -> int | None:
    fields = re.fullmatch(rb"\s*(?:\S+\s+){4}([0-9]+)\s*", text[:_PAGE])
    return None if fields is None else int(fields[1])


def _boot_id(text: bytes) -> str:
    return text[:_PAGE].decode("ascii", "replace").strip()


def _inum(link: bytes) -> int | None:
    match = _LINK.fullmatch(link)
    return None if match is None else int(match[1])


def _seed(name: str, content: bytes) -> bytes:
    return bytes([(*_FILES, *_LINKS).index(name)]) + content


def _in_many_groups(status: bytes) -> bytes:
    """A status file whose PID lines do not come with the first page."""
    return status.replace(b"Groups:\t0 ", b"Groups:\t" + b"1000 " * (_PAGE // 5))


PROCFS = Target(
    "procfs",
    check,
    seeds=(
        _seed("loadavg", b"0.25 0.50 1.00 2/345 6789\n"),
        _seed("sys/kernel/random/boot_id", b"5f0c1c4e-8a3e-4a2e-9d7e-2f4b5c6d7e8f\n"),
        _seed("7/ns/pid", b"pid:[4026531836]"),
        _seed("7/status", _in_many_groups(STATUS.seeds[1])),
        _seed("7/stat", STAT.seeds[1]),
    ),
    max_bytes=2 * _PAGE,
    words=(b"pid:[", b"]", b"\xc2\xb2", b"7", b" ", b"\n"),
)
