"""Loading and attaching the programs, in the best way that this kernel allows.

Each probe mode is tried, never chosen by a version.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections import Counter
from pathlib import Path

from pidscope.errors import BtfError, HostError
from pidscope.events import TaskSeen
from pidscope.host.btf import Btf
from pidscope.live.compiler import compile_programs, explain, stderr_kept
from pidscope.live.iterator import TaskIterator
from pidscope.live.misses import kretprobe_misses, recursion_misses
from pidscope.live.offsets import absent_functions, constants, tracepoint_id, typed
from pidscope.live.ring import Ring
from pidscope.live.tracepoint import Tracepoint
from pidscope.wire.hooks import TRACEPOINT, Hook, Kind, hooks_of

BTF_PATH = Path("/sys/kernel/btf/vmlinux")
RING_BYTES = 8 << 20
# Tasks that can be inside one function at once without a missed return: forks sleep there.
# The default is two a CPU on some kernels, ten in all on others; more than this is refused
# (KRETPROBE_MAXACTIVE_MAX, kernel/trace/trace_kprobe.c).
_MAXACTIVE = 4096

REFUSED_HINT = (
    "look at kernel lockdown (/sys/kernel/security/lockdown), the LSM, the capabilities of this "
    "container, kernel.unprivileged_bpf_disabled and CONFIG_KPROBES"
)
_PREFIX = {
    ("fentry", Kind.ENTRY): "kfunc__",
    ("fentry", Kind.EXIT): "kretfunc__",
    ("kprobe", Kind.ENTRY): "enter_",
    ("kprobe", Kind.EXIT): "leave_",
}


class Refused(HostError):
    """The kernel does not let one program be loaded or attached."""


def read_btf() -> Btf:
    """Read the running kernel's BTF; raises `BtfError` if it has none."""
    try:
        return Btf(BTF_PATH.read_bytes())
    except OSError as error:
        raise BtfError(
            f"this kernel gives no type information: {BTF_PATH}: {error.strerror}",
            "pidscope needs a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions do",
        ) from error


class Program:
    """The programs, loaded and attached. Closing it, or dying, takes them out of the kernel.

    Of kretprobes, dying without closing leaves the names in tracefs, with nothing behind them.

    Args:
        way: ``fentry``, ``kprobe`` or ``tracepoint``.
        ring_bytes: size of the ring buffer, a power of two and whole pages.
        steps: the programs also report the intermediate events (`pidscope.wire.hooks.Hook`).

    Raises:
        Refused: the kernel did not let a hook attach that makes state.
        HostError: there is no bcc; BtfError: there is no usable BTF.
    """

    def __init__(self, way: str, ring_bytes: int = RING_BYTES, steps: bool = True) -> None:
        self.way = way
        self.steps = steps
        self.hooks = hooks_of(way, steps)
        self.missing: dict[Hook, str] = {}  # hooks that are not attached, and why
        self.no_iterator = ""  # why there is none
        self._iterator: TaskIterator | None = None
        self._tracepoints: dict[str, Tracepoint] = {}
        self._btf = read_btf()
        absent = absent_functions(self._btf, self.hooks)
        flags = constants(self._btf, self.hooks)
        if way != "kprobe" and typed(self._btf):
            flags["TYPED"] = 1
        self._module = compile_programs(way, flags, ring_bytes, steps)
        try:
            self._attach_all(absent)
            self._link_iterator()
            self.ring = Ring(self._module[b"events"].map_fd, ring_bytes)
            self._lost_map = mmap.mmap(self._module[b"lost"].map_fd, mmap.PAGESIZE, mmap.MAP_SHARED)
        except BaseException:
            self._detach_all()
            raise
        self._lost = memoryview(self._lost_map).cast("Q")
        self._hits = self._module[b"hits"]
        self._module.free_bcc_memory()

    @property
    def lost(self) -> int:
        """Records that could not be written so far; the map, not a record, knows the latest."""
        return self._lost[0]

    def sees(self, name: str) -> bool:
        """Whether the hook of this name is attached."""
        names = (hook.name for hook in self.hooks if hook not in self.missing)
        return name in names

    def tasks(self) -> list[TaskSeen] | None:
        """Return every task from the task iterator, None: there is none; raises OSError."""
        return None if self._iterator is None else self._iterator.read()

    def hits(self) -> dict[str, int]:
        """How many records each hook had to write so far, or calls it stands for, on all CPUs."""
        return {
            hook.name: sum(self._hits[ctypes.c_int(number)])
            for number, hook in enumerate(self.hooks)
        }

    def skipped(self) -> dict[str, int]:
        """Return how many runs of each hook the kernel skipped so far, where it counts them."""
        skipped: Counter[str] = Counter()
        for hook_name, tracepoint in self._tracepoints.items():
            skipped[hook_name] += recursion_misses(tracepoint.fd) or 0
        for name, function in self._module.funcs.items():
            # kfunc__[vmlinux__]NAME, kretfunc__[vmlinux__]NAME, enter_NAME, leave_NAME
            for hook in self.hooks:
                if name.decode().endswith("_" + hook.name):
                    skipped[hook.name] += recursion_misses(function.fd) or 0
        if self.way == "kprobe":
            returns = (hook.name for hook in self.hooks if hook.kind is Kind.EXIT)
            skipped.update({name: kretprobe_misses(name) for name in returns})
        return dict(skipped)

    def close(self) -> None:
        """Detach everything and free the maps."""
        if self._iterator is not None:
            self._iterator.close()
        self.ring.close()
        self._lost.release()
        self._lost_map.close()
        self._detach_all()

    def _detach_all(self) -> None:
        for tracepoint in self._tracepoints.values():
            tracepoint.close()
        self._module.cleanup()

    def _link_iterator(self) -> None:
        try:
            self._iterator = TaskIterator(self._module)
        except OSError as error:
            self.no_iterator = str(error.strerror)
            if self.way == TRACEPOINT:  # what it does not watch, it must be able to look up
                raise Refused(f"task iterator: {error.strerror}") from error

    def _attach_all(self, absent: dict[str, str]) -> None:
        for hook in self.hooks:
            if hook.name in absent:
                self.miss(hook, absent[hook.name])
                continue
            try:
                self._attach(hook)
            except Refused as refusal:
                self.miss(hook, str(refusal))

    def miss(self, hook: Hook, why: str) -> None:
        """Note that a hook reports nothing; raise Refused if it makes state."""
        if hook.makes_state:
            raise Refused(f"{hook.name}: {why}")
        self.missing[hook] = why

    def _attach(self, hook: Hook) -> None:
        with stderr_kept() as said:
            ctypes.set_errno(0)
            try:
                if hook.kind is Kind.TRACEPOINT:
                    self._attach_tracepoint(hook)
                elif self.way == "fentry":
                    self._attach_trampoline(hook)
                else:
                    self._attach_kprobe(hook)
            except Exception as error:  # bcc raises nothing more precise
                raise Refused(explain(ctypes.get_errno(), said(), error)) from error

    def _attach_tracepoint(self, hook: Hook) -> None:
        name = f"tp_{hook.name}"
        instructions = self._module.instructions(name.encode())
        type_id = tracepoint_id(self._btf, hook.name)
        self._tracepoints[hook.name] = Tracepoint(instructions, name, type_id)

    def _attach_trampoline(self, hook: Hook) -> None:
        name = self._trampoline_name(hook)
        if hook.kind is Kind.ENTRY:
            self._module.attach_kfunc(fn_name=name)
        else:
            self._module.attach_kretfunc(fn_name=name)

    def _trampoline_name(self, hook: Hook) -> bytes:
        """What bpf/functions.c called it: bcc 0.28 and later want the module in the name."""
        of_module = f"{_PREFIX[self.way, hook.kind]}vmlinux__{hook.name}".encode()
        return of_module if self._module.has(of_module) else _program_name(self.way, hook)

    def _attach_kprobe(self, hook: Hook) -> None:
        if hook.name == "copy_process":  # its return needs what its entry saw
            self._module.attach_kprobe(event=b"copy_process", fn_name=b"enter_copy_process")
        event, name = hook.name.encode(), _program_name(self.way, hook)
        if hook.kind is Kind.ENTRY:
            self._module.attach_kprobe(event=event, fn_name=name)
            return
        try:
            self._module.attach_kretprobe(event=event, fn_name=name, maxactive=_MAXACTIVE)
        except Exception:  # there is no tracefs, through which alone it can be asked for
            self._module.attach_kretprobe(event=event, fn_name=name)


def expect_root() -> None:
    """Raise HostError unless this process may load programs."""
    if os.geteuid() != 0:
        raise HostError("live mode needs root, to load eBPF programs", "run it with sudo")


def _program_name(way: str, hook: Hook) -> bytes:
    return (_PREFIX[way, hook.kind] + hook.name).encode()
