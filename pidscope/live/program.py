"""Compiling, loading and attaching bpf/pidscope.c, in the best way that this kernel allows.

No kernel headers: bcc is pointed at a directory of stubs (bpf/stub), and all that depends on the
kernel comes from its BTF. Each way of probing is found by trying it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpf
from pidscope.btf import Btf
from pidscope.errors import BtfError, HostError
from pidscope.live.bcc import load_bcc
from pidscope.live.hooks import HOOKS, Hook, Kind
from pidscope.live.misses import recursion_misses
from pidscope.live.offsets import absent_functions, constants
from pidscope.live.ring import Ring

BTF_PATH = Path("/sys/kernel/btf/vmlinux")
RING_BYTES = 8 << 20

WAYS = ("fentry", "kprobe")
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

    Args:
        way: ``fentry`` or ``kprobe``.
        ring_bytes: size of the ring buffer, a power of two and whole pages.

    Raises:
        Refused: the kernel did not let a hook attach that makes state.
        HostError: there is no bcc; BtfError: there is no usable BTF.
    """

    def __init__(self, way: str, ring_bytes: int = RING_BYTES) -> None:
        self.way = way
        self.missing: dict[Hook, str] = {}  # hooks that are not attached, and why
        self._bcc = load_bcc()
        btf = read_btf()
        absent = absent_functions(btf)
        defines = constants(btf, absent)
        self._module = self._compile(defines, ring_bytes)
        try:
            self._attach_all(absent)
            self.ring = Ring(self._module[b"events"].map_fd, ring_bytes)
            self._lost_map = mmap.mmap(self._module[b"lost"].map_fd, mmap.PAGESIZE, mmap.MAP_SHARED)
        except BaseException:
            self._module.cleanup()
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
        return all(hook.name != name for hook in self.missing)

    def hits(self) -> dict[str, int]:
        """How often each hook ran since it was attached, summed over the CPUs."""
        return {
            hook.name: sum(self._hits[ctypes.c_int(number)]) for number, hook in enumerate(HOOKS)
        }

    def skipped(self) -> dict[str, int]:
        """How many runs of each hook the kernel left out so far, where it counts them."""
        skipped: Counter[str] = Counter()
        for name, function in self._module.funcs.items():
            # kfunc__NAME, kretfunc__NAME, enter_NAME, leave_NAME, tp_NAME
            hook = next(h.name for h in HOOKS if name.decode().endswith(h.name))
            skipped[hook] += recursion_misses(function.fd) or 0
        return dict(skipped)

    def close(self) -> None:
        """Detach everything and free the maps."""
        self.ring.close()
        self._lost.release()
        self._lost_map.close()
        self._module.cleanup()

    def _compile(self, defines: dict[str, int], ring_bytes: int) -> Any:
        source = Path(bpf.__file__).parent
        flags = [f"-D{name}={value}" for name, value in defines.items()]
        flags += [
            f"-I{source}",
            f"-DPAGE_SIZE={mmap.PAGESIZE}",
            f"-DRING_PAGES={ring_bytes // mmap.PAGESIZE}",
        ]
        if self.way == "fentry":
            flags.append("-DPROBES_FENTRY")
        text = (source / "pidscope.c").read_bytes()  # bcc takes bytes, and warns of anything else
        module = _module_class(self._bcc)
        with _kernel_source(source / "stub"), _stderr_kept() as said:
            try:
                return module(text=text, cflags=flags)
            except Exception as error:  # bcc raises nothing more precise
                raise HostError(f"bcc could not compile the programs: {said() or error}") from error

    def _attach_all(self, absent: dict[str, str]) -> None:
        for hook in HOOKS:
            if hook.name in absent:
                self._miss(hook, absent[hook.name])
                continue
            try:
                self._attach(hook)
            except Refused as refusal:
                self._miss(hook, str(refusal))

    def _miss(self, hook: Hook, why: str) -> None:
        if hook.makes_state:
            raise Refused(f"{hook.name}: {why}")
        self.missing[hook] = why

    def _attach(self, hook: Hook) -> None:
        with _stderr_kept() as said:
            name = hook.name.encode()
            ctypes.set_errno(0)
            try:
                if hook.kind is Kind.TRACEPOINT:
                    self._module.attach_raw_tracepoint(name, b"tp_" + name)
                elif self.way == "fentry":
                    self._attach_trampoline(hook)
                else:
                    self._attach_kprobe(hook)
            except Exception as error:  # bcc raises nothing more precise
                raise Refused(_explain(ctypes.get_errno(), said(), error)) from error

    def _attach_trampoline(self, hook: Hook) -> None:
        name = _program_name(self.way, hook)
        if hook.kind is Kind.ENTRY:
            self._module.attach_kfunc(fn_name=name)
        else:
            self._module.attach_kretfunc(fn_name=name)

    def _attach_kprobe(self, hook: Hook) -> None:
        if hook.name == "copy_process":  # its return needs what its entry saw
            self._module.attach_kprobe(event=b"copy_process", fn_name=b"enter_copy_process")
        attach = self._module.attach_kprobe
        if hook.kind is Kind.EXIT:
            attach = self._module.attach_kretprobe
        attach(event=hook.name.encode(), fn_name=_program_name(self.way, hook))


def load_program(ring_bytes: int = RING_BYTES) -> Program:
    """Load and attach in the first way that the kernel allows.

    Raises:
        HostError: no bcc; no BTF; or every way was refused, with each one's reason.
    """
    refusals = []
    for way in WAYS:
        try:
            return Program(way, ring_bytes)
        except Refused as refusal:
            refusals.append(f"{way}: {refusal}")
    raise HostError(
        "this kernel refuses function hooks: " + "; ".join(refusals),
        REFUSED_HINT,
    )


def expect_root() -> None:
    """Raise HostError unless this process may load programs."""
    if os.geteuid() != 0:
        raise HostError("live mode needs root, to load eBPF programs", "run it with sudo")


def _program_name(way: str, hook: Hook) -> bytes:
    return (_PREFIX[way, hook.kind] + hook.name).encode()


def _module_class(bcc: Any) -> Any:
    class Module(bcc.BPF):  # type: ignore[misc]
        """bcc's module, but attaching is ours, hook by hook, so that a refusal can be told."""

        def _trace_autoload(self) -> None:
            pass

    return Module


def _explain(number: int, said: str, error: Exception) -> str:
    if number:
        name = errno.errorcode.get(number, str(number))
        return f"{name} ({os.strerror(number)})"
    return said or str(error)


@contextlib.contextmanager
def _kernel_source(path: Path) -> Iterator[None]:
    """Point bcc at our stubs, and leave no trace of it for a command that is run later."""
    before = os.environ.get("BCC_KERNEL_SOURCE")
    os.environ["BCC_KERNEL_SOURCE"] = str(path)
    try:
        yield
    finally:
        del os.environ["BCC_KERNEL_SOURCE"]
        if before is not None:
            os.environ["BCC_KERNEL_SOURCE"] = before


@contextlib.contextmanager
def _stderr_kept() -> Iterator[Any]:
    """Keep what libbcc writes to file descriptor 2, so that a refusal stays one line."""
    kept = os.dup(2)
    with open(os.memfd_create("pidscope"), "w+b") as file:
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line]
            return lines[-1].strip() if lines else ""

        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
