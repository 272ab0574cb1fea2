"""Tracepoints whose program knows the types of its arguments.

A raw tracepoint gives bare addresses, and every word behind one costs a helper call. Loaded as of
type ``tp_btf`` (BPF_TRACE_RAW_TP, kernel/bpf/syscall.c and btf.c), the same program follows the
pointers itself. bcc compiles it, but can only load the former.
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

from pidscope.live.bpf_call import bpf

_PROG_LOAD, _RAW_TRACEPOINT_OPEN = 5, 17  # enum bpf_cmd, include/uapi/linux/bpf.h
_TRACING = 26  # enum bpf_prog_type
_RAW_TP = 23  # enum bpf_attach_type
_INSTRUCTION = 8  # bytes
_NAME_LEN = 15  # BPF_OBJ_NAME_LEN, less its NUL


class _Load(ctypes.Structure):
    """The members of ``union bpf_attr`` of BPF_PROG_LOAD, as far as 5.5 has them."""

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
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
        ("prog_btf_fd", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("func_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("line_info_cnt", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
    )


class _Open(ctypes.Structure):
    """Those of BPF_RAW_TRACEPOINT_OPEN; a program that knows its tracepoint needs no name."""

    _fields_ = (("name", ctypes.c_uint64), ("prog_fd", ctypes.c_uint32), ("pad", ctypes.c_uint32))


class Instructions(NamedTuple):
    """A compiled program where bcc has it: its address, and its size in bytes."""

    address: int
    size: int


class Tracepoint:
    """A program, attached to a tracepoint.

    Args:
        instructions: the program, its maps made already.
        name: what the kernel is to call it.
        type_id: BTF's of ``typedef btf_trace_NAME``.

    Raises:
        OSError: the kernel refuses it.
    """

    def __init__(self, instructions: Instructions, name: str, type_id: int) -> None:
        licence = ctypes.create_string_buffer(b"GPL")
        attributes = _Load(
            prog_type=_TRACING,
            insn_cnt=instructions.size // _INSTRUCTION,
            insns=instructions.address,
            license=ctypes.addressof(licence),
            prog_name=name.encode()[:_NAME_LEN],
            expected_attach_type=_RAW_TP,
            attach_btf_id=type_id,
        )
        self.fd = bpf(_PROG_LOAD, attributes)
        try:
            self._link = bpf(_RAW_TRACEPOINT_OPEN, _Open(prog_fd=self.fd))
        except OSError:
            os.close(self.fd)
            raise

    def close(self) -> None:
        """Take it out of the kernel."""
        os.close(self._link)
        os.close(self.fd)
