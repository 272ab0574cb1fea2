"""What the kernel says of a program's runs that it left out; it needs root, to load one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pidscope.live import misses
from pidscope.live.bpf_call import load
from pidscope.live.misses import kretprobe_misses, recursion_misses

SOCKET_FILTER = 1
RETURN_0 = bytes.fromhex("b7000000000000009500000000000000")  # r0 = 0; exit


def test_a_program_that_never_ran_has_missed_nothing() -> None:
    with open(load("nothing", RETURN_0, SOCKET_FILTER), "rb") as program:
        assert recursion_misses(program.fileno()) == 0


def test_what_is_no_program_is_an_error() -> None:
    with open(os.devnull) as file, pytest.raises(OSError):
        recursion_misses(file.fileno())


def test_what_tracefs_says_of_a_kretprobe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misses, "TRACEFS", (tmp_path / "not there", tmp_path))
    assert kretprobe_misses("r_copy_process_7_0a") == 0
    (tmp_path / "kprobe_profile").write_text(
        "  r_alloc_pid_7_0a                          356              15\n"
        "  r_copy_process_8_0b                       999               7\n"
        "  r_copy_process_7_0a                       232             139\n"
    )
    assert kretprobe_misses("r_copy_process_7_0a") == 139
    assert kretprobe_misses("r_copy_pid_ns_7_0a") == 0
