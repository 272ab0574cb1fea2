"""A PID namespace, a /proc and a /run of the unit tests' own.

Many tests read a real /proc. Whatever else runs on the machine, containers, their engines and other
tests, is not in this one. As root that takes no more than unshare(2), as an ordinary user a user
namespace. The process that was started waits for the one that runs the tests:

    the process that was started
    └─ number 1: hands out the ends of orphans, as an init does
       └─ number 2: the tests, in a session and a process group of their own
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
_MS_REC_PRIVATE = 0x44000
_PR_SET_PDEATHSIG = 1
_CAPABILITY_VERSION_3 = 0x20080522
_PASSED_ON = (signal.SIGINT, signal.SIGTERM)

_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> str:
    """Go on in namespaces of the tests' own, in a child; return in words where the tests run.

    Where none may be made, as in many containers, they run where they are.
    """
    reason = _refusal()
    if reason:
        return f"no namespaces of their own ({reason}): what else runs here may disturb them"
    _unshare()
    first = os.fork()
    if first:
        _wait_for(first)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _mount()
    tests = os.fork()
    if tests:
        _wait_for(tests)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    _drop_capabilities()
    return f"namespaces of their own, pid:[{Path('/proc/self/ns/pid').stat().st_ino}]"


def _refusal() -> str:
    """Return why no namespaces can be made; empty: they can."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    script = "mount -t tmpfs none /run"
    trial = ["unshare", *user, "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    try:
        done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        return f"unshare: {error.strerror}"
    return "" if done.returncode == 0 else done.stderr.strip().partition("\n")[0] or "refused"


def _unshare() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _check(_libc.unshare(_CLONE_NEWPID | _CLONE_NEWNS))
        return
    _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWNS))
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        Path(f"/proc/self/{file}").write_text(text)


def _mount() -> None:
    """Mount a /proc, and nothing where engines have their sockets and users their rules."""
    _check(_libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    _check(_libc.mount(b"proc", b"/proc", b"proc", 0, None))
    for place in (Path("/run"), Path("/etc/pidscope"), Path.home() / ".config/pidscope"):
        if place.is_dir():
            _check(_libc.mount(b"none", bytes(place), b"tmpfs", 0, b"mode=755"))


def _wait_for(child: int) -> None:
    """End as a child does, once it has; hand on to it what asks this process to end."""

    def pass_on(number: int, frame: object) -> None:
        os.kill(child, number)

    for number in _PASSED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:  # a background job
            signal.signal(number, pass_on)
    ended = None
    while ended != child:
        ended, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _drop_capabilities() -> None:
    """In a user namespace the tests have all of them, which an ordinary user has not."""
    if os.geteuid() != 0:
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        _check(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
