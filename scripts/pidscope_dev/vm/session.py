"""Run one virtual machine to its end: carry its output out, watch the time, clean up."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from . import qemu, share
from .errors import BootError, TimeLimitError, VmError
from .stream import Stream

TAIL_BYTES = 12000
TAIL_LINES = 50

# Shown when the machine is lost: what its programs wrote, and the end of its console.
LOGS = ("virtiofsd", "qemu", "console")


@dataclass(frozen=True)
class Limits:
    """How long a virtual machine may take, in seconds.

    Attributes:
        total: from switching on to CMD's end.
        idle: from the last output to the next, so that a slow guest that progresses may go on.
    """

    total: float
    idle: float = float("inf")


class Session:
    """One running virtual machine, through this side's ends of its channels."""

    def __init__(self, ends: dict[str, socket.socket], token: bytes, limits: Limits) -> None:
        """Listen within the limits, from now."""
        self._ends = ends
        self._limits = limits
        self._begun = self._progressed = time.monotonic()
        self._streams = {"out": Stream(token, 1), "err": Stream(token, 2)}
        self._kept = dict.fromkeys(("status", *LOGS), b"")

    @property
    def status(self) -> int | None:
        """CMD's exit status, once the guest has reported it."""
        for line in self._kept["status"].decode(errors="replace").split("\n")[:-1]:
            word, _, number = line.partition(" ")
            if word == "status" and number.isdigit():
                return int(number)
        return None

    def run(self) -> int:
        """Carry output until everything has come; return CMD's status.

        Raises VmError (the machine was lost; BootError: by a panic, with CMD untouched),
        TimeLimitError, BrokenPipeError (the caller is gone).
        """
        while True:
            status = self.status
            if status is not None and all(stream.done for stream in self._streams.values()):
                return status
            alive = self._ends.keys() & set(qemu.CHANNELS)
            if not alive and not any(stream.ready for stream in self._streams.values()):
                raise self._lost()
            self._step()

    def _step(self) -> None:
        left = self._left()
        # Not epoll, which refuses regular files, and the caller's output may be one.
        with selectors.PollSelector() as selector:
            for name, stream in self._streams.items():
                if stream.ready:
                    selector.register(stream.target, selectors.EVENT_WRITE, name)
            for name, end in self._ends.items():
                # What the caller has not taken yet holds the guest back.
                if name not in self._streams or not self._streams[name].ready:
                    selector.register(end, selectors.EVENT_READ, name)
            for key, events in selector.select(left):
                if events & selectors.EVENT_WRITE:
                    self._streams[key.data].write()
                else:
                    self._read(key.data)

    def _left(self) -> float:
        """Return the seconds until the nearer limit. Raises TimeLimitError if it has passed."""
        now = time.monotonic()
        total, idle = self._limits.total, self._limits.idle
        left, passed = min(
            (self._begun + total - now, f"the time limit of {total:g} s passed"),
            (self._progressed + idle - now, f"the idle limit of {idle:g} s passed without output"),
        )
        if left <= 0:
            raise TimeLimitError(f"{passed} {self._where()}{self._tail()}")
        return left

    def _read(self, name: str) -> None:
        if name in qemu.PORTS:
            self._progressed = time.monotonic()
        try:
            data = self._ends[name].recv(1 << 16)
        except ConnectionError:
            data = b""
        if name in self._streams:
            self._streams[name].feed(data)
        else:
            self._kept[name] = (self._kept[name] + data)[-TAIL_BYTES:]
        if not data:
            self._ends.pop(name).close()

    def _lost(self) -> VmError:
        kind = BootError if self._panic() and not self._kept["status"] else VmError
        return kind(f"the virtual machine was lost {self._where()}{self._tail()}")

    def _panic(self) -> str:
        found = re.search(rb"Kernel panic[^\r\n]*", self._kept["console"])
        return found[0].decode(errors="replace") if found else ""

    def _where(self) -> str:
        where = "while CMD ran" if self._kept["status"] else "before CMD was started"
        return ": ".join(filter(None, [where, self._panic()]))

    def _tail(self) -> str:
        tail = ""
        # What the programs wrote matters only if QEMU reported something.
        for name in LOGS if self._kept["qemu"] else LOGS[-1:]:
            text = self._kept[name].decode(errors="replace").replace("\r", "")
            lines = [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]
            tail += "".join(f"\n  {name}: {line}" for line in lines)
        return tail or "\n  (nothing on its console)"


def run(machine: qemu.Machine, initramfs: bytes, token: str, limits: Limits) -> int:
    """Boot the machine, once more if it panics before CMD is started; return CMD's status.

    Raises as Session.run does.
    """
    try:
        return _run(machine, initramfs, token, limits)
    except BootError as error:
        # Observed on 7.3 in QEMU 7.2 without KVM: an int3 oops at boot, where the kernel patches
        # itself.
        print(f"scripts/vm: {str(error).splitlines()[0]}; booting once more", file=sys.stderr)
        return _run(machine, initramfs, token, limits)


def _run(machine: qemu.Machine, initramfs: bytes, token: str, limits: Limits) -> int:
    """Whatever happens, the machine and everything it needed is gone afterwards."""
    with contextlib.ExitStack() as stack:
        ours, theirs = {}, {}
        for name in {*qemu.CHANNELS, *LOGS}:
            pair = socket.socketpair()
            ours[name], theirs[name] = map(stack.enter_context, pair)
        if machine.share == "virtiofs":
            server, connection = share.start_virtiofsd(theirs["virtiofsd"].fileno())
            stack.enter_context(_ended(server))
            theirs["fs"] = stack.enter_context(connection)
        initrd = stack.enter_context(open(os.memfd_create("initramfs"), "wb", buffering=0))
        _write(initrd.fileno(), initramfs)
        stack.enter_context(_ended(_start(machine, initrd.fileno(), theirs)))
        # Only QEMU may hold the other ends, or they would stay open when it ends.
        for end in theirs.values():
            end.close()
        return Session(ours, token.encode(), limits).run()


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


def _start(
    machine: qemu.Machine, initrd: int, ends: dict[str, socket.socket]
) -> subprocess.Popen[bytes]:
    channels = {name: end.fileno() for name, end in ends.items() if name in qemu.CHARDEVS}
    # The machine must not outlive this process, even if that is killed. In its own session the
    # machine does not get the terminal's Ctrl-C: this process ends it, after all else.
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *machine.command(initrd, channels)],
        pass_fds=[initrd, *channels.values()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=ends["qemu"].fileno(),
        start_new_session=True,
    )


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()
