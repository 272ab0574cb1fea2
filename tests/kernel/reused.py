"""A container of its own making, in which numbers are given out again and again.

Its number 1 gives number 42 to one process after the other, and by turns to a thread. Each logs
when it certainly had the number, by CLOCK_BOOTTIME, and its parent when it certainly did not yet,
or not any more. The log is JSON on standard output: {"number", "host", "from_ns", "to_ns",
"before_ns", "after_ns"}: it had the number from from_ns to to_ns, nothing before before_ns since
the one before, and nothing after after_ns until the next.

usage: python3 reused.py COUNT
"""

import ctypes
import json
import os
import sys
import time

CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
MS_PRIVATE, MS_REC = 1 << 18, 1 << 14
NUMBER = 42
libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def child(writer: int, status: int) -> None:
    """Have the number for some milliseconds, and tell when."""
    began = now_ns()
    time.sleep(0.002 + 0.001 * (status % 7))
    os.write(writer, json.dumps([began, now_ns()]).encode())
    os._exit(status)


def init(count: int) -> None:
    checked(libc.unshare(CLONE_NEWNS))
    checked(libc.mount(b"none", b"/", None, MS_PRIVATE | MS_REC, None))
    checked(libc.mount(b"proc", b"/proc", b"proc", 0, None))
    for status in range(count):
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(NUMBER - 1))
        reader, writer = os.pipe()
        before = now_ns()
        pid = os.fork()
        if pid == 0:
            child(writer, status % 256)
        os.close(writer)
        had = json.loads(os.read(reader, 4096))
        os.close(reader)
        os.waitpid(pid, 0)
        times = {"before_ns": before, "from_ns": had[0], "to_ns": had[1], "after_ns": now_ns()}
        print(json.dumps({"number": pid, "status": status % 256, **times}), flush=True)
    os._exit(0)


def main() -> None:
    checked(libc.unshare(CLONE_NEWPID))
    reader, writer = os.pipe()
    inside = os.fork()
    if inside == 0:
        os.read(reader, 1)
        init(int(sys.argv[1]))
    inum = os.stat(f"/proc/{inside}/ns/pid").st_ino  # noqa: PTH116
    print(json.dumps({"ns": inum, "init": inside}), flush=True)
    os.write(writer, b"x")
    _, status = os.waitpid(inside, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
