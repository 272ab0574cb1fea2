"""A reader of BTF, the type information that a kernel carries about itself.

The format is Documentation/bpf/btf.rst: a header, type records, strings. Type ids count the
records from 1; a record is three words (name, info, size or type) and a tail with a length that
follows from its kind, so finding one means walking all before it. `Btf` walks once, keeps the place
of each record and the names of the kinds that are looked up, and reads the tails when asked.

Bytes come in, numbers go out: no file is opened here. Whatever the bytes are, the answer is what
they say or a `BtfError`, and each look-up takes time linear in their number.
"""

from __future__ import annotations

import bisect
import struct
from array import array

from pidscope.errors import BtfError

_MAGIC, _MAGIC_SWAPPED = 0xEB9F, 0x9FEB
_HEADER = struct.Struct("=HBBIIIII")
_LAYOUT_FIELDS = struct.Struct("=II")

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_TYPEDEF, _FUNC, _FUNC_PROTO, _FLOAT, _ENUM64 = 8, 12, 13, 16, 19
_MODIFIERS = {_TYPEDEF, 9, 10, 11, 18}  # VOLATILE, CONST, RESTRICT, TYPE_TAG
_STRUCTS = {_STRUCT, _UNION}
_SIZED = {_INT, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64}

# What follows the three words, in words: (once, for each of vlen). The index is the kind.
_TAIL = (
    *((0, 0), (1, 0), (0, 0), (3, 0), (0, 3), (0, 3), (0, 2)),  # -, INT, PTR, ARRAY … ENUM
    *((0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)),  # FWD, the modifiers, FUNC
    *((0, 2), (1, 0), (0, 3), (0, 0), (1, 0), (0, 0), (0, 3)),  # FUNC_PROTO, VAR … ENUM64
)

# The kinds with names to be looked up, as the caller names them.
_NAMED = {_INT: "int", _FUNC: "function", _TYPEDEF: "typedef", _ENUM: "enum", _ENUM64: "enum"}
_NAMED.update(dict.fromkeys(_STRUCTS, "struct"))

# The kernel's own bounds: MAX_RESOLVE_DEPTH in kernel/bpf/btf.c, KSYM_NAME_LEN since 6.1.
_MAX_DEPTH = 32
_MAX_NAME = 512


def _info(word: int) -> tuple[int, int, bool]:
    """Take kind, vlen and kind_flag from a record's info word.

    As wide as in the newest include/uapi/linux/btf.h; the bits that kind and vlen gained there
    are zero in the BTF of older kernels.
    """
    return word >> 24 & 0x7F, word & 0xFFFFFF, bool(word >> 31)


def _c_string(name: str) -> bytes:
    if not name or not name.isprintable():
        raise BtfError(f"{name!r} cannot be the name of a kernel type")
    return name.encode() + b"\0"


def _section(data: bytes, what: str, start: int, length: int) -> memoryview:
    if start + length > len(data):
        raise BtfError(f"BTF: {what} at {start}, {length} bytes, in {len(data)} bytes of data")
    return memoryview(data)[start : start + length]


def _sections(data: bytes) -> tuple[memoryview, bytes, bytes]:
    """Return the types as native words, the strings, and the layout of kinds (often empty)."""
    if len(data) < _HEADER.size:
        raise BtfError(f"BTF: {len(data)} bytes are too few for a header")
    magic, version, _, size, type_off, type_len, str_off, str_len = _HEADER.unpack_from(data)
    if magic == _MAGIC_SWAPPED:
        raise BtfError("BTF: byte order of another machine: not the running kernel's types")
    if magic != _MAGIC or version != 1 or size < _HEADER.size:
        raise BtfError(f"BTF: magic {magic:#x}, version {version}, header of {size} bytes")
    types = _section(data, "types", size + type_off, type_len)
    if type_len % 4:
        raise BtfError(f"BTF: a type section of {type_len} bytes is not made of words")
    strings = bytes(_section(data, "strings", size + str_off, str_len))
    if not strings or strings[0] or strings[-1]:
        raise BtfError("BTF: the string section does not begin and end with a NUL")
    layout = b""
    if size >= _HEADER.size + _LAYOUT_FIELDS.size:
        layout_off, layout_len = _LAYOUT_FIELDS.unpack_from(data, _HEADER.size)
        layout = bytes(_section(data, "layout", size + layout_off, layout_len))
    return types.cast("I"), strings, layout


def _record_words(word: int, layout: bytes) -> int:
    """Return the length in words of a record with this info word."""
    kind, vlen, _ = _info(word)
    if 0 < kind < len(_TAIL):
        once, each = _TAIL[kind]
        return 3 + once + each * vlen
    # A kind newer than this file. Newer BTF has the size of every kind it uses (struct
    # btf_layout: bytes once, bytes for each of vlen, flags; the index is the kind).
    if kind and len(layout) >= 4 * kind + 4:
        size = layout[4 * kind] + layout[4 * kind + 1] * vlen
        if size % 4 == 0:
            return 3 + size // 4
    raise BtfError(f"BTF: a type of unknown kind {kind}")


class Btf:
    """The types of one kernel, from the bytes of /sys/kernel/btf/vmlinux.

    Where several types have one name, the first complete one answers; where several functions
    have one name (static ones of different files), the first.
    """

    def __init__(self, data: bytes) -> None:
        """Walk all types once; raises `BtfError` if sections or records do not fit together."""
        self._types, self._strings, layout = _sections(data)
        self._position = array("I", [0])  # of each type id's record; id 0 is void and has none
        self._by_name: dict[str, dict[int, int]] = {what: {} for what in _NAMED.values()}
        self._found: dict[tuple[str, str], int | None] = {}  # each search goes through all strings
        self._walk(layout)

    def _walk(self, layout: bytes) -> None:
        # This loop runs 100,000 to 200,000 times, but over some 1,000 different info words:
        # what follows from one is worked out once.
        types, append = self._types, self._position.append
        known: dict[int, tuple[int, dict[int, int] | None]] = {}
        at, last = 0, len(types) - 3
        while at <= last:
            word = types[at + 1]
            try:
                step, names = known[word]
            except KeyError:
                step, names = known[word] = _record_words(word, layout), self._names(word)
            if names is not None:
                names.setdefault(types[at], at)
            append(at)
            at += step
        if at != len(types):
            raise BtfError("BTF: the last type goes beyond the end of the type section")

    def _names(self, word: int) -> dict[int, int] | None:
        kind, vlen, _ = _info(word)
        if kind == _ENUM and not vlen:  # a forward declaration of an enum
            return None
        return self._by_name.get(_NAMED.get(kind, ""))

    def _find(self, what: str, name: str) -> int | None:
        """Return where the record of that name is, or None; 0 is a place too."""
        if (what, name) not in self._found:
            self._found[what, name] = self._search(self._by_name[what], _c_string(name))
        return self._found[what, name]

    def _search(self, names: dict[int, int], wanted: bytes) -> int | None:
        # A name may be stored as the tail of another, and twice, so every place is tried.
        found, offset = [], self._strings.find(wanted)
        while offset >= 0:
            if offset in names:
                found.append(names[offset])
            offset = self._strings.find(wanted, offset + 1)
        return min(found, default=None)

    def _need(self, what: str, *names: str) -> int:
        for name in names:
            at = self._find(what, name)
            if at is not None:
                return at
        raise BtfError(f"this kernel's BTF has no {what} {' or '.join(names)}")

    def _record(self, type_id: int) -> int:
        if not 0 < type_id < len(self._position):
            raise BtfError(f"BTF: type {type_id} is needed and is void or not there")
        return self._position[type_id]

    def _strip(self, type_id: int) -> tuple[int, int, int]:
        """Return place and kind behind modifiers and arrays, and the number of elements."""
        count = 1
        for _ in range(_MAX_DEPTH):
            at = self._record(type_id)
            kind, _, _ = _info(self._types[at + 1])
            if kind in _MODIFIERS:
                type_id = self._types[at + 2]
            elif kind == _ARRAY:
                type_id = self._types[at + 3]
                count *= self._types[at + 5]
            else:
                return at, kind, count
        raise BtfError(f"BTF: modifiers and arrays more than {_MAX_DEPTH} deep")

    def _member(self, at: int, name: str) -> tuple[int, int, int] | None:
        """Find a member in a struct and in what it holds unnamed: type id, bit offset, width.

        The width is that of a bitfield, 0 if it is none.
        """
        wanted = _c_string(name)
        pending, seen = [(at, 0)], {at}
        while pending:
            at, base = pending.pop()
            _, vlen, kind_flag = _info(self._types[at + 1])
            members = self._types[at + 3 : at + 3 + 3 * vlen]
            for name_off, type_id, place in struct.iter_unpack("=3I", members):
                bits = base + (place & 0xFFFFFF if kind_flag else place)
                if self._strings.startswith(wanted, name_off):
                    return type_id, bits, place >> 24 if kind_flag else 0
                # Unnamed: anonymous, or a named struct embedded as -fms-extensions allows. No
                # struct holds a name twice in C, so no type needs to be searched twice.
                if self._strings.startswith(b"\0", name_off):
                    inner, kind, _ = self._strip(type_id)
                    if kind in _STRUCTS and inner not in seen:
                        seen.add(inner)
                        pending.append((inner, bits))
        return None

    def _locate(self, name: str, path: tuple[str, ...]) -> tuple[int, int, int, int]:
        """Return a member's byte offset, then place, kind and number of elements of its type."""
        at, kind, count, bits = self._need("struct", name), _STRUCT, 1, 0
        for part in path:
            if kind not in _STRUCTS:
                raise BtfError(f"{name} is no struct in this kernel: it has no member {part}")
            member = self._member(at, part)
            if member is None:
                raise BtfError(f"this kernel's struct {name} has no member {part}")
            name = f"{name}.{part}"
            type_id, bit_offset, width = member
            bits += bit_offset
            at, kind, count = self._strip(type_id)
            # pahole up to 1.12 marks a bitfield by an integer of fewer bits than its bytes have.
            narrow = kind == _INT and self._types[at + 3] & 0xFF != 8 * self._types[at + 2]
            if width or narrow or bits % 8:
                raise BtfError(f"{name} is a bitfield in this kernel: it has no byte offset")
        return bits // 8, at, kind, count

    def offset(self, struct: str, *path: str) -> int:
        """Return the byte offset of a member of a struct or union, as ``offsetof()``.

        Each further name is a member of the one before, in element 0 if that is an array.
        Raises `BtfError` that names what is missing, is no struct, or is a bitfield.
        """
        return self._locate(struct, path)[0]

    def has(self, struct: str, *path: str) -> bool:
        """Return whether there is the struct or union, and `offset` has an answer."""
        try:
            self._locate(struct, path)
        except BtfError:
            return False
        return True

    def size(self, struct: str) -> int:
        """Return the bytes of a struct or union; raises `BtfError` if there is none."""
        return self._types[self._need("struct", struct) + 2]

    def member_size(self, struct: str, *path: str) -> int:
        """Return the bytes of a member, of all elements of an array; raises as `offset` does."""
        _, at, kind, count = self._locate(struct, path)
        if kind == _PTR:  # its record holds no size
            at = self._need("int", "long unsigned int", "unsigned long")
        elif kind not in _SIZED:
            raise BtfError(f"BTF: {'.'.join((struct, *path))} is of kind {kind}, without a size")
        return count * self._types[at + 2]

    def enum(self, name: str, enumerator: str) -> int:
        """Return an enumerator's value; raises `BtfError` if it or the enum is missing."""
        at, wanted = self._need("enum", name), _c_string(enumerator)
        kind, vlen, signed = _info(self._types[at + 1])
        words = _TAIL[kind][1]  # the name, then the value in one word or two, the lower first
        for entry in range(at + 3, at + 3 + vlen * words, words):
            if self._strings.startswith(wanted, self._types[entry]):
                value = self._types[entry + 1]
                value |= self._types[entry + 2] << 32 if kind == _ENUM64 else 0
                bits = 32 * (words - 1)
                return value - (1 << bits) if signed and value >> bits - 1 else value
        raise BtfError(f"this kernel's enum {name} has no {enumerator}")

    def typedef_id(self, name: str) -> int:
        """Return the id of a typedef, as bpf(2) takes it; raises `BtfError` if there is none."""
        return bisect.bisect_left(self._position, self._need("typedef", name), 1)

    def function_id(self, name: str) -> int:
        """Return the id of a function, as bpf(2) takes it; raises `BtfError` if there is none."""
        return bisect.bisect_left(self._position, self._need("function", name), 1)

    def function_args(self, name: str) -> tuple[str, ...] | None:
        """Return a function's parameter names, None if the kernel has no function of that name.

        A variadic function's last name is empty; one that is inlined everywhere is not there.
        Raises `BtfError` if the prototype is malformed.
        """
        at = self._find("function", name)
        if at is None:
            return None
        at = self._record(self._types[at + 2])
        kind, vlen, _ = _info(self._types[at + 1])
        if kind != _FUNC_PROTO:
            raise BtfError(f"BTF: the prototype of function {name} is of kind {kind}")
        return tuple(self._name(self._types[at + 3 + 2 * i]) for i in range(vlen))

    def _name(self, offset: int) -> str:
        # Bounded, or a small file could ask for a long name a million times.
        end = self._strings.find(b"\0", offset, offset + _MAX_NAME)
        if end < 0:
            raise BtfError(f"BTF: no name ends within {_MAX_NAME} bytes from {offset}")
        return self._strings[offset:end].decode(errors="backslashreplace")
