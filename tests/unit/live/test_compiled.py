"""Compiled programs as bytes: what comes back is what was given, or an error."""

from __future__ import annotations

import random
import struct

import pytest

from pidscope.live.compiled import Code, Compiled, Map, from_bytes, linked, to_bytes, unlinked

LOAD_MAP, LOAD_NUMBER, EXIT = (0x18, 0x11, 0), (0x18, 0x01, 0), (0x95, 0, 0)
KEY = {"build_id": "ab", "steps": True, "layout": 1}
RING, HITS = Map("events", 27, 0, 0, 4096, 0), Map("hits", 6, 4, 8, 3, 0)


def program(*instructions: tuple[int, int, int]) -> bytes:
    """Each instruction's code, registers and immediate."""
    return b"".join(struct.pack("<BBhi", code, regs, 0, imm) for code, regs, imm in instructions)


def uses(fd: int) -> bytes:
    return program((*LOAD_MAP[:2], fd), (0, 0, 0))


def compiled() -> Compiled:
    two = unlinked(uses(7) + uses(9) + program(EXIT), {7: 1, 9: 0}, 321)
    none = unlinked(program(LOAD_NUMBER, (0, 0, 5), EXIT), {}, 0)
    return Compiled([RING, HITS], {"tp_a": two, "tp_b": none}, {"free_pid": "not here"})


def test_what_comes_back_is_what_was_given() -> None:
    assert from_bytes(to_bytes(compiled(), KEY), KEY) == compiled()


def test_descriptors_are_taken_out_and_put_in() -> None:
    """bcc puts those of its own maps in; each load has others."""
    code = compiled().codes["tp_a"]
    assert code.maps == [(0, 1), (2, 0)] and code.instructions == uses(0) + uses(0) + program(EXIT)
    assert linked(code, {0: 4, 1: 5}) == uses(5) + uses(4) + program(EXIT)


def test_a_number_that_is_loaded_is_no_map() -> None:
    assert compiled().codes["tp_b"].maps == []


@pytest.mark.parametrize("registers", [0x11, 0x21, 0x31], ids=["map", "map value", "BTF"])
def test_what_is_no_known_map_is_refused(registers: int) -> None:
    with pytest.raises(ValueError, match="instruction 0 refers"):
        unlinked(program((0x18, registers, 8), (0, 0, 0)), {7: 0}, 0)


def test_maps_that_no_program_uses_are_left_out() -> None:
    code = unlinked(uses(7), {7: 1}, 0)
    left = Compiled([RING, HITS], {"tp_a": code}, {}).of_used_maps()
    assert left.maps == [HITS] and left.codes["tp_a"].maps == [(0, 0)]


def test_another_key_is_refused() -> None:
    with pytest.raises(ValueError, match="another kernel"):
        from_bytes(to_bytes(compiled(), {**KEY, "build_id": "cd"}), KEY)


@pytest.mark.parametrize(
    "code",
    [
        Code(program(EXIT), 0, [(0, 0)]),  # is not told a map
        Code(uses(0), 0, [(0, 2)]),  # there is no third map
        Code(uses(0), 0, [(-1, 0)]),
        Code(uses(0), 0, [(9, 0)]),
        Code(uses(0)[:-1], 0, []),
    ],
)
def test_ill_formed_programs_are_refused(code: Code) -> None:
    with pytest.raises(ValueError):
        from_bytes(to_bytes(Compiled([RING, HITS], {"tp_a": code}, {}), KEY), KEY)


def test_whatever_the_bytes_are_it_is_an_error() -> None:
    whole = to_bytes(compiled(), KEY)
    for size in range(len(whole)):
        with pytest.raises(ValueError):
            from_bytes(whole[:size], KEY)
    with pytest.raises(ValueError):
        from_bytes(whole + b"\0", KEY)
    rng = random.Random(16)
    for _ in range(2_000):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        try:
            from_bytes(bytes(damaged), KEY)
        except ValueError:
            continue  # else the digest of `pidscope.live.cache` finds it
