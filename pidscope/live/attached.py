"""A program that is loaded, and attached to one place in the kernel."""

from __future__ import annotations

import errno
import os

from pidscope.live import bpf_call
from pidscope.live.bpf_call import FENTRY, FEXIT, KPROBE, RAW_TP, TRACING
from pidscope.live.misses import kretprobe_misses, recursion_misses
from pidscope.live.perf_event import Kprobe
from pidscope.wire.hooks import Hook, Kind

_ATTACH_TYPES = {Kind.ENTRY: FENTRY, Kind.EXIT: FEXIT, Kind.TRACEPOINT: RAW_TP}


class Attached:
    """An attached program; closing it takes it out of the kernel.

    Args:
        program: the loaded program's descriptor, which is closed with it.
        kprobe: where it is attached; None: by ``link``, a descriptor.
    """

    def __init__(self, program: int, link: int = -1, kprobe: Kprobe | None = None) -> None:
        self._program = program
        self._link = link
        self._kprobe = kprobe

    def skipped(self) -> int:
        """Return how many runs the kernel skipped so far, as far as it counts them."""
        event = "" if self._kprobe is None else self._kprobe.event
        missed = kretprobe_misses(event) if event else 0
        return missed + (recursion_misses(self._program) or 0)

    def pin(self, path: str) -> None:
        """Let it stay attached as long as a BPF file system has it by ``path``; raises OSError."""
        if self._kprobe is not None:
            raise OSError(errno.EOPNOTSUPP, "a kprobe cannot be pinned")
        bpf_call.pin(self._link, path)
        bpf_call.pin(self._program, f"{path}_program")  # which knows what runs were skipped

    def close(self) -> None:
        """Detach the program; without a reference, it ends."""
        if self._kprobe is None:
            os.close(self._link)
        else:
            self._kprobe.close()
        os.close(self._program)


def attach(hook: Hook, mode: str, name: str, instructions: bytes, btf_id: int = 0) -> Attached:
    """Load one program and attach it; raises OSError.

    Args:
        hook: where it is attached to.
        mode: ``kprobe``, or another probe mode.
        name: of the program.
        instructions: with descriptors of maps.
        btf_id: BTF's id of the function or of the tracepoint's arguments; kprobes need none.
    """
    probe = by_kprobe(mode, hook)
    if probe:
        program = bpf_call.load(name, instructions, KPROBE)
    else:
        program = bpf_call.load(name, instructions, TRACING, _ATTACH_TYPES[hook.kind], btf_id)
    try:
        if probe:
            returns = hook.kind is Kind.EXIT and not name.startswith("enter_")
            return Attached(program, kprobe=Kprobe(program, hook.name, returns))
        return Attached(program, link=bpf_call.open_tracing(program))
    except BaseException:
        os.close(program)
        raise


def by_kprobe(mode: str, hook: Hook) -> bool:
    """Whether a probe mode attaches this hook by kprobes; every mode has tracepoints too."""
    return mode == "kprobe" and hook.kind is not Kind.TRACEPOINT
