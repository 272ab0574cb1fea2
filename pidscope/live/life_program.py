"""The programs of the life stream (bpf/lives.c), loaded and attached, and their maps.

Which of two forms a kernel takes is found by trying. A program needs an atomic addition that
returns the old value to take a slot in an array (BPF_FETCH, since Linux commit 5ffa25502b5a ("bpf:
Add instructions for atomic_[cmp]xchg", v5.12) and those beside it); without it, records go through
rings.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from pidscope.errors import HostError
from pidscope.live import bpf_call
from pidscope.live.attached import Attached, attach
from pidscope.live.compiled import Compiled, linked
from pidscope.live.kept_programs import kept_programs
from pidscope.live.life_job import DEEP, Form, life_job
from pidscope.live.maps import Maps
from pidscope.live.refused import Refused, explain
from pidscope.live.supply import Supply, program_names
from pidscope.wire.hooks import TRACEPOINT, Hook
from pidscope.wire.layout import BIRTH_LEVELS
from pidscope.wire.lives import CLASSES, Class

LIVES = 65_536  # tasks whose lives, and births, are kept until they are read; a power of two
LIVES_ROW = CLASSES[0].size
_DEEP_BYTES = 512  # for each of those a ring has: its size is a power of two
_RAW_TRACEPOINT = 17  # enum bpf_prog_type
# r1 = 0; *(u64 *)(r10 - 8) = r1; r1 = atomic_fetch_add((u64 *)(r10 - 8), r1); r0 = 0; exit
_FETCH_ADD = bytes.fromhex(
    "b701000000000000 7b1af8ff00000000 db1af8ff01000000 b700000000000000 9500000000000000"
)


class Stream(NamedTuple):
    """One class of records as the kernel keeps it until it is read."""

    of: Class
    fd: int  # of the array, or of the ring
    sequences_fd: int  # of the array of sequences; -1: it is a ring
    cursor_fd: int  # of the array's cursor; -1
    capacity: int  # records
    size: int  # bytes of the ring, or of the array


class LifeProgram:
    """The programs, attached. Closing it, or dying, takes them out of the kernel.

    Args:
        way: ``fentry``, ``kprobe`` or ``tracepoint``; they differ in an exec by a thread only.
        births: births are recorded, too.
        threads: so are tasks that are not their process's leader; without them nothing is known
            of a TID that is no PID.
        execs: the old number of a thread that calls exec is recorded; None: where that costs other
            processes nothing, which is by a function hook.
        slots: whether records go into mapped arrays; None: if the kernel can.
        lives: how many tasks' records are kept until they are read, a power of two.
        supply: gives the compiled programs.

    Raises:
        Refused: the kernel did not let a program attach.
        HostError: there is no bcc, BtfError: there is no usable BTF, and programs are not kept.
    """

    def __init__(
        self,
        way: str = TRACEPOINT,
        births: bool = False,
        threads: bool = True,
        execs: bool | None = None,
        slots: bool | None = None,
        lives: int = LIVES,
        supply: Supply | None = None,
    ) -> None:
        self.way = way
        self.slots = has_atomic_fetch() if slots is None else slots
        execs = threads and (way != TRACEPOINT if execs is None else execs)
        form = Form(way, births, threads, execs, self.slots, lives)
        supply = supply or Supply(kept_programs())
        compiled = supply.others(form.name, partial(life_job, form))
        supply.forget_btf()
        classes = [of for of in CLASSES if births or not of.births]
        self._attached: list[Attached] = []
        with contextlib.ExitStack() as undo:
            self._maps = _maps(compiled, () if self.slots else classes, lives)
            undo.callback(self.close)
            for hook in form.hooks:
                self._attach(hook, compiled)
            self.streams = tuple(self._stream(of, lives) for of in classes)
            undo.pop_all()

    def lost(self) -> dict[str, int]:
        """By class, how many records had no room in their ring; of slots, none is counted here."""
        if self.slots:
            return {}
        fd = self._maps.fd("lost")
        with (
            mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ) as lost,
            memoryview(lost) as view,
            view.cast("Q") as counts,
        ):
            return {of.name: counts[at] for at, of in enumerate(CLASSES)}

    def skipped(self) -> int:
        """How many runs of its programs the kernel skipped, so far as it counts them."""
        return sum(each.skipped() for each in self._attached)

    def pin(self, directory: str) -> None:
        """Let programs and maps outlive this process, as long as their names are there.

        Raises OSError.
        """
        for number, each in enumerate(self._attached):
            each.pin(f"{directory}/link_{number}")
        for stream in self.streams:
            name = f"{directory}/{stream.of.name}"
            bpf_call.pin(stream.fd, name)
            bpf_call.pin(stream.sequences_fd, f"{name}_sequences")
            bpf_call.pin(stream.cursor_fd, f"{name}_cursor")

    def close(self) -> None:
        """Detach everything that is not pinned, and free the maps."""
        while self._attached:
            self._attached.pop().close()
        self._maps.close()

    def _attach(self, hook: Hook, compiled: Compiled) -> None:
        if hook.name in compiled.absent:
            raise Refused(f"life stream: {hook.name}: {compiled.absent[hook.name]}")
        try:
            for name in program_names(self.way, hook):
                code = compiled.codes[name]
                instructions = linked(code, self._maps.fds)
                self._attached.append(attach(hook, self.way, name, instructions, code.btf_id))
        except OSError as error:
            raise Refused(f"life stream: {hook.name}: {explain(error)}") from error

    def _stream(self, of: Class, lives: int) -> Stream:
        fd = self._maps.fd(of.name)
        if not self.slots:
            size = _ring_bytes(of, lives)
            return Stream(of, fd, -1, -1, (size - 1) // of.size, size)  # never quite full
        capacity = DEEP if _is_deep(of) else lives
        sequences_fd = self._maps.fd(f"{of.name}_sequences")
        cursor_fd = self._maps.fd(f"{of.name}_cursor")
        return Stream(of, fd, sequences_fd, cursor_fd, capacity, capacity * of.size)


def has_atomic_fetch() -> bool:
    """Whether this kernel's programs can add and get the old value back; raises HostError."""
    try:
        fd = bpf_call.load("pidscope_trial", _FETCH_ADD, _RAW_TRACEPOINT)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EACCES):  # the verifier does not know it
            return False
        raise HostError(f"this kernel refuses any program: {error.strerror}") from error
    os.close(fd)
    return True


def _maps(compiled: Compiled, rings: Iterable[Class], lives: int) -> Maps:
    try:
        return Maps(compiled.maps, {of.name: _ring_bytes(of, lives) for of in rings})
    except OSError as error:
        raise Refused(f"life stream: its maps: {explain(error)}") from error


def _ring_bytes(of: Class, lives: int) -> int:
    return DEEP * _DEEP_BYTES if _is_deep(of) else lives * LIVES_ROW


def _is_deep(of: Class) -> bool:
    return of.levels > BIRTH_LEVELS
