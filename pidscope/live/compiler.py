"""Compiling bpf/*.c with bcc, without kernel headers.

bcc is pointed at a directory of stubs (bpf/stub), and all that depends on the kernel comes from
its BTF as -D constants.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pidscope.errors import HostError
from pidscope.live.bcc import load_bcc
from pidscope.live.tracepoint import Instructions

SOURCE_FOLDER = Path(__file__).parent.parent / "bpf"  # in a checkout a link to the bpf/ beside it
_FUNCTIONS = ("ring.c", "task.c", "tracepoints.c", "functions.c", "iterator.c")
SOURCES = {
    "fentry": _FUNCTIONS,
    "kprobe": _FUNCTIONS,
    "tracepoint": ("ring.c", "task.c", "tracepoints.c", "newtask.c", "iterator.c"),
}


def compile_programs(way: str, constants: Mapping[str, int], ring_bytes: int, steps: bool) -> Any:
    """Compile the programs of one probe mode; return a bcc module with nothing attached.

    Raises:
        HostError: bcc is not installed, or cannot compile them.
    """
    bcc = load_bcc()
    folder = SOURCE_FOLDER
    flags = [f"-D{name}={value}" for name, value in constants.items()]
    flags += [
        f"-I{folder}",
        f"-DPAGE_SIZE={mmap.PAGESIZE}",
        f"-DRING_PAGES={ring_bytes // mmap.PAGESIZE}",
        f"-DPROBES_{way.upper()}",
        *(["-DSTEPS"] if steps else []),
    ]
    with _kernel_source(folder / "stub"), stderr_kept() as said:
        try:
            # bcc takes bytes, and warns of anything else
            return _module_class(bcc)(text=_text(folder, SOURCES[way]), cflags=flags)
        except Exception as error:  # bcc raises nothing more precise
            raise _not_compiled(said() or str(error)) from error


def _not_compiled(why: str) -> HostError:
    """bcc makes the maps while it compiles, so a refusal of bpf(2) looks like an error in them."""
    if os.strerror(errno.EPERM) in why:
        return HostError(
            f"this process may not use bpf(2): {why}",
            "it needs CAP_BPF, CAP_PERFMON and CAP_SYS_RESOURCE, or CAP_SYS_ADMIN, in the initial "
            "user namespace",
        )
    return HostError(f"bcc could not compile the programs: {why}")


def _text(folder: Path, names: tuple[str, ...]) -> bytes:
    """The files as one text, each with its own lines in the compiler's messages."""
    parts = [f'#line 1 "{name}"\n'.encode() + (folder / name).read_bytes() for name in names]
    return b"\n".join(parts)


def _module_class(bcc: Any) -> Any:
    class Module(bcc.BPF):  # type: ignore[misc]
        """bcc's module, but pidscope attaches hook by hook, to name one that is refused."""

        def has(self, name: bytes) -> bool:
            """Whether a program of this name was compiled."""
            return bool(bcc.lib.bpf_function_start(self.module, name))

        def instructions(self, name: bytes) -> Instructions:
            """A compiled program; its maps stand in it by their file descriptors."""
            start = bcc.lib.bpf_function_start(self.module, name) or 0
            return Instructions(start, bcc.lib.bpf_function_size(self.module, name))

        def detach_kprobe_event(self, ev_name: bytes) -> None:
            """Close the probe; bcc then looks for it in tracefs, which there need not be."""
            with stderr_kept():
                try:
                    super().detach_kprobe_event(ev_name)
                except Exception:  # bcc raises nothing more precise
                    if self.kprobe_fds.get(ev_name):
                        raise

        def _trace_autoload(self) -> None:
            pass

    return Module


@contextlib.contextmanager
def _kernel_source(path: Path) -> Iterator[None]:
    """Point bcc at our stubs, and restore the environment for a command that is run later."""
    before = os.environ.get("BCC_KERNEL_SOURCE")
    os.environ["BCC_KERNEL_SOURCE"] = str(path)
    try:
        yield
    finally:
        del os.environ["BCC_KERNEL_SOURCE"]
        if before is not None:
            os.environ["BCC_KERNEL_SOURCE"] = before


@contextlib.contextmanager
def stderr_kept() -> Iterator[Any]:
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


def explain(number: int, said: str, error: Exception) -> str:
    """Return why the kernel refused: its errno if there is one, else what libbcc wrote."""
    if number:
        name = errno.errorcode.get(number, str(number))
        return f"{name} ({os.strerror(number)})"
    return said or str(error)
