"""Kept programs: what is accepted can be loaded, and is read again as the same."""

from __future__ import annotations

import contextlib
import json
import struct

from pidscope.live.compiled import Code, Compiled, Map, from_bytes, linked, to_bytes, unlinked
from pidscope_dev.fuzz.target import Target

_KEY = {"build_id": "ab"}
_FD = 0x1234
_INSTRUCTION = struct.Struct("<BBhi")
_USES = _INSTRUCTION.pack(0x18, 0x11, 0, _FD) + bytes(8)
_EXIT = _INSTRUCTION.pack(0x95, 0, 0, 0)


def check(data: bytes) -> bool:
    """Read it; in what is accepted each map's descriptor goes where one is loaded."""
    try:
        compiled = from_bytes(data, _KEY)
    except ValueError:
        return False
    assert from_bytes(to_bytes(compiled, _KEY), _KEY) == compiled
    for spec in compiled.maps:
        assert spec.name.encode("ascii") and all(number.bit_length() <= 32 for number in spec[1:])
    for code in compiled.codes.values():
        _check_code(code, len(compiled.maps))
    return True


def _check_code(code: Code, maps: int) -> None:
    fds = {number: _FD + number for number in range(maps)}
    words = list(_INSTRUCTION.iter_unpack(linked(code, fds)))
    for place, number in code.maps:
        assert place >= 0
        opcode, registers, _, immediate = words[place]
        assert (opcode, registers >> 4, immediate) == (0x18, 1, fds[number])


def _repair(data: bytes) -> bytes:
    """Make lengths and the key agree: the header ends at the last brace, then come instructions."""
    end = data.rfind(b"}") + 1
    text, rest = data[4:end], data[end:]
    with contextlib.suppress(ValueError, TypeError, KeyError, IndexError, RecursionError):
        header = json.loads(text)
        sizes = list(header["codes"].values())
        first = len(rest) - len(rest) % 8 - sum(code[0] for code in sizes[1:])
        sizes[0][0], header["key"] = first, _KEY
        rest = rest[: len(rest) - len(rest) % 8]
        text = json.dumps(header).encode()
    return b"".join((struct.pack("<I", len(text)), text, rest))


def _seed(*names: str) -> bytes:
    maps = [Map("events", 27, 0, 0, 4096, 0), Map("lost", 2, 4, 8, 1, 1024)]
    codes = {name: unlinked(_USES * 2 + _EXIT * 50, {_FD: 1}, 7) for name in names}
    return to_bytes(Compiled(maps, codes, {"free_pid": "not here"}), _KEY)


COMPILED = Target(
    "compiled",
    check,
    seeds=(_seed("enter_attach_pid"), _seed("tp_task_newtask", "leave_alloc_pid"), _seed()),
    words=(b"[", b"]", b", ", b"{", b'"', b"0", b"1", b"-", b"e9", b"true", _USES, _EXIT),
    repair=_repair,
)
