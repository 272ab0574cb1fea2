"""BTF as built here, record by record, and BTF as this machine's kernel has it."""

from __future__ import annotations

import contextlib
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pidscope_dev.fuzz.blob import (
    CONST,
    ENUM,
    FUNC,
    FUNC_PROTO,
    FWD,
    INT,
    PTR,
    STRUCT,
    TYPEDEF,
    UNION,
    Blob,
    every_kind,
)

from pidscope.errors import BtfError
from pidscope.host.btf import Btf
from tests.unit.bounded import bounded_time

VMLINUX = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(scope="module")
def btf() -> Btf:
    return every_kind().btf()


@pytest.fixture
def b() -> Blob:
    """BTF without a type, to be written by a test."""
    return Blob()


@pytest.fixture(scope="module")
def vmlinux() -> Btf:
    if not VMLINUX.exists():
        pytest.skip("this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
    return Btf(VMLINUX.read_bytes())


def expect_error(reason: str, ask: Callable[..., object], *arguments: Any) -> None:
    """``ask`` raises a BtfError with that reason."""
    with pytest.raises(BtfError, match=reason):
        ask(*arguments)


@pytest.mark.parametrize(
    ("path", "offset", "size"),
    [
        (("upid", "nr"), 0, 4),
        (("upid", "ns"), 8, 8),
        (("pid", "count"), 0, 4),
        (("pid", "either"), 8, 4),
        (("pid", "rcu"), 8, 8),
        (("pid", "numbers"), 16, 48),
        (("pid", "numbers", "nr"), 16, 4),
        (("pid", "numbers", "ns"), 24, 8),
        (("flags", "whole"), 0, 4),
        (("flags", "after"), 8, 4),
        (("units", "scale"), 0, 8),
        (("units", "kind"), 8, 4),
        (("units", "wide"), 16, 8),
        (("units", "grid"), 24, 24),
    ],
)
def test_members(btf: Btf, path: tuple[str, ...], offset: int, size: int) -> None:
    assert btf.offset(*path) == offset
    assert btf.member_size(*path) == size
    assert btf.has(*path)


def test_sizes_of_structs(btf: Btf) -> None:
    assert [btf.size(name) for name in ("upid", "pid", "flags")] == [16, 80, 12]
    assert btf.has("upid")
    assert btf.offset("upid") == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (("task_struct", "pid"), "no struct task_struct"),
        (("upid", "level"), "struct upid has no member level"),
        (("pid", "numbers", "level"), "struct pid.numbers has no member level"),
        (("upid", "nr", "val"), "upid.nr is no struct"),
        (("upid", "ns", "level"), "upid.ns is no struct"),
        (("flags", "narrow"), "flags.narrow is a bitfield"),
        (("pid_type",), "no struct pid_type"),
        (("upid", ""), "cannot be the name"),
        (("upid", "nr\0ns"), "cannot be the name"),
        (("upid", "\udc80"), "cannot be the name"),
        (("upid", "n"), "no member n"),
        (("upid", "r"), "no member r"),
    ],
)
def test_missing_members_are_named(btf: Btf, path: tuple[str, ...], reason: str) -> None:
    expect_error(reason, btf.offset, *path)
    expect_error(reason, btf.member_size, *path)
    assert not btf.has(*path)


@pytest.mark.parametrize(
    ("ask", "names", "reason"),
    [
        (Btf.size, ("cgroup",), "no struct cgroup"),
        (Btf.enum, ("pid_type", "PIDTYPE_SID"), "enum pid_type has no PIDTYPE_SID"),
        (Btf.enum, ("upid", "nr"), "no enum upid"),
        (Btf.typedef_id, ("btf_trace_nothing",), "no typedef btf_trace_nothing"),
    ],
    ids=["size of a struct", "enumerator", "enum", "typedef"],
)
def test_missing_types_are_named(
    btf: Btf, ask: Callable[..., object], names: tuple[str, ...], reason: str
) -> None:
    expect_error(reason, ask, btf, *names)


@pytest.mark.parametrize(
    ("enum", "enumerator", "value"),
    [
        ("pid_type", "PIDTYPE_PID", 0),
        ("pid_type", "PIDTYPE_TGID", 1),
        ("pid_type", "PIDTYPE_MAX", 0xFFFFFFFF),
        ("signed", "MINUS", -1),
        ("signed", "LOW", -(1 << 31)),
        ("signed", "HIGH", (1 << 31) - 1),
        ("wide", "BIG", (1 << 63) + 5),
        ("wide", "SMALL", 7),
        ("wide_signed", "DOWN", -2),
        ("wide_signed", "UP", 1 << 40),
    ],
)
def test_enumerators(btf: Btf, enum: str, enumerator: str, value: int) -> None:
    assert btf.enum(enum, enumerator) == value


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("detach_pid", ("pids", "task", "type")),
        ("printk", ("fmt", "")),
        ("schedule", ()),
        ("create_pid_namespace", None),
        ("upid", None),
    ],
)
def test_function_args(btf: Btf, name: str, args: tuple[str, ...] | None) -> None:
    assert btf.function_args(name) == args


def test_the_id_of_a_typedef(vmlinux: Btf) -> None:
    """As bpf(2) counts: the first type is 1."""
    name = "btf_trace_task_newtask"
    at = vmlinux._position[vmlinux.typedef_id(name)]
    assert vmlinux._name(vmlinux._types[at]) == name


@pytest.mark.parametrize(
    ("add", "ask", "names", "reason"),
    [
        (
            lambda b: b.add(FUNC, "f", b.integer("int", 4)),
            Btf.function_args,
            ("f",),
            "prototype of function f",
        ),
        (
            lambda b: b.add(FUNC, "f", b.add(FUNC_PROTO, "", 0, 0xFFFFFFFF, 0, vlen=1)),
            Btf.function_args,
            ("f",),
            "no name ends",
        ),
        (
            lambda b: b.record("s", 8, ("m", b.add(FWD, "x", 0), 0)),
            Btf.member_size,
            ("s", "m"),
            r"s\.m is of kind 7",
        ),
        (
            lambda b: b.record("s", 8, ("p", b.add(PTR, "", 0), 0)),
            Btf.member_size,
            ("s", "p"),
            "no int long unsigned int or unsigned long",
        ),
    ],
    ids=[
        "function without prototype",
        "parameter name outside the strings",
        "member without a size",
        "pointer without the word of the machine",
    ],
)
def test_malformed_types_are_named(
    b: Blob,
    add: Callable[[Blob], int],
    ask: Callable[..., object],
    names: tuple[str, ...],
    reason: str,
) -> None:
    add(b)
    expect_error(reason, ask, b.btf(), *names)


@pytest.mark.parametrize("share_strings", [True, False])
def test_first_complete_type_of_a_name_answers(share_strings: bool) -> None:
    b = Blob(share_strings)
    u32 = b.integer("int", 4)
    b.add(FWD, "s", 0)
    b.record("s", 4, ("first", u32, 0))
    b.record("s", 8, ("second", u32, 32))
    b.enum("e")
    b.enum("e", FIRST=1)
    b.enum("e", FIRST=2)
    b.function("f", "first")
    b.function("f", "second", "other")
    btf = b.btf()
    assert btf.size("s") == 4
    assert btf.has("s", "first")
    assert btf.enum("e", "FIRST") == 1
    assert btf.function_args("f") == ("first",)


def test_names_may_be_the_tail_of_other_strings(b: Blob) -> None:
    at = b.string("task_pid")
    u32 = b.add(INT, "int", 4, 32)
    b.add(STRUCT, at + 5, 4, at + 5, u32, 0, vlen=1)
    btf = b.btf()
    assert btf.offset("pid", "pid") == 0
    assert not btf.has("task_pid")


def test_the_first_type_answers_though_its_name_stands_behind_the_others() -> None:
    b = Blob(share_strings=False)
    later, first = b.string("s"), b.string("s")
    b.add(STRUCT, first, 4)
    b.add(STRUCT, later, 8)
    assert b.btf().size("s") == 4


def test_a_struct_is_not_found_by_a_function_or_typedef_of_its_name(b: Blob) -> None:
    b.function("cgroup", "x")
    b.add(TYPEDEF, "cgroup", b.integer("int", 4))
    b.record("cgroup", 24)
    assert b.btf().size("cgroup") == 24


def test_offsets_beyond_24_bits(b: Blob) -> None:
    """Only with kind_flag are the upper 8 bits of a member's place a bitfield's width."""
    b.record("huge", 1 << 23, ("last", b.integer("int", 4), 8 * (1 << 22)))
    assert b.btf().offset("huge", "last") == 1 << 22


def test_unnamed_padding_is_not_searched(b: Blob) -> None:
    enum = b.enum("e", ONE=1, TWO=2, THREE=3)
    b.record("s", 8, ("", enum, 7 << 24), ("last", b.integer("int", 4), 32), flag=1)
    btf = b.btf()
    assert btf.offset("s", "last") == 4
    for name in ("ONE", "TWO", "THREE"):
        expect_error(f"no member {name}", btf.offset, "s", name)


def test_named_struct_embedded_without_a_name(b: Blob) -> None:
    """-fms-extensions, as kernels since 6.19 are built."""
    base = b.record("base", 8, ("id", b.integer("int", 4), 32))
    b.record("whole", 16, ("", b.add(CONST, "", base), 64))
    assert b.btf().offset("whole", "id") == 12


def test_bitfields_as_older_pahole_writes_them(b: Blob) -> None:
    narrow, u8 = b.integer("int", 4, bits=3), b.integer("char", 1)
    b.record("s", 8, ("narrow", narrow, 0), ("odd", u8, 9), ("even", u8, 32))
    btf = b.btf()
    assert btf.offset("s", "even") == 4
    for name in ("narrow", "odd"):
        expect_error("bitfield", btf.offset, "s", name)


def test_bitfield_in_an_anonymous_struct_and_unnamed_padding(b: Blob) -> None:
    u32 = b.integer("int", 4)
    inner = b.record("", 4, ("narrow", u32, 1 << 24), ("", u32, 7 << 24 | 1), flag=1)
    b.record("s", 8, ("", inner, 32), ("last", u32, 0))
    btf = b.btf()
    assert btf.offset("s", "last") == 0
    expect_error(r"s\.narrow is a bitfield", btf.offset, "s", "narrow")


def test_members_beyond_16_bits_of_vlen(b: Blob) -> None:
    """The format since the vlen of 24 bits (include/uapi/linux/btf.h)."""
    b.add(ENUM, "big", 4, *(0, 0) * 69_999, b.string("LAST"), 5, vlen=70_000)
    b.record("after", 24)
    assert b.btf().enum("big", "LAST") == 5
    assert b.btf().size("after") == 24


@pytest.mark.parametrize(("name", "size"), [("unsigned long", 8), ("long unsigned int", 4)])
def test_pointer_size_is_that_of_the_word_of_the_machine(b: Blob, name: str, size: int) -> None:
    b.integer(name, size)  # its record is at place 0, which is not "missing"
    b.record("s", 8, ("p", b.array(b.add(PTR, "", 0), 2), 0))
    assert b.btf().member_size("s", "p") == 2 * size


def test_kinds_of_the_future_are_skipped_where_the_layout_tells_their_size(b: Blob) -> None:
    b.add(20, "new", 0, 1, 2, 3, 4, 5, vlen=2)
    b.record("s", 12)
    layout = bytes(4 * 20) + struct.pack("=BBH", 4, 8, 0)
    assert Btf(b.data(layout)).size("s") == 12
    for short in (b"", layout[:-1], layout[:-4] + struct.pack("=BBH", 3, 8, 0)):
        expect_error("unknown kind 20", Btf, b.data(short))


def test_layout_is_not_needed_for_known_kinds() -> None:
    assert Btf(every_kind().data(bytes(8))).size("pid") == 80


@pytest.mark.parametrize("layout", [b"", bytes(8)], ids=["no layout", "layout"])
def test_kind_zero_is_never_known(b: Blob, layout: bytes) -> None:
    b.add(0, "", 0)
    expect_error("unknown kind 0", Btf, b.data(layout))


def test_other_byte_order_is_named(b: Blob) -> None:
    other = ">" if sys.byteorder == "little" else "<"
    expect_error("byte order of another machine", Btf, b.data(order=other))


@pytest.mark.parametrize(
    ("at", "form", "value", "reason"),
    [
        (0, "H", 0x1234, "magic 0x1234"),
        (2, "B", 2, "version 2"),
        (4, "I", 20, "header of 20 bytes"),
        (4, "I", 1 << 20, "types at"),
        (8, "I", 0xFFFFFFFF, "types at"),
        (12, "I", 0xFFFFFFFC, "types at"),
        (12, "I", 3, "not made of words"),
        (12, "I", 20, "beyond the end"),
        (16, "I", 0xFFFFFFFF, "strings at"),
        (20, "I", 1 << 16, "strings at"),
        (20, "I", 0, "NUL"),
        (20, "I", 2, "NUL"),
        (16, "I", 0, "NUL"),
    ],
)
def test_header_out_of_order(at: int, form: str, value: int, reason: str) -> None:
    data = bytearray(every_kind().data())
    struct.pack_into(f"={form}", data, at, value)
    expect_error(reason, Btf, bytes(data))


def test_no_types_at_all(b: Blob) -> None:
    assert not b.btf().has("pid")
    expect_error("too few", Btf, b"")


@pytest.mark.parametrize("words", [1, 2, 3, 5])
def test_last_record_cut_short(b: Blob, words: int) -> None:
    b.types = struct.pack("=6I", 0, STRUCT << 24 | 1, 4, 0, 0, 0)[: 4 * words]
    expect_error("beyond the end", b.btf)


@pytest.mark.parametrize("type_id", [0, 2, 0xFFFFFFFF], ids=["void", "beyond", "far"])
def test_type_ids_beyond_the_last(b: Blob, type_id: int) -> None:
    b.record("s", 4, ("m", type_id, 0))
    expect_error("void or not there", b.btf().offset, "s", "m")


@pytest.mark.parametrize("name", ["m", "other"])
@bounded_time()
def test_typedef_cycle_ends(b: Blob, name: str) -> None:
    b.add(TYPEDEF, "a", 2)
    b.add(TYPEDEF, "b", 1)
    b.record("s", 4, ("m", 1, 0), ("", 2, 0))
    expect_error("deep", b.btf().offset, "s", name)


@bounded_time()
def test_nested_arrays_end(b: Blob) -> None:
    for _ in range(5000):
        b.array(b.count + 2, 0xFFFFFFFF)
    b.record("s", 4, ("m", 1, 0))
    expect_error("deep", b.btf().member_size, "s", "m")


@bounded_time()
def test_struct_that_holds_itself_unnamed_ends(b: Blob) -> None:
    b.record("s", 4, ("", 1, 32), ("m", 2, 64))
    b.integer("int", 4)
    assert b.btf().offset("s", "m") == 8
    assert not b.btf().has("s", "other")


@bounded_time()
def test_unnamed_structs_shared_at_every_level_end(b: Blob) -> None:
    """Two ways down at each of 60 levels are 2**60 ways to the bottom."""
    for _ in range(60):
        b.record("s" if not b.count else "", 4, ("", b.count + 2, 0), ("", b.count + 2, 32))
    b.record("", 4, ("m", b.count + 2, 0))
    b.integer("int", 4)
    assert b.btf().has("s", "m")
    assert not b.btf().has("s", "other")


def test_long_chain_of_unnamed_structs_is_no_recursion(b: Blob) -> None:
    for _ in range(5000):
        b.record("s" if not b.count else "", 4, ("", b.count + 2, 8))
    b.record("", 4, ("m", b.count + 2, 8))
    b.integer("int", 4)
    assert b.btf().offset("s", "m") == 5001


@bounded_time()
def test_one_long_name_for_many_parameters_stays_small(b: Blob) -> None:
    name = b.string("x" * 100_000)
    proto = b.add(FUNC_PROTO, "", 0, *(name, 0) * 50_000, vlen=50_000)
    b.add(FUNC, "f", proto)
    expect_error("no name ends within", b.btf().function_args, "f")


def ask_everything(data: bytes) -> None:
    """Ask all there is to ask; an answer is good and a BtfError is good, nothing else."""
    try:
        btf = Btf(data)
    except BtfError:
        return
    for path in (("upid", "nr"), ("pid", "rcu"), ("pid", "numbers", "ns"), ("flags", "narrow")):
        for number in (btf.offset, btf.member_size):
            with contextlib.suppress(BtfError):
                assert number(*path) >= 0
        assert btf.has(*path) in (True, False)
    for enum, enumerator in (("pid_type", "PIDTYPE_TGID"), ("signed", "LOW"), ("wide", "BIG")):
        with contextlib.suppress(BtfError):
            assert -(1 << 63) <= btf.enum(enum, enumerator) < 1 << 64
    for name in ("detach_pid", "printk"):
        with contextlib.suppress(BtfError):
            args = btf.function_args(name)
            assert args is None or all(isinstance(arg, str) for arg in args)
    with contextlib.suppress(BtfError):
        assert btf.size("pid") >= 0


def test_every_truncation_is_an_error() -> None:
    data = every_kind().data()
    for length in range(len(data)):
        with pytest.raises(BtfError):
            Btf(data[:length])


@bounded_time(60)
def test_every_single_bit_flipped() -> None:
    data = bytearray(every_kind().data())
    for place in range(8 * len(data)):
        data[place // 8] ^= 1 << place % 8
        ask_everything(bytes(data))
        data[place // 8] ^= 1 << place % 8


FLIPS = st.lists(st.tuples(st.integers(0, len(every_kind().data()) - 1), st.integers(0, 255)))


@given(FLIPS)
@bounded_time()
def test_bytes_replaced(flips: list[tuple[int, int]]) -> None:
    data = bytearray(every_kind().data())
    for place, value in flips:
        data[place] = value
    ask_everything(bytes(data))


@given(st.binary(), st.binary())
@bounded_time()
def test_arbitrary_bytes(types: bytes, strings: bytes) -> None:
    b = Blob()
    b.types, b.strings = types, b"\0pid\0upid\0nr\0numbers\0rcu\0detach_pid\0" + strings + b"\0"
    ask_everything(types + strings)
    ask_everything(b.data())
    b.types = types[: len(types) & ~3]
    ask_everything(b.data())


@given(st.recursive(st.integers(0, 255), lambda inner: st.lists(inner, max_size=4), max_leaves=25))
def test_any_nesting_of_anonymous_structs(tree: object) -> None:
    """A leaf is a member after so many bytes; a list, an anonymous struct after its length."""
    b = Blob()
    u8 = b.integer("char", 1)
    expected: dict[str, int] = {}

    def build(node: object, name: str, base: int) -> tuple[str, int, int]:
        if isinstance(node, int):
            leaf = f"m{len(expected)}"
            expected[leaf] = base + node
            return leaf, u8, 8 * node
        assert isinstance(node, list)
        place = 0 if name else len(node)
        members = [build(child, "", base + place) for child in node]
        return "", b.record(name, 1, *members, kind=UNION if len(node) % 2 else STRUCT), 8 * place

    build([tree], "s", 0)
    btf = b.btf()
    assert {name: btf.offset("s", name) for name in expected} == expected
    assert not btf.has("s", f"m{len(expected)}")


def test_kernel_pid_types(vmlinux: Btf) -> None:
    names = ("PIDTYPE_PID", "PIDTYPE_TGID", "PIDTYPE_PGID", "PIDTYPE_SID")
    assert [vmlinux.enum("pid_type", name) for name in names] == [0, 1, 2, 3]


def test_kernel_pid_structs(vmlinux: Btf) -> None:
    assert vmlinux.offset("upid", "nr") == 0
    assert vmlinux.offset("upid", "ns") == vmlinux.member_size("upid", "ns") == 8
    assert vmlinux.size("upid") == vmlinux.member_size("task_struct", "comm") == 16
    assert vmlinux.offset("pid", "numbers") > 0
    assert vmlinux.offset("pid_namespace", "ns", "inum") > vmlinux.offset("pid_namespace", "ns")
    assert vmlinux.member_size("task_struct", "start_boottime") == 8
    assert vmlinux.has("signal_struct", "pids")
    assert not vmlinux.has("task_struct", "no_such_member")


def test_kernel_functions(vmlinux: Btf) -> None:
    assert vmlinux.function_args("detach_pid") in (("task", "type"), ("pids", "task", "type"))
    assert vmlinux.function_args("attach_pid") == ("task", "type")
    assert vmlinux.function_args("no_such_function") is None
