"""listns(), since 6.19: the PID namespaces of the machine, as far as this process may see them."""

from __future__ import annotations

import ctypes
import os
import struct

from pidscope.host.ns_chain import inums_of

_SYS_LISTNS = 470  # of every architecture but alpha
_CLONE_NEWPID = 0x20000000
_FD_NSFS_ROOT = -10003  # include/uapi/linux/fcntl.h
_FILEID_NSFS = 0xF1  # include/linux/exportfs.h
_MOST = 512  # ids that one call gives
_REQUEST = struct.Struct("=IIQIIQ")  # struct ns_id_req: size, -, last id, type, -, of a user ns
_HANDLE = struct.Struct("=IiQII")  # struct file_handle, struct nsfs_file_handle


def listed_chains() -> list[list[int]] | None:
    """Return the inum of each PID namespace and of those around it; None: this is not to be had.

    A namespace that ends meanwhile is left out.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found: list[list[int]] = []
    last = 0
    ids = (ctypes.c_uint64 * _MOST)()
    while True:
        request = _REQUEST.pack(_REQUEST.size, 0, last, _CLONE_NEWPID, 0, 0)
        count = libc.syscall(
            ctypes.c_long(_SYS_LISTNS), request, ids, ctypes.c_size_t(_MOST), ctypes.c_uint(0)
        )
        if count < 0:
            return None
        found += filter(None, (_chain(libc, ids[place]) for place in range(count)))
        if count < _MOST:
            return found
        last = ids[count - 1]


def _chain(libc: ctypes.CDLL, ns_id: int) -> list[int]:
    """Return the inums from one namespace outwards; empty: it may not be opened, or has ended."""
    handle = ctypes.create_string_buffer(_HANDLE.pack(16, _FILEID_NSFS, ns_id, 0, 0))
    fd = libc.open_by_handle_at(_FD_NSFS_ROOT, handle, os.O_RDONLY | os.O_CLOEXEC)
    return [] if fd < 0 else inums_of(fd)
