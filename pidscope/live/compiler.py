"""Compiling bpf/*.c with bcc, without kernel headers, in a child process.

bcc is pointed at a directory of stubs (bpf/stub), and all that depends on the kernel comes from
its BTF as -D constants. bcc makes the maps while it compiles; what is taken from it are the
instructions and the specifications of the maps, for `pidscope.live.compiled`.

Why a child: clang runs for a third of a second, under emulation for seconds, in one call of C, in
which no signal is handled; a child can be killed at once. LLVM keeps 20 to 40 MB for good; a child
gives them back. And libbcc writes to file descriptor 2, which in a child can be another file. It is
forked, not started anew, since an interpreter and its imports would take as long as half of the
compilation. A lock that another thread of this process holds could matter to a forked child; the
child uses none that the C library does not reset by itself.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, NoReturn

from pidscope.errors import HostError
from pidscope.live.bcc import load_bcc
from pidscope.live.compiled import (
    ALIVE,
    COUNTS,
    ITERATOR,
    LISTING,
    LIVES,
    Compiled,
    Map,
    from_bytes,
    to_bytes,
    unlinked,
)
from pidscope.live.source_folder import SOURCE_FOLDER

_FUNCTIONS = ("ring.c", "task.c", "tracepoints.c", "functions.c")
_SOURCES = {
    "fentry": _FUNCTIONS,
    "kprobe": _FUNCTIONS,
    "tracepoint": ("ring.c", "task.c", "tracepoints.c", "newtask.c"),
    ITERATOR: ("ring.c", "task.c", "iterator.c"),
    LISTING: ("listing.c",),
    LIVES: ("lives.c",),
    ALIVE: ("alive.c",),
    COUNTS: ("counts.c",),
}
_PR_SET_PDEATHSIG = 1


class Job(NamedTuple):
    """What is to be compiled together.

    Attributes:
        mode: a probe mode, `ITERATOR`, `LISTING`, `LIVES`, `ALIVE` or `COUNTS`.
        constants: the -D constants that depend on the kernel, and ``STEPS``.
        programs: BTF's id of what each program will be attached to, 0: it needs none.
        absent: the hooks that this kernel does not have, and why.
    """

    mode: str
    constants: Mapping[str, int]
    programs: Mapping[str, int]
    absent: Mapping[str, str]


def compile_jobs(jobs: Sequence[Job]) -> list[Compiled]:
    """Compile each job, in a child that has ended when this returns or raises.

    Raises:
        HostError: bcc is not installed, or cannot compile them.
    """
    reply, status = _reply(lambda: _compiled(jobs))
    head, _, rest = reply.partition(b"\n")
    try:
        answer = json.loads(head)
        if "error" in answer:
            raise HostError(answer["error"], answer["hint"])
        compiled, at = [], 0
        for size in answer["sizes"]:
            compiled.append(from_bytes(rest[at : at + size], {}))
            at += size
    except ValueError as error:
        raise HostError(f"the process that compiles ended with {status}: {error}") from error
    return compiled


def _reply(work: Callable[[], bytes]) -> tuple[bytes, int]:
    """Return the result of ``work`` in a child, and the child's exit code, negative for a signal.

    Whatever is raised here meanwhile, as by a signal, ends the child.
    """
    reader, writer = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _run(work, writer, parent)
    os.close(writer)
    try:
        with open(reader, "rb") as pipe:
            reply = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    return reply, os.waitstatus_to_exitcode(status)


def _run(work: Callable[[], bytes], writer: int, parent: int) -> NoReturn:
    """Whatever happens in the child, it never comes back; nor does it outlive its parent."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            with open(writer, "wb") as pipe:
                pipe.write(work())
    finally:
        os._exit(1)


def _compiled(jobs: Sequence[Job]) -> bytes:
    """Return a line of JSON, and behind it the bytes of each compilation."""
    written = os.memfd_create("pidscope")
    os.dup2(written, 1)
    os.dup2(written, 2)
    try:
        bcc = load_bcc()
        parts = [to_bytes(_compile(bcc, job), {}) for job in jobs]
    except HostError as error:
        return json.dumps({"error": str(error), "hint": error.hint}).encode()
    except Exception as error:  # bcc raises nothing more precise
        refused = _not_compiled(_last_line(written) or str(error))
        return json.dumps({"error": str(refused), "hint": refused.hint}).encode()
    return b"\n".join((json.dumps({"sizes": list(map(len, parts))}).encode(), b"".join(parts)))


def _last_line(written: int) -> str:
    text = os.pread(written, 1 << 20, 0).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _not_compiled(why: str) -> HostError:
    """bcc makes the maps while it compiles, so a refusal of bpf(2) looks like an error in them."""
    if os.strerror(errno.EPERM) in why:
        return HostError(
            f"this process may not use bpf(2): {why}",
            "it needs CAP_BPF, CAP_PERFMON and CAP_SYS_RESOURCE, or CAP_SYS_ADMIN, in the initial "
            "user namespace",
        )
    return HostError(f"bcc could not compile the programs: {why}")


def _compile(bcc: Any, job: Job) -> Compiled:
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCE_FOLDER / "stub")
    flags = [f"-D{name}={value}" for name, value in job.constants.items()]
    flags += [
        f"-I{SOURCE_FOLDER}",
        f"-DPAGE_SIZE={mmap.PAGESIZE}",
        "-DRING_PAGES=1",  # it gets its size when it is made
        f"-DPROBES_{job.mode.upper()}",
    ]
    # bcc takes bytes, and warns of anything else
    module = _module_class(bcc)(text=_text(_SOURCES[job.mode]), cflags=flags)
    specs = _specs(bcc.lib, ctypes.c_void_p(module.module))
    places = {fd: place for place, fd in enumerate(specs)}
    codes = {
        name: unlinked(_instructions(bcc.lib, module.module, name), places, btf_id)
        for name, btf_id in job.programs.items()
    }
    return Compiled(list(specs.values()), codes, job.absent).of_used_maps()


def _text(names: Sequence[str]) -> bytes:
    """The files as one text, each with its own lines in the compiler's messages."""
    parts = [f'#line 1 "{name}"\n'.encode() + (SOURCE_FOLDER / name).read_bytes() for name in names]
    return b"\n".join(parts)


def _specs(lib: Any, module: ctypes.c_void_p) -> dict[int, Map]:
    """The specifications of all maps, by the descriptors that stand for them in instructions."""
    for function in (lib.bpf_num_tables, lib.bpf_table_key_size_id, lib.bpf_table_leaf_size_id):
        function.restype = ctypes.c_size_t
    lib.bpf_table_name.restype = ctypes.c_char_p
    specs = {}
    for number in map(ctypes.c_size_t, range(lib.bpf_num_tables(module))):
        specs[lib.bpf_table_fd_id(module, number)] = Map(
            lib.bpf_table_name(module, number).decode(),
            lib.bpf_table_type_id(module, number),
            lib.bpf_table_key_size_id(module, number),
            lib.bpf_table_leaf_size_id(module, number),
            lib.bpf_table_max_entries_id(module, number),
            lib.bpf_table_flags_id(module, number),
        )
    return specs


def _instructions(lib: Any, module: Any, name: str) -> bytes:
    start = lib.bpf_function_start(module, name.encode())
    if not start:
        raise ValueError(f"there is no program {name}")
    return ctypes.string_at(start, lib.bpf_function_size(module, name.encode()))


def _module_class(bcc: Any) -> Any:
    class Module(bcc.BPF):  # type: ignore[misc]
        """bcc's module, but it attaches nothing by itself."""

        def _trace_autoload(self) -> None:
            pass

    return Module
