"""``/proc/N/stat`` and ``/proc/stat``, held against plain second readers."""

from __future__ import annotations

import re
from functools import partial

from pidscope.errors import ProcError
from pidscope.host.proc_parse import parse_boot_time, parse_forks, parse_start_ticks
from pidscope_dev.fuzz.target import Target, agrees

_NUMBER = rb"[0-9]{1,20}"  # of 64 bits
# Behind the last parenthesis stand fields 3 to 22, and at least one more: 22 is whole.
_START = re.compile(rb"(?s:.*)\)\s*(?:[^\s)]+\s+){19}(%b)\s+[^\s)][^)]*" % _NUMBER)


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
            return int(value) if re.fullmatch(_NUMBER, value) else None
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
