"""Lines of logs, which any program may have written: the numbers in them, and their times."""

from __future__ import annotations

import json
from typing import Any

from pidscope.history.logs.audit import parse as parse_audit
from pidscope.history.logs.journal import parse as parse_journal
from pidscope.history.logs.line import Parsed
from pidscope_dev.fuzz.target import Target

_DIGITS = frozenset(b"0123456789")


def _check_places(data: bytes, parsed: Parsed) -> list[int]:
    """Each number stands where it is said to, and may be a PID; return them."""
    for it in parsed.mentions:
        assert int(data[it.first : it.end]) == it.number
        assert 0 < it.number <= 4 << 20
    assert parsed.moment is None or parsed.moment.first_ns <= parsed.moment.last_ns
    return [it.number for it in parsed.mentions]


def _is_number(text: bytes, most: int) -> bool:
    return 0 < len(text) <= most and _DIGITS.issuperset(text)


def check_audit(data: bytes) -> bool:
    """The same numbers and the same second as a plain reader has."""
    parsed = parse_audit(data)
    numbers = _check_places(data, parsed)
    second, expected = plain_audit(data)
    assert numbers == expected
    if numbers:
        assert parsed.moment is not None
        assert parsed.moment.first_ns // 1_000_000_000 == second
    return bool(numbers)


def plain_audit(data: bytes) -> tuple[int, list[int]]:
    """Read a record word by word: its second, and the numbers."""
    rest = data
    if rest.startswith(b"node="):
        node, space, rest = rest[5:].partition(b" ")
        if not space or node.split() != [node]:
            return 0, []
    rest = rest[len(b"audit: ") :] if rest.startswith(b"audit: ") else rest
    if not rest.startswith(b"type="):
        return 0, []
    kind, _, rest = rest[5:].partition(b" ")
    rest = rest[4:] if rest.startswith(b"msg=") else rest
    stamp, _, fields = rest[6:].partition(b"):")
    seconds, _, after = stamp.partition(b".")
    fraction, _, serial = after.partition(b":")
    is_stamp = _is_number(seconds, 10) and len(fraction) == 3 and _is_number(fraction, 3)
    if not (is_stamp and _is_number(serial, 4096) and rest.startswith(b"audit(")):
        return 0, []
    if kind.split() != [kind] or not fields.startswith(b" "):
        return 0, []
    words = [word.partition(b"=") for word in fields.partition(b" msg='")[0][1:].split(b" ")]
    of_tasks = [value for name, _, value in words if name in (b"pid", b"ppid", b"opid")]
    found = [int(it) for it in of_tasks if _is_number(it, 7) and 0 < int(it) <= 4 << 20]
    return int(seconds), found


AUDIT = Target(
    "audit",
    check_audit,
    seeds=(
        b"type=SYSCALL msg=audit(1764511385.123:456): arch=c000003e ppid=4200 pid=4242 auid=0",
        b'node=web1 type=OBJ_PID msg=audit(1764511385.123:4): opid=17 oauid=-1 ocomm="x"',
        b"type=USER_CMD msg=audit(1764511385.123:460): pid=900 uid=1 msg='cwd=\"/\" pid=1 res=x'",
        b'audit: type=1400 audit(1764511385.123:45): apparmor="DENIED" pid=42 comm="x"',
    ),
    words=(
        *(b" ", b"=", b"pid=", b" pid=1", b" ppid=9999999 ", b" opid=4194305 ", b" msg='", b"'"),
        *(b"node=x ", b"type=X ", b"msg=", b"audit(", b"1.000:1): ", b"):", b'"', b"\x1d", b"\n"),
    ),
    max_bytes=512,
)


def check_journal(data: bytes) -> bool:
    """Of what journalctl may have printed, the same numbers as a reader of JSON has."""
    numbers = _check_places(data, parse_journal(data))
    pairs = plain_entry(data)
    if pairs is None or ("_TRANSPORT", "kernel") in pairs:
        return bool(numbers)
    of_tasks = [value.encode() for name, value in pairs if name in ("_PID", "OBJECT_PID")]
    assert numbers == [int(it) for it in of_tasks if _is_number(it, 7) and 0 < int(it) <= 4 << 20]
    return bool(numbers)


def plain_entry(data: bytes) -> list[tuple[str, str]] | None:
    """Read an object of strings, as journalctl writes it; None: it is another text."""
    try:
        text = data.decode()
        pairs: Any = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list) or not text.startswith("{") or "\\u" in text:
        return None
    if any(not isinstance(it, tuple) or not isinstance(it[1], str) for it in pairs):
        return None
    has_blanks = any(blank in text for blank in ("\t", "\n", "\r", "  "))
    return None if has_blanks else pairs


JOURNAL = Target(
    "journal",
    check_journal,
    seeds=(
        b'{"__REALTIME_TIMESTAMP":"1764511386000000","_PID":"4242","MESSAGE":"\\"_PID\\":\\"1\\""}',
        b'{ "_BOOT_ID" : "0123456789abcdef0123456789abcdef", "OBJECT_PID" : "17", "_PID" : "18" }',
        b'{"_TRANSPORT":"kernel","MESSAGE":"oom_reaper: reaped process 4242 (x), now"}',
        b'{"_TRANSPORT":"audit","_PID":"42","_SOURCE_REALTIME_TIMESTAMP":"1764511386000000"}',
    ),
    words=(
        *(b'"', b"\\", b":", b",", b"{", b"}", b'"_PID":"', b'\\"_PID\\":\\"1\\"', b'"_PID" : "7"'),
        *(b'"OBJECT_PID":"9999999",', b'"MESSAGE":"', b'"_TRANSPORT":"kernel",', b"[", b"]", b" "),
    ),
    max_bytes=512,
)
