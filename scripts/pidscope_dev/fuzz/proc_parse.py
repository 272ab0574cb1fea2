"""``/proc/N/status``, ``/proc/N/stat`` and ``/proc/stat``, held against plain second readers."""

from __future__ import annotations

import re
from functools import partial

from pidscope.errors import ProcError
from pidscope.host.proc_parse import parse_boot_time, parse_forks, parse_start_ticks, parse_status
from pidscope.snapshot import Status
from pidscope_dev.fuzz.target import Target, agrees

_NUMBER = rb"[0-9]{1,10}"
_ONE_NUMBER = (b"PPid", b"Tgid", b"Pid")
_ONE_A_LEVEL = (b"NStgid", b"NSpid", b"NSpgid", b"NSsid")
_DIGITS = re.compile(_NUMBER)
_STATE = re.compile(rb"([A-Za-z])(?: .*)?")
_SOME = re.compile(rb"%b(?:\t%b)*" % (_NUMBER, _NUMBER))
_NUMBER_64 = rb"[0-9]{1,20}"  # of 64 bits
# Behind the last parenthesis stand fields 3 to 22, and at least one more: 22 is whole.
_START = re.compile(rb"(?s:.*)\)\s*(?:[^\s)]+\s+){19}(%b)\s+[^\s)][^)]*" % _NUMBER_64)


def check_status(data: bytes) -> bool:
    """Accept exactly what the plain reader accepts, with the same values."""
    lines = data.count(b"\n") + 1
    return agrees(
        lambda: parse_status(data, "/proc/5/status"), plain_status(data), ProcError, lines
    )


def plain_status(data: bytes) -> Status | None:
    """Read line by line; None for what is not the kernel's form."""
    first, *lines = data.split(b"\n")[:-1] or [b""]
    fields: dict[bytes, bytes] = {}
    for line in lines:
        key, _, value = line.partition(b":\t")
        if len(key) < len(line):
            fields.setdefault(key, value)
    state = _STATE.fullmatch(fields.get(b"State", b""))
    one = [_integers(_DIGITS, fields.get(key)) for key in _ONE_NUMBER]
    some = [_integers(_SOME, fields.get(key)) for key in _ONE_A_LEVEL]
    if not first.startswith(b"Name:\t") or state is None or not all(one + some):
        return None
    if len(set(map(len, some))) != 1:
        return None
    ppid, tgid, pid = (numbers[0] for numbers in one)
    return Status(first[6:], state[1].decode("ascii"), ppid, tgid, pid, *some)


def _integers(form: re.Pattern[bytes], value: bytes | None) -> tuple[int, ...]:
    if value is None or not form.fullmatch(value):
        return ()
    return tuple(map(int, value.split(b"\t")))


def repair(data: bytes) -> bytes:
    """Put back the lines that are missing or damaged, with as many levels as NStgid has."""
    lines = data.split(b"\n")[:-1] or [b"Name:\t"]
    if not lines[0].startswith(b"Name:\t"):
        lines.insert(0, b"Name:\tx")
    found = {line.partition(b":\t")[0]: place for place, line in reversed([*enumerate(lines)])}
    depth = max(lines[found.get(b"NStgid", 0)].count(b"\t"), 1)
    some = b"\t".join([b"5"] * depth)
    needed = [(key, b"5") for key in _ONE_NUMBER] + [(key, some) for key in _ONE_A_LEVEL]
    for key, value in [(b"State", b"S"), *needed]:
        line = key + b":\t" + value
        place = found.get(key)
        if place is None:
            lines.append(line)
        elif not _like(line, lines[place]):
            lines[place] = line
    return b"\n".join([*lines, b""])


def _like(line: bytes, other: bytes) -> bool:
    """Whether both have a letter or as many numbers."""
    return _DIGITS.sub(b"0", line) == _DIGITS.sub(b"0", other) or other.startswith(b"State:\tS")


def _text(name: bytes, depth: int) -> bytes:
    numbers = b"\t".join(b"%d" % (50 - level) for level in range(depth))
    lines = [
        *(b"Name:\t" + name, b"Umask:\t0022", b"State:\tS (sleeping)", b"Tgid:\t50", b"Ngid:\t0"),
        *(b"Pid:\t50", b"PPid:\t4", b"TracerPid:\t0", b"Uid:\t0\t0\t0\t0", b"Groups:\t0 "),
        *(key + b":\t" + numbers for key in _ONE_A_LEVEL),
    ]
    return b"\n".join((*lines, b"Kthread:\t0", b""))


STATUS = Target(
    "status",
    check_status,
    seeds=(_text(b"nginx", 1), _text(b"a\\nPid:\t1", 2), _text(b"", 33)),
    words=tuple(
        b"\n" + key
        for key in (b"Name:\t", b"State:\t", b"Tgid:\t", b"PPid:\t", b"NSpid:\t1", b"NSsid:\t", b"")
    ),
    repair=repair,
    max_bytes=1024,
)


def check_stat(data: bytes) -> bool:
    """Accept exactly what the expression accepts, with the same number."""
    expected = plain_start_ticks(data)
    return agrees(lambda: parse_start_ticks(data, "/proc/5/stat"), expected, ProcError)


def plain_start_ticks(data: bytes) -> int | None:
    """Find field 22 by one expression."""
    match = _START.fullmatch(data)
    return None if match is None else int(match[1])


def check_proc_stat(data: bytes) -> bool:
    """Accept exactly what the plain reader accepts, for both lines that are looked for."""
    lines = data.count(b"\n") + 2
    answers = [
        agrees(partial(parse, data, "/proc/stat"), plain_proc_stat(data, key), ProcError, lines)
        for key, parse in ((b"btime", parse_boot_time), (b"processes", parse_forks))
    ]
    return any(answers)


def plain_proc_stat(data: bytes, key: bytes) -> int | None:
    """Read line by line; the first whole line of that key decides."""
    for line in data.split(b"\n")[:-1]:
        name, space, value = line.partition(b" ")
        if name == key and space:
            return int(value) if re.fullmatch(_NUMBER_64, value) else None
    return None


def _stat(comm: bytes, ticks: int) -> bytes:
    fields = b" ".join([b"S", *[b"0"] * 18, b"%d" % ticks, *[b"0"] * 30])
    return b"5 (" + comm + b") " + fields + b"\n"


STAT = Target(
    "stat",
    check_stat,
    seeds=(_stat(b"bash", 4711), _stat(b"a) S 1 (\n", 0), _stat(b"", (1 << 64) - 1)),
    words=(b") ", b" (", b" 1", b"\n"),
    max_bytes=1024,
)

PROC_STAT = Target(
    "proc-stat",
    check_proc_stat,
    seeds=(
        b"cpu  1 2 3 4\ncpu0 1 2 3 4\nintr 5 0 0\nctxt 9\nbtime 1700000000\nprocesses 4711\n",
        b"btime 0\nprocesses 18446744073709551615\nprocs_running 1\n",
    ),
    words=(b"\nbtime ", b"\nprocesses ", b"\n", b"1"),
    max_bytes=512,
)
