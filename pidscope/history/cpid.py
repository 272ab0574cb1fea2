"""OCSF's common process id: one UUID of a process, whichever program made it and wherever it ran.

It is a UUIDv8 (RFC 9562) of SHA-256 over what the kernel alone decides: the boot, the innermost PID
namespace, the start, and the number there. Source: github.com/ocsf/common-process-id,
specification.md ("Linux"), whose own example is a test. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_TICK_NS = 10_000_000  # of /proc/N/stat: USER_HZ is 100 (include/uapi/asm-generic/param.h)
_INPUT = struct.Struct("=16sQQq")  # boot, inum, ticks, TGID: in the byte order of the machine
_HEX = frozenset("0123456789abcdefABCDEF")
_BOOT_DIGITS = 32


def cpid(boot_id: str, ns: int, start_ns: int, tgid: int) -> str | None:
    """Return the id of a process; None: the boot id is no UUID.

    Args:
        boot_id: of /proc/sys/kernel/random/boot_id.
        ns: the inum of the innermost PID namespace.
        start_ns: CLOCK_BOOTTIME, without the offset of a time namespace.
        tgid: its number there.
    """
    digits = boot_id.replace("-", "")
    if len(digits) != _BOOT_DIGITS or not _HEX.issuperset(digits):
        return None
    import hashlib  # loads OpenSSL

    data = _INPUT.pack(bytes.fromhex(digits), ns, start_ns // _TICK_NS, tgid)
    digest = bytearray(hashlib.sha256(data).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # version 8
    digest[8] = digest[8] & 0x3F | 0x80  # the variant of RFC 9562
    text = digest.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def cpid_of(
    boot_id: str,
    numbers: Sequence[int | None],
    inums: Sequence[int],
    tgid: int,
    leader_start_ns: int | None,
) -> str | None:
    """Return the id of a task's process; None: something that it needs is not known.

    Of a thread inside a PID namespace it is not: its process's number there is in another record.
    """
    is_leader = numbers[0] == tgid
    number = numbers[-1] if is_leader else tgid
    if number is None or leader_start_ns is None or not (is_leader or len(numbers) == 1):
        return None
    return cpid(boot_id, inums[-1], leader_start_ns, number)
