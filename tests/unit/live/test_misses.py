"""What the kernel says of a program's runs that it left out; it needs root, to load one."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from pidscope.live import misses
from pidscope.live.bpf_call import bpf
from pidscope.live.misses import kretprobe_misses, recursion_misses

PROG_LOAD, SOCKET_FILTER = 5, 1
RETURN_0 = bytes.fromhex("b7000000000000009500000000000000")  # r0 = 0; exit


class LoadAttributes(ctypes.Structure):
    """The first members for BPF_PROG_LOAD of union bpf_attr."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    )


def load() -> int:
    instructions = ctypes.create_string_buffer(RETURN_0, len(RETURN_0))
    terms = ctypes.create_string_buffer(b"GPL")
    attributes = LoadAttributes(
        SOCKET_FILTER, 2, ctypes.addressof(instructions), ctypes.addressof(terms)
    )
    return bpf(PROG_LOAD, attributes)


def test_a_program_that_never_ran_has_missed_nothing() -> None:
    with open(load(), "rb") as program:
        assert recursion_misses(program.fileno()) == 0


def test_what_is_no_program_is_an_error() -> None:
    with open(os.devnull) as file, pytest.raises(OSError):
        recursion_misses(file.fileno())


def test_what_tracefs_says_of_a_kretprobe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = tmp_path / "kprobe_profile"
    monkeypatch.setattr(misses, "_PROFILES", (tmp_path / "not there", profile))
    assert kretprobe_misses("copy_process") == 0
    mine, other = os.getpid(), os.getpid() + 1
    profile.write_text(
        f"  r_alloc_pid_bcc_{mine}                  356              15\n"
        f"  r_copy_process_bcc_{other}              999               7\n"
        f"  r_copy_process_bcc_{mine}               232             139\n"
    )
    assert kretprobe_misses("copy_process") == 139
    assert kretprobe_misses("copy_pid_ns") == 0
