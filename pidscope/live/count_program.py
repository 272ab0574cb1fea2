"""The programs that count forks in the kernel (bpf/counts.c), loaded and attached."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

from pidscope.live import bpf_call
from pidscope.live.attached import Attached, attach
from pidscope.live.compiled import Compiled, linked
from pidscope.live.count_job import Form, count_job
from pidscope.live.kept_programs import kept_programs
from pidscope.live.maps import Maps, PerCpuHash
from pidscope.live.refused import Refused, explain
from pidscope.live.ring import Ring
from pidscope.live.supply import Supply, program_names
from pidscope.wire.counts import COUNTED, KEY, Counted, Init, decode_counted, decode_init
from pidscope.wire.hooks import FAILURES_TOLD_BY, TRACEPOINT, Hook

_RING_BYTES = 256 << 10  # 4,096 records of what a number 1 did
_ERRORS = 4096  # ERR_LAST + 1


class Counts(NamedTuple):
    """What was counted since the programs were attached.

    Attributes:
        by_key: by the bytes of a key (`pidscope.wire.counts`).
        others: of keys that did not fit.
        errors: failed forks by errno, those restarted too.
    """

    by_key: Mapping[bytes, Counted]
    others: Counted
    errors: Mapping[int, int]


class CountProgram:
    """The programs, attached. Closing it, or dying, takes them out of the kernel.

    Args:
        way: ``fentry``, ``kprobe`` or ``tracepoint``; the last one has no failed forks.
        by_namespace: the key is the PID namespace, and not the comm.
        supply: gives the compiled programs.
        batches: the table is read by batches; None: if the kernel can.

    Raises:
        Refused: the kernel did not let a program attach.
        HostError: there is no bcc, BtfError: there is no usable BTF, and programs are not kept.
    """

    def __init__(
        self,
        way: str = TRACEPOINT,
        by_namespace: bool = False,
        supply: Supply | None = None,
        batches: bool | None = None,
    ) -> None:
        self.way = way
        self.missing: dict[Hook, str] = {}  # hooks that are not attached, and why
        form = Form(way, by_namespace)
        self._hooks = form.hooks
        supply = supply or Supply(kept_programs())
        compiled = supply.others(form.name, partial(count_job, form))
        self._attached: dict[str, list[Attached]] = {}  # by hook
        with contextlib.ExitStack() as undo:
            try:
                self._maps = Maps(compiled.maps, self._sizes(by_namespace))
            except OSError as error:
                raise Refused(f"its maps: {explain(error)}") from error
            undo.callback(self._detach_all)
            for hook in self._hooks:
                self._attach(hook, compiled)
            self._counts = PerCpuHash(self._maps.fd("counts"), KEY, COUNTED, batches)
            self._others = ctypes.create_string_buffer(COUNTED * self._counts.cpus)
            self._ring = Ring(self._maps.fd("inits"), _RING_BYTES) if by_namespace else None
            undo.pop_all()

    @property
    def sees_failures(self) -> bool:
        """Whether failed forks are counted."""
        return FAILURES_TOLD_BY in self._attached

    @property
    def batches(self) -> bool | None:
        """Whether the table is read by batches; None: that was not tried yet."""
        return self._counts.batches

    @property
    def ring_fd(self) -> int | None:
        """A descriptor that can be read from when a number 1 has done something."""
        return None if self._ring is None else self._maps.fd("inits")

    def read(self) -> Counts:
        """Read all that was counted so far; raises OSError."""
        cpus = self._counts.cpus
        by_key = {key: decode_counted(values, cpus) for key, values in self._counts.items()}
        return Counts(by_key, self.others(), self._errors())

    def others(self) -> Counted:
        """Read what was counted of keys that did not fit; raises OSError."""
        bpf_call.look_up(self._maps.fd("others"), 0, self._others)
        return decode_counted(self._others.raw, self._counts.cpus)

    def inits(self) -> Iterator[Init]:
        """Yield what number 1s did since the last time; raises WireError."""
        if self._ring is not None:
            yield from map(decode_init, self._ring.drain(self._ring.position))

    def lost(self) -> int:
        """How many acts of number 1s had no room in their ring."""
        if self._ring is None:
            return 0
        return self._words("lost", 1)[0]

    def skipped(self) -> int:
        """How many runs of its programs the kernel skipped, so far as it counts them."""
        return sum(each.skipped() for programs in self._attached.values() for each in programs)

    def miss_failures(self, why: str) -> None:
        """Note that failed forks are not counted."""
        self._miss(next(hook for hook in self._hooks if hook.name == FAILURES_TOLD_BY), why)

    def _miss(self, hook: Hook, why: str) -> None:
        """Note that a hook counts nothing; raise Refused if another than that of failed forks."""
        if hook.name != FAILURES_TOLD_BY:
            raise Refused(f"{hook.name}: {why}")
        for program in self._attached.pop(hook.name, []):
            program.close()
        self.missing[hook] = why

    def close(self) -> None:
        """Detach everything and free the maps."""
        if self._ring is not None:
            self._ring.close()
        self._detach_all()

    def _sizes(self, by_namespace: bool) -> dict[str, int]:
        return {"inits": _RING_BYTES} if by_namespace else {}

    def _detach_all(self) -> None:
        while self._attached:
            for program in self._attached.popitem()[1]:
                program.close()
        self._maps.close()

    def _attach(self, hook: Hook, compiled: Compiled) -> None:
        if hook.name in compiled.absent:
            self._miss(hook, compiled.absent[hook.name])
            return
        try:
            for name in program_names(self.way, hook):
                if name in compiled.codes:
                    code = compiled.codes[name]
                    instructions = linked(code, self._maps.fds)
                    program = attach(hook, self.way, name, instructions, code.btf_id)
                    self._attached.setdefault(hook.name, []).append(program)
        except OSError as error:
            self._miss(hook, explain(error))

    def _errors(self) -> dict[int, int]:
        if not self.sees_failures:
            return {}
        words = self._words("errors", _ERRORS)
        return {number: count for number, count in enumerate(words) if count}

    def _words(self, name: str, count: int) -> list[int]:
        """Return the elements of an array that can be mapped."""
        size = (count * 8 + mmap.PAGESIZE - 1) & -mmap.PAGESIZE
        with (
            mmap.mmap(self._maps.fd(name), size, mmap.MAP_SHARED, mmap.PROT_READ) as mapped,
            memoryview(mapped) as view,
            view.cast("Q") as words,
        ):
            return words[:count].tolist()
