"""BTF as written by hand, record by record: what the tests and the fuzzer begin with."""

from __future__ import annotations

import struct

from pidscope.host.btf import Btf

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(11, 20)


class Blob:
    """Writes BTF; each method adds a type and returns its id."""

    def __init__(self, share_strings: bool = True) -> None:
        self.share_strings = share_strings
        self.offsets = {"": 0}
        self.types = b""
        self.strings = b"\0"
        self.count = 0

    def string(self, text: str) -> int:
        if text and not (self.share_strings and text in self.offsets):
            self.offsets[text] = len(self.strings)
            self.strings += text.encode() + b"\0"
        return self.offsets[text]

    def add(
        self, kind: int, name: str | int, third: int, *tail: int, vlen: int = 0, flag: int = 0
    ) -> int:
        name_off = name if isinstance(name, int) else self.string(name)
        words = (name_off, flag << 31 | kind << 24 | vlen, third, *tail)
        self.types += struct.pack(f"={len(words)}I", *(word & 0xFFFFFFFF for word in words))
        self.count += 1
        return self.count

    def integer(self, name: str, size: int, bits: int | None = None) -> int:
        return self.add(INT, name, size, 8 * size if bits is None else bits)

    def record(
        self,
        name: str,
        size: int,
        *members: tuple[str, int, int],
        kind: int = STRUCT,
        flag: int = 0,
    ) -> int:
        tail = [word for m, type_id, bits in members for word in (self.string(m), type_id, bits)]
        return self.add(kind, name, size, *tail, vlen=len(members), flag=flag)

    def array(self, type_id: int, length: int) -> int:
        return self.add(ARRAY, "", 0, type_id, 1, length)

    def enum(self, name: str, flag: int = 0, **values: int) -> int:
        tail = [word for key, value in values.items() for word in (self.string(key), value)]
        return self.add(ENUM, name, 4, *tail, vlen=len(values), flag=flag)

    def enum64(self, name: str, flag: int = 0, **values: int) -> int:
        tail: list[int] = []
        for key, value in values.items():
            tail += (self.string(key), value, value >> 32)
        return self.add(ENUM64, name, 8, *tail, vlen=len(values), flag=flag)

    def function(self, name: str, *args: str) -> int:
        tail = [word for arg in args for word in (self.string(arg), 1 if arg else 0)]
        proto = self.add(FUNC_PROTO, "", 0, *tail, vlen=len(args))
        return self.add(FUNC, name, proto, vlen=1)

    def data(self, layout: bytes = b"", order: str = "=") -> bytes:
        fields = [0, len(self.types), len(self.types), len(self.strings)]
        if layout:
            fields += [len(self.types) + len(self.strings), len(layout)]
        head = struct.pack(f"{order}HBBI", 0xEB9F, 1, 0, 8 + 4 * len(fields))
        head += struct.pack(f"{order}{len(fields)}I", *fields)
        return head + self.types + self.strings + layout

    def btf(self) -> Btf:
        return Btf(self.data())


def every_kind(share_strings: bool = True) -> Blob:
    """One type of each kind, and what a kernel does with them, in some 700 bytes."""
    b = Blob(share_strings)
    u32 = b.integer("unsigned int", 4)
    u64 = b.integer("long unsigned int", 8)
    pointer = b.add(PTR, "", 0)
    b.add(FWD, "pid", 0)
    upid = b.record("upid", 16, ("nr", u32, 0), ("ns", pointer, 64))
    alias = b.add(TYPEDEF, "upid_t", upid)
    tagged = b.add(TYPE_TAG, "rcu", b.add(VOLATILE, "", b.add(CONST, "", alias)))
    numbers = b.array(b.add(RESTRICT, "", tagged), 3)
    inner = b.record("", 8, ("rcu", u64, 0))
    union = b.record("", 8, ("either", u32, 0), ("", inner, 0), kind=UNION)
    b.record("pid", 80, ("count", u32, 0), ("", union, 64), ("numbers", numbers, 128))
    bits = [("whole", u32, 0), ("narrow", u32, 3 << 24 | 32), ("after", u32, 64)]
    b.record("flags", 12, *bits, flag=1)
    b.enum("pid_type", PIDTYPE_PID=0, PIDTYPE_TGID=1, PIDTYPE_MAX=0xFFFFFFFF)
    signed = b.enum("signed", 1, MINUS=-1, LOW=-(1 << 31), HIGH=(1 << 31) - 1)
    wide = b.enum64("wide", BIG=(1 << 63) + 5, SMALL=7)
    b.enum64("wide_signed", 1, DOWN=-2, UP=1 << 40)
    b.add(VAR, "init_pid_ns", upid, 1)
    b.add(DATASEC, ".data", 16, b.count, 0, 16, vlen=1)
    double = b.add(FLOAT, "double", 8)
    grid = b.array(b.array(u32, 2), 3)
    units = (("scale", double, 0), ("kind", signed, 64), ("wide", wide, 128), ("grid", grid, 192))
    b.record("units", 48, *units)
    b.add(DECL_TAG, "tag", upid, -1)
    b.function("detach_pid", "pids", "task", "type")
    b.function("printk", "fmt", "")
    b.function("schedule")
    return b
