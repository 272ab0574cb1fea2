"""Puppets: the processes of a fresh PID namespace on the real kernel, driven over pipes.

A `World` is made by ``world.c``: its first puppet is number 1 of a new namespace (level 1), with
its own proc mount. No other process is in it, so every number from level 1 inwards is known.
`pidscope_dev.differential.theatre` ensures that everything is at rest between two calls.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, NamedTuple

CALLS = (
    "FORK",
    "VFORK",
    "CLONE",
    "CLONE3",
    "UNSHARE",
    "SETNS",
    "EXECVE",
    "EXIT",
    "EXIT_GROUP",
    "WAIT4",
    "KILL",
    "SETSID",
    "SETPGID",
    "GETPID",
    "GETTID",
    "GETPPID",
    "GETPGID",
    "GETSID",
    "SUBREAPER",
    "WRITE_SYSCTL",
    "READ_SYSCTL",
)
SOURCES = [str(Path(__file__).with_name(name)) for name in ("puppet.c", "world.c")]
LEVELS, SLOTS, PATH_BYTES = 40, 128, 64
ANSWER_SECONDS = 2.0
"""How long to wait for a puppet that has to answer; if it does not, that is a difference, too."""
END_SECONDS = 10.0
"""How long a world may take to end; one that does not has an init that cannot be killed."""

_COMMAND = struct.Struct(f"@iiii qq {LEVELS}i {PATH_BYTES}s")
_REPLY = struct.Struct("@iii")
_NUMBER = {name: number for number, name in enumerate(CALLS)}


class Command(NamedTuple):
    """One system call, as ``struct command`` has it."""

    call: str
    a: int = 0
    b: int = 0
    set_tid: tuple[int, ...] = ()
    path: str = ""


class Reply(NamedTuple):
    """What a call returned: a value, or a negative errno; and the status that wait4 wrote."""

    value: int
    status: int

    def __str__(self) -> str:
        text = errno.errorcode.get(-self.value, str(self.value)) if self.value < 0 else self.value
        return f"{text} status {self.status:#x}" if self.status else f"{text}"


Start = Callable[[Sequence[str], Sequence[int]], "subprocess.Popen[bytes]"]
"""Starts a program that inherits these descriptors and runs before the driver does."""


class NoAnswer(Exception):
    """A puppet ended, or hangs, in a call that had to return."""


class World:
    """A fresh PID namespace and its puppets, each known by its channel."""

    def __init__(self, puppet: str, user_namespace: bool, start: Start) -> None:
        self._pipes = [os.pipe() for _ in range(SLOTS)]
        self._writers = {reader: writer for reader, writer in self._pipes}
        self._slots = {reader: slot for slot, (reader, _) in enumerate(self._pipes)}
        self._free = [reader for reader, _ in reversed(self._pipes)]
        self._replies, self._answer = os.pipe()
        os.set_blocking(self._replies, False)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self.patience = ANSWER_SECONDS
        self.proc = -1
        self.first = self.take_channel()
        self._begin(puppet, user_namespace, start)

    @property
    def init_pid(self) -> int:
        """The number of the first puppet in the driver's namespace."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text())

    def take_channel(self) -> int:
        """A channel for a puppet that is about to be made."""
        return self._free.pop()

    def give_back(self, channel: int) -> None:
        """The channel's puppet is dead, or was never born: use it again."""
        self._free.append(channel)

    def send(self, channel: int, command: Command, child: int = -1) -> None:
        """Let a puppet make a call; `child` is the channel for the one that is made by it."""
        numbers = [*command.set_tid, *[0] * (LEVELS - len(command.set_tid))]
        packed = _COMMAND.pack(
            _NUMBER[command.call],
            child,
            self._slots.get(child, 0),
            len(command.set_tid),
            command.a,
            command.b,
            *numbers,
            command.path.encode(),
        )
        os.write(self._writers[channel], packed)

    def hear(self, channels: Sequence[int]) -> dict[int, Reply]:
        """The replies there are, by channel, as soon as all of these have replied.

        Raises NoAnswer.
        """
        deadline = time.monotonic() + self.patience
        heard: dict[int, Reply] = {}
        while True:
            with contextlib.suppress(BlockingIOError):
                for channel, *reply in _REPLY.iter_unpack(
                    os.read(self._replies, 1024 * _REPLY.size)
                ):
                    heard[channel] = Reply(*reply)
            if all(channel in heard for channel in channels):
                return heard
            left = deadline - time.monotonic()
            if left <= 0 or self._process.poll() is not None:
                raise NoAnswer(f"no answer within {self.patience} s")
            self._poll.poll(min(left, 0.2) * 1000)

    def call(self, channel: int, command: Command, child: int = -1) -> int:
        """Make a call that must return; its value, or a negative errno. Raises NoAnswer."""
        self.send(channel, command, child)
        return self.hear([channel])[channel].value

    def close(self) -> None:
        """End the world: the process that made it kills and reaps its init."""
        self._control.close()
        for writer in self._writers.values():
            os.close(writer)
        for reader in self._writers:
            os.close(reader)
        self._process.wait(END_SECONDS)
        for descriptor in (self._replies, self._answer, self.proc):
            if descriptor >= 0:
                os.close(descriptor)

    def _begin(self, puppet: str, user_namespace: bool, start: Start) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            arguments = [puppet, "world", *map(str, (theirs.fileno(), self._answer, self.first))]
            if user_namespace:
                arguments += [str(os.geteuid()), str(os.getegid())]
            self._process = start(arguments, (theirs.fileno(), self._answer, *self._writers))
        self._control.send(b"!")
        _, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        if not descriptors:
            self.close()
            raise NoAnswer("no world was made")
        self.proc = descriptors[0]
        self.hear([self.first])


def build(directory: Path) -> str:
    """Compile the puppet into a directory; its path."""
    puppet = directory / "puppet"
    sizes = {"LEVELS": LEVELS, "SLOTS": SLOTS, "PATH_BYTES": PATH_BYTES, "CALLS": ",".join(CALLS)}
    definitions = [f"-D{name}={value}" for name, value in sizes.items()]
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", *definitions]
    subprocess.run([*command, *SOURCES, "-o", str(puppet)], check=True)
    return str(puppet)
