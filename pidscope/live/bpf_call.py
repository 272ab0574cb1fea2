"""bpf(2): maps, programs, links and what the kernel knows of them (include/uapi/linux/bpf.h)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
from collections.abc import Iterator
from typing import Any, Callable

from pidscope.live.compiled import INSTRUCTION, Map

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
# enum bpf_cmd
_MAP_CREATE, _MAP_LOOKUP_ELEM, _MAP_UPDATE_ELEM, _MAP_GET_NEXT_KEY, _PROG_LOAD = 0, 1, 2, 4, 5
_OBJ_PIN, _OBJ_GET, _MAP_LOOKUP_BATCH = 6, 7, 24
_OBJ_GET_INFO_BY_FD, _RAW_TRACEPOINT_OPEN, _LINK_CREATE, _ITER_CREATE = 15, 17, 28, 33
KPROBE, TRACING = 2, 26  # enum bpf_prog_type
FENTRY, FEXIT, RAW_TP, ITER = 24, 25, 23, 28  # enum bpf_attach_type, with the prefix BPF_TRACE_
_NAME_LEN = 15  # BPF_OBJ_NAME_LEN, less its NUL

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class _MapCreate(ctypes.Structure):
    _fields_ = (
        ("map_type", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("numa_node", ctypes.c_uint32),
        ("map_name", ctypes.c_char * 16),
    )


class _Lookup(ctypes.Structure):
    _fields_ = (
        ("map_fd", ctypes.c_uint64),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class _Batch(ctypes.Structure):
    _fields_ = (
        ("in_batch", ctypes.c_uint64),
        ("out_batch", ctypes.c_uint64),
        ("keys", ctypes.c_uint64),
        ("values", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("map_fd", ctypes.c_uint32),
        ("elem_flags", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class _Pin(ctypes.Structure):
    _fields_ = (
        ("pathname", ctypes.c_uint64),
        ("bpf_fd", ctypes.c_uint32),
        ("file_flags", ctypes.c_uint32),
    )


class _Load(ctypes.Structure):
    """The members of BPF_PROG_LOAD, as far as 5.5 has them."""

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


class _Info(ctypes.Structure):
    _fields_ = (
        ("bpf_fd", ctypes.c_uint32),
        ("info_len", ctypes.c_uint32),
        ("info", ctypes.c_uint64),
    )


class _OpenTracepoint(ctypes.Structure):
    """A program that knows its tracepoint, or its function, needs no name."""

    _fields_ = (("name", ctypes.c_uint64), ("prog_fd", ctypes.c_uint32), ("pad", ctypes.c_uint32))


class _Link(ctypes.Structure):
    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


class _Iterate(ctypes.Structure):
    _fields_ = (("link_fd", ctypes.c_uint32), ("flags", ctypes.c_uint32))


def checked(result: int) -> int:
    """Return what a system call returned; raise OSError if it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def bpf(command: int, attributes: ctypes.Structure) -> int:
    """Make the call and return its result.

    Args:
        command: of ``enum bpf_cmd``.
        attributes: the member of ``union bpf_attr`` that goes with it.

    Raises:
        OSError: the kernel refused, or this machine's number of the call is not known (ENOSYS).
    """
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    size = ctypes.c_long(ctypes.sizeof(attributes))
    result: int = libc.syscall(
        ctypes.c_long(number), ctypes.c_long(command), ctypes.byref(attributes), size
    )
    return checked(result)


def create_map(spec: Map, max_entries: int | None = None) -> int:
    """Make a map, of another size if one is given; return its descriptor; raises OSError."""
    attributes = _MapCreate(
        map_type=spec.type,
        key_size=spec.key_size,
        value_size=spec.value_size,
        max_entries=spec.max_entries if max_entries is None else max_entries,
        map_flags=spec.flags,
        map_name=spec.name.encode()[:_NAME_LEN],
    )
    return _with_memory(lambda: bpf(_MAP_CREATE, attributes))


def load(name: str, instructions: bytes, kind: int, attach: int = 0, btf_id: int = 0) -> int:
    """Load a program and return its descriptor; raises OSError.

    Args:
        name: what the kernel is to call it; it takes 15 bytes of it.
        instructions: with descriptors of maps.
        kind: of ``enum bpf_prog_type``.
        attach: of ``enum bpf_attach_type``.
        btf_id: BTF's id of what it will be attached to.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = _Load(
        prog_type=kind,
        insn_cnt=len(instructions) // INSTRUCTION,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(licence),
        prog_name=name.encode()[:_NAME_LEN],
        expected_attach_type=attach,
        attach_btf_id=btf_id,
    )
    return _with_memory(lambda: bpf(_PROG_LOAD, attributes))


def open_tracing(program: int) -> int:
    """Attach a program of type `TRACING` to what it was loaded for; return the link's descriptor.

    Raises OSError.
    """
    return bpf(_RAW_TRACEPOINT_OPEN, _OpenTracepoint(prog_fd=program))


def link_iterator(program: int) -> int:
    """Return the descriptor of a link, each opening of which iterates once; raises OSError."""
    return bpf(_LINK_CREATE, _Link(prog_fd=program, attach_type=ITER))


def open_iterator(link: int) -> int:
    """Return a descriptor to read one iteration from; raises OSError."""
    return bpf(_ITER_CREATE, _Iterate(link_fd=link))


def look_up(fd: int, key: int, values: Any) -> None:
    """Fill a ctypes array with an array map's element, on every possible CPU; raises OSError."""
    look_up_key(fd, ctypes.c_uint32(key), values)


def look_up_key(fd: int, key: Any, values: Any) -> None:
    """Fill a ctypes array with the value of a key, itself a ctypes object; raises OSError."""
    bpf(_MAP_LOOKUP_ELEM, _Lookup(fd, ctypes.addressof(key), ctypes.addressof(values), 0))


def next_key(fd: int, key: Any | None, behind: Any) -> bool:
    """Fill ``behind`` with the key behind ``key``, or the first; False: there is none.

    Raises OSError.
    """
    at = 0 if key is None else ctypes.addressof(key)
    try:
        bpf(_MAP_GET_NEXT_KEY, _Lookup(fd, at, ctypes.addressof(behind), 0))
    except FileNotFoundError:
        return False
    return True


def look_up_batch(
    fd: int, place: Any | None, behind: Any, keys: Any, values: Any, most: int
) -> tuple[int, bool]:
    """Fill ctypes arrays with keys and values; return how many, and whether they were the last.

    BPF_MAP_LOOKUP_BATCH, of hashes since Linux commit 057996380a42 ("bpf: Add batch ops to all htab
    bpf map", v5.6).

    Args:
        place: where to begin, as ``behind`` was filled before; None: at the first.

    Raises:
        OSError: with ENOSPC, so many are too few for what belongs together.
    """
    attributes = _Batch(
        in_batch=0 if place is None else ctypes.addressof(place),
        out_batch=ctypes.addressof(behind),
        keys=ctypes.addressof(keys),
        values=ctypes.addressof(values),
        count=most,
        map_fd=fd,
    )
    try:
        bpf(_MAP_LOOKUP_BATCH, attributes)
    except FileNotFoundError:
        return int(attributes.count), True
    return int(attributes.count), False


def update(fd: int, key: int, value: bytes) -> None:
    """Set an array map's element; raises OSError."""
    index, content = ctypes.c_uint32(key), ctypes.create_string_buffer(value, len(value))
    addresses = ctypes.addressof(index), ctypes.addressof(content)
    bpf(_MAP_UPDATE_ELEM, _Lookup(fd, *addresses, 0))


def pin(fd: int, path: str) -> None:
    """Give a map or a link a name in a BPF file system, by which it outlives us; raises OSError."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    bpf(_OBJ_PIN, _Pin(pathname=ctypes.addressof(name), bpf_fd=fd))


def get(path: str) -> int:
    """Return a descriptor of what has a name in a BPF file system; raises OSError."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(_OBJ_GET, _Pin(pathname=ctypes.addressof(name)))


def info(fd: int, data: Any) -> int:
    """Fill a ctypes object with what the kernel knows of a program; return how many bytes it has.

    Raises OSError.
    """
    attributes = _Info(fd, ctypes.sizeof(data), ctypes.addressof(data))
    bpf(_OBJ_GET_INFO_BY_FD, attributes)
    return int(attributes.info_len)


def _with_memory(call: Callable[[], int]) -> int:
    """Make the call; before 5.11 what it needs counts as locked memory, which may be little."""
    try:
        return call()
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        with _unlimited_locked_memory():
            return call()


@contextlib.contextmanager
def _unlimited_locked_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with contextlib.suppress(ValueError, OSError):  # without CAP_SYS_RESOURCE it stays as it is
        resource.setrlimit(resource.RLIMIT_MEMLOCK, everything)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
