"""Compiled programs as values, and as bytes.

The bytes hold data only: a header in JSON, then instructions. Where a program uses a map, its
instructions lack the map's file descriptor, and ``maps`` says which map belongs there: each load
makes maps of its own.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# What is compiled beside the programs of probe modes: two task iterators, the life stream, the
# iterator that belongs to it, and what counts forks.
ITERATOR, LISTING = ITERATORS = "iterator", "listing"
LIVES, ALIVE, COUNTS = "lives", "alive", "counts"
INSTRUCTION = 8  # bytes, struct bpf_insn
_LENGTH = struct.Struct("<I")
_MAP_FD = struct.Struct("<i")
_LOAD_MAP_FD = (0x18, 1)  # BPF_LD | BPF_DW | BPF_IMM, BPF_PSEUDO_MAP_FD
_IMMEDIATE = 4  # its place in an instruction
_ILL_FORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error)


class Map(NamedTuple):
    """What BPF_MAP_CREATE needs; sizes in bytes, ``type`` of ``enum bpf_map_type``."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Code(NamedTuple):
    """One program, not loaded.

    Attributes:
        instructions: whole ``struct bpf_insn``.
        btf_id: BTF's id of what it is attached to, on the kernel it was compiled for; 0: none.
        maps: the place of each instruction that lacks a map's file descriptor, and the map's place
            in `Compiled.maps`.
    """

    instructions: bytes
    btf_id: int
    maps: Sequence[tuple[int, int]]


class Compiled(NamedTuple):
    """Programs that were compiled together.

    Attributes:
        codes: by the name of the program.
        absent: the hooks that this kernel does not have, and why.
    """

    maps: Sequence[Map]
    codes: Mapping[str, Code]
    absent: Mapping[str, str]

    def of_used_maps(self) -> Compiled:
        """Return the same without the maps that no program uses."""
        used = sorted({number for code in self.codes.values() for _, number in code.maps})
        now = {number: place for place, number in enumerate(used)}
        codes = {
            name: code._replace(maps=[(place, now[number]) for place, number in code.maps])
            for name, code in self.codes.items()
        }
        return self._replace(maps=[self.maps[number] for number in used], codes=codes)


def unlinked(instructions: bytes, maps: Mapping[int, int], btf_id: int) -> Code:
    """Return a program without the file descriptors that a compiler put into it.

    Args:
        instructions: as they would be loaded.
        maps: the place of each map by its file descriptor.
        btf_id: of `Code`.

    Raises:
        ValueError: it refers to something that is not one of these maps.
    """
    code, uses = bytearray(instructions), []
    for place, at in enumerate(range(0, len(code), INSTRUCTION)):
        if code[at] == _LOAD_MAP_FD[0] and code[at + 1] >> 4:
            (fd,) = _MAP_FD.unpack_from(code, at + _IMMEDIATE)
            if not _refers_to_map(code, at) or fd not in maps:
                raise ValueError(f"instruction {place} refers to something that is no map")
            _MAP_FD.pack_into(code, at + _IMMEDIATE, 0)
            uses.append((place, maps[fd]))
    return Code(bytes(code), btf_id, uses)


def linked(code: Code, fds: Mapping[int, int]) -> bytes:
    """Return the instructions with the file descriptors of the maps, given by their places."""
    instructions = bytearray(code.instructions)
    for place, number in code.maps:
        _MAP_FD.pack_into(instructions, place * INSTRUCTION + _IMMEDIATE, fds[number])
    return bytes(instructions)


def _refers_to_map(code: bytes | bytearray, at: int) -> bool:
    return len(code) >= at + INSTRUCTION and (code[at], code[at + 1] >> 4) == _LOAD_MAP_FD


def to_bytes(compiled: Compiled, key: Mapping[str, Any]) -> bytes:
    """Return the bytes of compiled programs, with what they were compiled from."""
    header = {
        "key": key,
        "maps": compiled.maps,
        "codes": {
            name: [len(code.instructions), code.btf_id, code.maps]
            for name, code in compiled.codes.items()
        },
        "absent": compiled.absent,
    }
    text = json.dumps(header).encode()
    instructions = (code.instructions for code in compiled.codes.values())
    return b"".join((_LENGTH.pack(len(text)), text, *instructions))


def from_bytes(data: bytes, key: Mapping[str, Any]) -> Compiled:
    """Return what `to_bytes` was given.

    Raises:
        ValueError: it is something else, or was compiled from something else.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        header = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        if header["key"] != dict(key):
            raise ValueError("compiled for another kernel, or from other sources")
        maps = [_map(*each) for each in header["maps"]]
        codes, at = {}, _LENGTH.size + length
        for name, (size, btf_id, uses) in header["codes"].items():
            codes[str(name)] = _code(data[at : at + size], size, btf_id, uses, len(maps))
            at += size
        if at != len(data):
            raise ValueError(f"{len(data)} bytes, not {at}")
        absent = {str(name): str(why) for name, why in header["absent"].items()}
    except _ILL_FORMED as error:
        raise ValueError(f"not compiled programs: {error}") from error
    return Compiled(maps, codes, absent)


def _map(name: Any, *numbers: Any) -> Map:
    if not (name.isascii() and name.isidentifier() and all(map(_is_number, numbers))):
        raise ValueError(f"map {name!r} is ill-formed")
    return Map(name, *numbers)


def _code(instructions: bytes, size: Any, btf_id: Any, uses: Any, maps: int) -> Code:
    if len(instructions) != size or size % INSTRUCTION or not _is_number(btf_id):
        raise ValueError(f"a program of {len(instructions)} bytes, not {size}")
    code = Code(instructions, btf_id, [(place, number) for place, number in uses])
    for place, number in code.maps:
        if not (_is_number(place) and _is_number(number) and number < maps):
            raise ValueError(f"instruction {place!r} does not use map {number!r}")
        if not _refers_to_map(instructions[place * INSTRUCTION :], 0):
            raise ValueError(f"instruction {place} uses no map")
    return code


def _is_number(value: Any) -> bool:
    """Whether it is one of 32 bits, as bpf(2) takes them; JSON has others too."""
    return type(value) is int and 0 <= value < 1 << 32
