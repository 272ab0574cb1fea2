"""The files of one task in /proc, as bytes: pure parsers for what the kernel prints.

What does not have the kernel's form raises `ProcError`; a line that is cut is never taken for a
shorter number.
"""

from __future__ import annotations

import re

from pidscope.errors import ProcError
from pidscope.snapshot import Status, Zombie

_PID_DIGITS = 10  # of a 32-bit number
_LONG_DIGITS = 20  # of a 64-bit one: btime, total_forks, start_boottime
_PF_EXITING, _PF_KTHREAD = 0x00000004, 0x00200000  # include/linux/sched.h
_NS_KEYS = (b"pid", b"pgid", b"sid")  # after NStgid
NO_NS_LINES = "no NS lines (NStgid, NSpid, NSpgid, NSsid)"
NO_NS_HINT = """\
Linux prints a process's numbers since 4.1, with CONFIG_PID_NS. gVisor (runsc) and WSL 1, which \
stand in for Linux, do not print them, so that no number can be translated from inside
run pidscope on the host of the sandbox, or under WSL 2"""

# The two pieces of a status that hold PID lines, as every kernel since 4.1 orders them.
_NUMBER = rb"([0-9]{1,%d})\n" % _PID_DIGITS
_NUMBERS = rb"([0-9]{1,%d}(?:\t[0-9]{1,%d})*)\n" % (_PID_DIGITS, _PID_DIGITS)
_HEAD = re.compile(
    rb"Name:\t([^\n]*)\n(?:Umask:[^\n]*\n)?State:\t([A-Za-z])(?: [^\n]*)?\n"
    rb"Tgid:\t" + _NUMBER + rb"(?:Ngid:[^\n]*\n)?Pid:\t" + _NUMBER + rb"PPid:\t" + _NUMBER
)
_NS_LINES = re.compile(
    rb"\nNStgid:\t" + _NUMBERS + b"".join(rb"NS%s:\t" % it + _NUMBERS for it in _NS_KEYS)
)


def parse_status(data: bytes, path: str) -> Status:
    """Return the PID lines of one ``/proc/N/status``; raise ProcError, naming ``path``."""
    return _usual_status(data) or _any_status(data, path)


def _usual_status(data: bytes) -> Status | None:
    """Parse a status with its lines in the order of the kernels; None: another, or malformed.

    At a third of the cost of `_any_status`, and never with another result: no other lines than
    these may stand before the numbers, so each of them is the first of its name.
    """
    head = _HEAD.match(data)
    ns_lines = head and _NS_LINES.match(data, data.find(b"\nNS", head.end() - 1))
    if not head or not ns_lines:
        return None
    name, state, tgid, pid, ppid = head.groups()
    ns_tgid, ns_pid, ns_pgid, ns_sid = map(_numbers, ns_lines.groups())
    if not len(ns_tgid) == len(ns_pid) == len(ns_pgid) == len(ns_sid):
        return None
    return Status(
        name,
        state.decode("ascii"),
        int(ppid),
        int(tgid),
        int(pid),
        ns_tgid,
        ns_pid,
        ns_pgid,
        ns_sid,
    )


def _numbers(value: bytes) -> tuple[int, ...]:
    return (int(value),) if value.isdigit() else tuple(map(int, value.split(b"\t")))


def _any_status(data: bytes, path: str) -> Status:
    lines = _Lines(data, path)
    status = Status(
        name=lines.name(),
        state=lines.state(),
        tgid=lines.number(b"\nTgid:\t"),
        pid=lines.number(b"\nPid:\t"),
        ppid=lines.number(b"\nPPid:\t"),
        ns_tgid=lines.numbers(b"\nNStgid:\t", NO_NS_LINES),
        ns_pid=lines.numbers(b"\nNSpid:\t", NO_NS_LINES),
        ns_pgid=lines.numbers(b"\nNSpgid:\t", NO_NS_LINES),
        ns_sid=lines.numbers(b"\nNSsid:\t", NO_NS_LINES),
    )
    # One loop per line from the mount's level to the level of the task's struct pid: all agree.
    if len({len(numbers) for numbers in status[-4:]}) != 1:
        raise lines.error(b"\nNSsid:\t", "the NS lines differ in length")
    return status


def parse_zombie(data: bytes) -> Zombie | None:
    """Return what else matters of one ``/proc/N/status``; None: it is no zombie's."""
    if data.partition(b"\nState:\t")[2][:1] != b"Z":
        return None
    return Zombie(_number(data, b"\nThreads:\t"), _number(data, b"\nTracerPid:\t"))


def _number(data: bytes, key: bytes) -> int | None:
    """Return the number of a line; None: there is no such line, or it is cut."""
    value, end, _ = data.partition(key)[2].partition(b"\n")
    return int(value) if end and _is_number(value) else None


def parse_start_ticks(data: bytes, path: str) -> int:
    """Return field 22 of one ``/proc/N/stat`` (``do_task_stat()``); raise ProcError.

    comm stands raw in field 2 and may hold spaces, newlines and ``)``: the last ``)`` ends it.
    """
    fields = data[data.rfind(b")") + 1 :].split()
    if b")" not in data or len(fields) < 21 or not _is_number(fields[19], _LONG_DIGITS):
        raise ProcError(path, 1, _shown(data), "no start time in field 22")
    return int(fields[19])


def parse_is_kthread(data: bytes, path: str) -> bool:
    """Return whether field 9 of one ``/proc/N/stat`` is a kernel thread's; raise ProcError."""
    return bool(_flags(data, path) & _PF_KTHREAD)


def parse_is_exiting(data: bytes, path: str) -> bool:
    """Return whether field 9 of one ``/proc/N/stat`` has PF_EXITING; raise ProcError."""
    return bool(_flags(data, path) & _PF_EXITING)


def _flags(data: bytes, path: str) -> int:
    fields = data[data.rfind(b")") + 1 :].split()
    if b")" not in data or len(fields) < 7 or not _is_number(fields[6]):
        raise ProcError(path, 1, _shown(data), "no flags in field 9")
    return int(fields[6])


def parse_boottime_offset(data: bytes, path: str) -> int:
    """Return the offset in ns from ``/proc/N/timens_offsets``; raise ProcError.

    ``show_offset()`` (kernel/time/namespace.c): the seconds may be negative, what is added to
    them is not.
    """
    for number, line in enumerate(data.splitlines(), start=1):
        fields = line.split()
        if fields[:1] == [b"boottime"]:
            digits = [field.removeprefix(b"-") for field in fields[1:2]] + fields[2:]
            if len(digits) == 2 and all(map(_is_number, digits)):
                return int(fields[1]) * 1_000_000_000 + int(fields[2])
            raise ProcError(path, number, _shown(line), "not seconds and nanoseconds")
    raise ProcError(path, 1, _shown(data), "no boottime line")


def parse_pidfd_number(data: bytes, path: str) -> int:
    """Return ``Pid`` of a pidfd's ``/proc/N/fdinfo/FD``, 0: no number there; raise ProcError."""
    if b"\nPid:\t-1\n" in data:  # it is gone
        return 0
    return _Lines(b"\n" + data, path).number(b"\nPid:\t")


def unmangle(field: bytes) -> bytes:
    """Undo ``mangle()`` (fs/proc_namespace.c): space, tab, newline, backslash and # in octal.

    Of a field of mountinfo. Most have none, so the pattern is compiled for those that do.
    """
    if b"\\" not in field:
        return field
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), field)


def parse_boot_time(data: bytes, path: str) -> int:
    """Return ``btime`` of ``/proc/stat``, the boot in seconds since the epoch; raise ProcError."""
    return _Lines(b"\n" + data, path).number(b"\nbtime ", _LONG_DIGITS)


def parse_forks(data: bytes, path: str) -> int:
    """Return ``processes`` of ``/proc/stat``, the births since boot, also threads; raise ProcError.

    It is ``total_forks``, which ``copy_process()`` increments under tasklist_lock.
    """
    return _Lines(b"\n" + data, path).number(b"\nprocesses ", _LONG_DIGITS)


class _Lines:
    """Finds lines by their key; nothing else of the file is looked at.

    No line can be forged: the kernel escapes newlines in Name.
    """

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._path = path

    def name(self) -> bytes:
        end = self._data.find(b"\n")
        if not self._data.startswith(b"Name:\t") or end < 0:
            raise ProcError(self._path, 1, _shown(self._data[:80]), "no Name line at the start")
        return self._data[len(b"Name:\t") : end]

    def state(self) -> str:
        value = self._value(b"\nState:\t")
        if not value[:1].isalpha() or value[1:2] not in (b"", b" "):
            raise self.error(b"\nState:\t", "not a state letter")
        return value[:1].decode("ascii")

    def number(self, key: bytes, digits: int = _PID_DIGITS) -> int:
        value = self._value(key)
        if not _is_number(value, digits):
            raise self.error(key, "not a number")
        return int(value)

    def numbers(self, key: bytes, missing: str) -> tuple[int, ...]:
        values = self._value(key, missing).split(b"\t")
        if not all(map(_is_number, values)):
            raise self.error(key, "not numbers")
        return tuple(map(int, values))

    def error(self, key: bytes, reason: str) -> ProcError:
        start = self._data.find(key) + 1
        line = self._data[start:].partition(b"\n")[0]
        return ProcError(self._path, self._data.count(b"\n", 0, start) + 1, _shown(line), reason)

    def _value(self, key: bytes, missing: str = "") -> bytes:
        start = self._data.find(key)
        if start < 0:
            last = self._data.count(b"\n") + 1
            wanted = key.strip().decode("ascii")
            raise ProcError(self._path, last, "", missing or f"no {wanted} line")
        start += len(key)
        end = self._data.find(b"\n", start)
        if end < 0:
            raise self.error(key, "the line is cut")
        return self._data[start:end]


def _is_number(value: bytes, digits: int = _PID_DIGITS) -> bool:
    return value.isdigit() and len(value) <= digits


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
