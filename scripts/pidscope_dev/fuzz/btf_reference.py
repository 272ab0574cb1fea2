"""BTF read in the plainest way: every record a tuple, every question a search through all of them.

It gives the one right answer, None where the bytes say clearly that there is none, or raises
`Unclear`: there the reader of pidscope may answer what it wants, or refuse.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple, Optional

INT, PTR, ARRAY, STRUCT, UNION, ENUM = range(1, 7)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, _, ENUM64 = range(12, 20)
_MODIFIERS = (8, 9, 10, 11, 18)
_ONCE = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}  # words behind the first three
# Words for each of vlen.
_EACH = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}
_DEPTH_MAX = 32
_NAME_MAX = 512

Number = Optional[int]


class Unclear(Exception):
    """The bytes are damaged where the question leads, or say two things."""


class Type(NamedTuple):
    """One record."""

    kind: int
    vlen: int
    flag: int
    name: int  # offset in the strings
    value: int  # size or type id
    tail: tuple[int, ...]

    def each(self) -> list[tuple[int, ...]]:
        """The tail, by entry."""
        words = _EACH[self.kind]
        return [self.tail[i : i + words] for i in range(0, words * self.vlen, words)]


class Place(NamedTuple):
    """A member: where it is, and what, behind modifiers and arrays."""

    bits: int
    type: Type
    elements: int


class Reference:
    """The types of one blob of known kinds; raises Unclear for anything else."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 24:
            raise Unclear
        magic, version, _, size, *section = struct.unpack_from("=HBBIIIII", data)
        types, strings = (
            data[size + at : size + at + length] for at, length in (section[:2], section[2:])
        )
        if (magic, version, size) != (0xEB9F, 1, 24) or section[1] % 4:
            raise Unclear
        if (len(types), len(strings)) != (section[1], section[3]) or size + section[0] > len(data):
            raise Unclear
        if strings[:1] != b"\0" or strings[-1:] != b"\0":
            raise Unclear
        self._strings = strings
        self._types = _types(types)

    def name(self, at: int) -> bytes:
        """The string at this offset."""
        if at >= len(self._strings):
            raise Unclear
        return self._strings[at : self._strings.index(b"\0", at)]

    def find(self, name: bytes, *kinds: int) -> Type | None:
        """The first type of that name; an enum without enumerators is only declared."""
        for one in self._types[1:]:
            is_complete = (one.kind, one.vlen) != (ENUM, 0)
            is_named = one.name < len(self._strings) and self.name(one.name) == name
            if one.kind in kinds and is_complete and is_named:
                return one
        return None

    def size(self, name: bytes) -> Number:
        """As `Btf.size`."""
        found = self.find(name, STRUCT, UNION)
        return None if found is None else found.value

    def offset(self, name: bytes, *path: bytes) -> Number:
        """As `Btf.offset`."""
        place = self._place(name, path)
        return None if place is None else place.bits // 8

    def member_size(self, name: bytes, *path: bytes) -> Number:
        """As `Btf.member_size`."""
        place = self._place(name, path)
        if place is None:
            return None
        kind, size = place.type.kind, place.type.value
        if kind == PTR:
            pointer = self.find(b"long unsigned int", INT) or self.find(b"unsigned long", INT)
            return None if pointer is None else place.elements * pointer.value
        return place.elements * size if kind in (INT, STRUCT, UNION, ENUM, FLOAT, ENUM64) else None

    def enum(self, name: bytes, enumerator: bytes) -> Number:
        """As `Btf.enum`."""
        found = self.find(name, ENUM, ENUM64)
        if found is None:
            return None
        values = [words[1:] for words in found.each() if self.name(words[0]) == enumerator]
        if len(values) > 1:
            raise Unclear
        if not values:
            return None
        raw = struct.pack(f"={len(values[0])}I", *values[0])
        return int.from_bytes(raw, sys.byteorder, signed=bool(found.flag))

    def function_args(self, name: bytes) -> tuple[bytes, ...] | None:
        """As `Btf.function_args`."""
        found = self.find(name, FUNC)
        if found is None:
            return None
        proto = self._type(found.value)
        if proto.kind != FUNC_PROTO:
            raise Unclear
        names = tuple(self.name(words[0]) for words in proto.each())
        if any(len(one) >= _NAME_MAX for one in names):
            raise Unclear
        return names

    def _type(self, type_id: int) -> Type:
        if not 0 < type_id < len(self._types):
            raise Unclear
        return self._types[type_id]

    def _strip(self, type_id: int) -> tuple[Type, int]:
        count = 1
        for _ in range(_DEPTH_MAX):
            one = self._type(type_id)
            if one.kind == ARRAY:
                type_id, count = one.tail[0], count * one.tail[2]
            elif one.kind in _MODIFIERS:
                type_id = one.value
            else:
                return one, count
        raise Unclear

    def _members(self, of: Type, base: int, met: set[int]) -> list[tuple[bytes, int, Place]]:
        """All that can be named: name, width as a bitfield, place."""
        if id(of) in met:  # twice in one struct, or in itself: not C
            raise Unclear
        met.add(id(of))
        found = []
        for name_at, type_id, where in of.each():
            name = self.name(name_at)
            bits, width = (where & 0xFFFFFF, where >> 24) if of.flag else (where, 0)
            stripped, count = self._strip(type_id)
            if name:
                found.append((name, width, Place(base + bits, stripped, count)))
            elif stripped.kind in (STRUCT, UNION):
                found += self._members(stripped, base + bits, met)
        return found

    def _place(self, name: bytes, path: tuple[bytes, ...]) -> Place | None:
        found = self.find(name, STRUCT, UNION)
        place = None if found is None else Place(0, found, 1)
        for part in path:
            if place is None or place.type.kind not in (STRUCT, UNION):
                return None
            members = self._members(place.type, place.bits, set())
            fitting = [member for member in members if member[0] == part]
            if len(fitting) > 1:
                raise Unclear
            place = None if not fitting or _is_bitfield(*fitting[0][1:]) else fitting[0][2]
        return place


def _is_bitfield(width: int, place: Place) -> bool:
    one = place.type
    narrow = one.kind == INT and one.tail[0] & 0xFF != 8 * one.value
    return bool(width) or narrow or place.bits % 8 != 0


def record_words(info: int) -> int:
    """The length of a record with this info word; 0: of no known kind."""
    kind, vlen = info >> 24 & 0x7F, info & 0xFFFFFF
    return 3 + _ONCE.get(kind, 0) + _EACH.get(kind, 0) * vlen if 0 < kind <= ENUM64 else 0


def _types(data: bytes) -> list[Type]:
    """All records, at their ids; at 0 is void."""
    words = struct.unpack(f"={len(data) // 4}I", data)
    types = [Type(0, 0, 0, 0, 0, ())]
    at = 0
    while at < len(words):
        if at + 3 > len(words):
            raise Unclear
        name, info, value = words[at : at + 3]
        end = at + record_words(info)
        if end == at or end > len(words):
            raise Unclear
        kind, vlen, flag = info >> 24 & 0x7F, info & 0xFFFFFF, info >> 31
        types.append(Type(kind, vlen, flag, name, value, words[at + 3 : end]))
        at = end
    return types
