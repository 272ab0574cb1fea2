"""Loading and attaching the programs of one probe mode."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import Counter

from pidscope.errors import HostError
from pidscope.events import TaskSeen
from pidscope.gc_pause import gc_paused
from pidscope.live.attached import Attached, attach
from pidscope.live.compiled import Compiled, linked
from pidscope.live.iterator import TaskIterator
from pidscope.live.kept_programs import kept_programs
from pidscope.live.maps import Maps, PerCpuCounters
from pidscope.live.refused import Refused, explain
from pidscope.live.ring import Ring
from pidscope.live.supply import Supply, program_names
from pidscope.wire.batch import decode_batch
from pidscope.wire.hooks import TRACEPOINT, Hook, hooks_of

RING_BYTES = 8 << 20


class Program:
    """The programs, loaded and attached. Closing it, or dying, takes them out of the kernel.

    Of kretprobes, dying without closing leaves the names in tracefs, with nothing behind them.

    Args:
        way: ``fentry``, ``kprobe`` or ``tracepoint``.
        ring_bytes: size of the ring buffer, a power of two and whole pages.
        steps: the programs also report the intermediate events (`pidscope.wire.hooks.Hook`).
        supply: gives the compiled programs.

    Raises:
        Refused: the kernel did not let a hook attach that makes state.
        HostError: there is no bcc, BtfError: there is no usable BTF, and programs are not kept.
    """

    def __init__(
        self,
        way: str,
        ring_bytes: int = RING_BYTES,
        steps: bool = True,
        supply: Supply | None = None,
    ) -> None:
        self.way = way
        self.steps = steps
        self.hooks = hooks_of(way, steps)
        self.missing: dict[Hook, str] = {}  # hooks that are not attached, and why
        self.no_iterator = ""  # why there is none
        self._iterator: TaskIterator | None = None
        self._attached: dict[str, list[Attached]] = {}  # by hook
        supply = supply or Supply(kept_programs())
        compiled = supply.programs(way, steps)
        with contextlib.ExitStack() as undo:
            try:
                self._maps = Maps(compiled.maps, {"events": ring_bytes})
            except OSError as error:
                raise Refused(f"its maps: {explain(error)}") from error
            undo.callback(self._detach_all)
            self._attach_all(compiled)
            self._link_iterator(supply)
            self.ring = Ring(self._maps.fd("events"), ring_bytes)
            self._lost_map = mmap.mmap(self._maps.fd("lost"), mmap.PAGESIZE, mmap.MAP_SHARED)
            undo.pop_all()
        self._lost = memoryview(self._lost_map).cast("Q")
        self._hits = PerCpuCounters(self._maps.fd("hits"))

    @property
    def lost(self) -> int:
        """Records that could not be written so far; the map, not a record, knows the latest."""
        return self._lost[0]

    @property
    def ring_fd(self) -> int:
        """The descriptor of the ring's map."""
        return self._maps.fd("events")

    def sees(self, name: str) -> bool:
        """Whether the hook of this name is attached."""
        names = (hook.name for hook in self.hooks if hook not in self.missing)
        return name in names

    def tasks(self) -> list[TaskSeen] | None:
        """Return every task from the task iterator, None: there is none; raises OSError."""
        data = self.task_records()
        if data is None:
            return None
        with gc_paused():
            return decode_batch(data)

    def task_records(self) -> bytes | None:
        """Return the same, not decoded."""
        return None if self._iterator is None else self._iterator.read_bytes()

    def hits(self) -> dict[str, int]:
        """How many records each hook had to write so far, or calls it stands for, on all CPUs."""
        return {hook.name: self._hits.total(number) for number, hook in enumerate(self.hooks)}

    def skipped(self) -> dict[str, int]:
        """Return how many runs of each hook the kernel skipped so far, where it counts them."""
        skipped: Counter[str] = Counter()
        for name, programs in self._attached.items():
            skipped[name] = sum(program.skipped() for program in programs)
        return dict(skipped)

    def close(self) -> None:
        """Detach everything and free the maps."""
        self.ring.close()
        self._lost.release()
        self._lost_map.close()
        self._detach_all()

    def detach(self, name: str) -> None:
        """Take the programs of one hook out of the kernel."""
        for program in self._attached.pop(name, []):
            program.close()

    def _detach_all(self) -> None:
        if self._iterator is not None:
            self._iterator.close()
        for name in list(self._attached):
            self.detach(name)
        self._maps.close()

    def _link_iterator(self, supply: Supply) -> None:
        try:
            self._iterator = TaskIterator(supply.iterator())
        except OSError as error:
            self.no_iterator = explain(error)
            if self.way == TRACEPOINT:  # what it does not watch, it must be able to look up
                raise Refused(f"task iterator: {self.no_iterator}") from error

    def _attach_all(self, compiled: Compiled) -> None:
        for hook in self.hooks:
            if hook.name in compiled.absent:
                self.miss(hook, compiled.absent[hook.name])
                continue
            try:
                self._attach(hook, compiled)
            except OSError as error:
                self.detach(hook.name)
                self.miss(hook, explain(error))

    def miss(self, hook: Hook, why: str) -> None:
        """Note that a hook reports nothing; raise Refused if it makes state."""
        if hook.makes_state:
            raise Refused(f"{hook.name}: {why}")
        self.missing[hook] = why

    def _attach(self, hook: Hook, compiled: Compiled) -> None:
        for name in program_names(self.way, hook):
            code = compiled.codes[name]
            instructions = linked(code, self._maps.fds)
            program = attach(hook, self.way, name, instructions, code.btf_id)
            self._attached.setdefault(hook.name, []).append(program)


def expect_root() -> None:
    """Raise HostError unless this process may load programs."""
    if os.geteuid() != 0:
        raise HostError("live mode needs root, to load eBPF programs", "run it with sudo")
