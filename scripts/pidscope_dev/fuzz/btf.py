"""The BTF reader, held against the plainest one."""

from __future__ import annotations

import struct

from pidscope.errors import BtfError
from pidscope.host.btf import Btf
from pidscope_dev.fuzz.blob import every_kind
from pidscope_dev.fuzz.btf_reference import Reference, Unclear, record_words
from pidscope_dev.fuzz.target import Target

_HEADER = struct.Struct("=HBBIIIII")
_MEMBERS = (
    ("upid", "nr"),
    ("upid", "ns"),
    ("pid", "count"),
    ("pid", "rcu"),
    ("pid", "numbers"),
    ("pid", "numbers", "ns"),
    ("flags", "after"),
    ("flags", "narrow"),
    ("units", "grid"),
    ("units", "kind"),
)
_QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    *(("offset", path) for path in _MEMBERS),
    *(("member_size", path) for path in _MEMBERS),
    *(("size", (name,)) for name in ("upid", "pid", "flags", "units")),
    ("enum", ("pid_type", "PIDTYPE_TGID")),
    ("enum", ("signed", "LOW")),
    ("enum", ("wide", "BIG")),
    ("enum", ("wide_signed", "DOWN")),
    *(("function_args", (name,)) for name in ("detach_pid", "printk", "schedule")),
)


def check(data: bytes) -> bool:
    """Ask all there is to ask; where the plain reader is sure, both say the same."""
    try:
        reference: Reference | None = Reference(data)
    except Unclear:
        reference = None
    try:
        btf = Btf(data)
    except BtfError as error:
        assert reference is None, f"refused: {error}"
        return False
    answers = [_ask(btf, reference, method, names) for method, names in _QUESTIONS]
    return any(answer is not None for answer in answers)


def _ask(btf: Btf, reference: Reference | None, method: str, names: tuple[str, ...]) -> object:
    try:
        answer = getattr(btf, method)(*names)
        refused = False
    except BtfError:
        answer, refused = None, True
    if reference is not None:
        try:
            expected = getattr(reference, method)(*(name.encode() for name in names))
        except Unclear:
            return answer
        if method == "function_args":
            assert not refused, "refused a function"
            if expected is not None:
                expected = tuple(name.decode(errors="backslashreplace") for name in expected)
        assert answer == expected, f"{method}{names}: {answer}, not {expected}"
    return answer


def repair(data: bytes) -> bytes:
    """Let the header's lengths add up to what there is, and end the types with a whole record."""
    if len(data) <= _HEADER.size:
        return data
    *_, type_len, _, str_len = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    grown = len(body) - type_len - str_len
    if grown % 4 == 0:  # whole words: of the types
        type_len += grown
    type_len = min(max(type_len, 0), len(body) - 1)
    types, strings = body[: _whole(body[:type_len])], body[type_len:]
    header = _HEADER.pack(0xEB9F, 1, 0, _HEADER.size, 0, len(types), len(types), len(strings))
    return header + types + b"\0" + strings[1:-1] + b"\0" * (len(strings) > 1)


def _whole(types: bytes) -> int:
    """The bytes of the records before the first that does not fit."""
    at = 0
    while at + 12 <= len(types):
        words = record_words(struct.unpack_from("=I", types, at + 4)[0])
        if not words or at + 4 * words > len(types):
            break
        at += 4 * words
    return at


def _blob(share_strings: bool) -> bytes:
    blob = every_kind(share_strings)
    blob.integer("int", 4)
    return blob.data()


BTF = Target(
    "btf",
    check,
    seeds=(_blob(True), _blob(False)),
    words=(b"\0\0\0\0", *(struct.pack("=3I", 0, kind << 24, 1) for kind in (2, 3, 8, 10))),
    repair=repair,
    max_bytes=2048,
)
