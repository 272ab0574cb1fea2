"""Where compiled programs come from: kept ones, or compiled now, and kept.

Only what has to be compiled needs bcc, clang and the kernel's BTF. Before anything is compiled for
a probe mode, a program of two instructions is attached as the mode would do it: where functions
cannot be hooked, that costs a millisecond instead of a compilation.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pidscope.errors import BtfError
from pidscope.live.attached import attach, by_kprobe
from pidscope.live.compiled import ITERATOR, ITERATORS, LISTING, Compiled
from pidscope.live.iterator import PROGRAM, TARGET
from pidscope.live.refused import ModeRefused, Refused, explain
from pidscope.wire.hooks import TRACEPOINT, Hook, Kind, hooks_of

if TYPE_CHECKING:
    from pidscope.host.btf import Btf
    from pidscope.live.compiler import Job
    from pidscope.live.kept_programs import KeptPrograms

BTF_PATH = Path("/sys/kernel/btf/vmlinux")
_PREFIX = {Kind.ENTRY: "enter_", Kind.EXIT: "leave_", Kind.TRACEPOINT: "tp_"}
_NOTHING = bytes.fromhex("b7000000000000009500000000000000")  # r0 = 0; exit
_OF_THE_MOMENT = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN})


def read_btf() -> Btf:
    """Read the running kernel's BTF; raises `BtfError` if it has none."""
    from pidscope.host.btf import Btf  # only what has to be compiled needs it

    try:
        return Btf(BTF_PATH.read_bytes())
    except OSError as error:
        raise BtfError(
            f"this kernel gives no type information: {BTF_PATH}: {error.strerror}",
            "pidscope needs a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions do",
        ) from error


def program_names(mode: str, hook: Hook) -> tuple[str, ...]:
    """The names in C of the programs of a hook, in the order in which they are attached."""
    if mode == "kprobe" and hook.name == "copy_process":  # its return needs what its entry saw
        return ("enter_copy_process", "leave_copy_process")
    return (_PREFIX[hook.kind] + hook.name,)


class Supply:
    """Gives compiled programs.

    Args:
        kept: where they are kept; None: nowhere.
        note: gets a line before something is compiled.
    """

    def __init__(
        self, kept: KeptPrograms | None = None, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.kept = kept
        self._note = note
        self._fresh: dict[tuple[str, bool], Compiled] = {}

    def programs(self, mode: str, steps: bool) -> Compiled:
        """Return the programs of the hooks of a probe mode.

        Raises:
            ModeRefused: the kernel refuses the mode; HostError: there is no bcc, BtfError: there is
                no usable BTF, to compile them.
        """
        return self._known(mode, steps) or self._compiled(mode, steps)

    def iterator(self) -> Compiled:
        """Return the task iterator's program; raises HostError, BtfError as `programs`."""
        return self._known(ITERATOR, False) or self._compiled(ITERATOR, False)

    def forget_btf(self) -> None:
        """Give back what was read of BTF, some 15 MB, if no more is to be compiled."""
        self.__dict__.pop("_btf", None)

    def listing(self) -> Compiled:
        """Return the listing's program; raises HostError, BtfError as `programs`."""
        return self._known(LISTING, False) or self._compiled(LISTING, False)

    def others(self, name: str, job: Callable[[Btf], Job]) -> Compiled:
        """Return programs that belong to no probe mode; raises HostError, BtfError as `programs`.

        Args:
            name: tells all that the job follows from but the kernel.
            job: what is to be compiled, if they are not known.
        """
        known = self._known(name, False)
        return known or self._compile({(name, False): job(self._btf)})[0]

    def _known(self, mode: str, steps: bool) -> Compiled | None:
        fresh = self._fresh.get((mode, steps))
        if fresh is None and self.kept is not None:
            return self.kept.programs(mode, steps)
        return fresh

    def _compiled(self, mode: str, steps: bool) -> Compiled:
        """Compile programs, and the iterators' beside them if they are not known."""
        wanted = {}
        if mode not in ITERATORS:
            expect_mode(mode, self._btf)
            wanted[mode, steps] = _job(mode, steps, self._btf)
        missing = (it for it in ITERATORS if self._known(it, False) is None)
        wanted.update({(it, False): _iterator_job(it, self._btf) for it in missing})
        self._compile(wanted)
        return self._fresh[mode, steps]

    def _compile(self, wanted: Mapping[tuple[str, bool], Job]) -> list[Compiled]:
        from pidscope.live.compiler import compile_jobs  # once for a kernel

        self._note(f"compiling for this kernel{self._how_often}")
        made = compile_jobs(list(wanted.values()))
        for key, compiled in zip(wanted, made):
            self._fresh[key] = compiled
            if self.kept is not None:
                self.kept.keep(*key, compiled)
        return made

    @cached_property
    def _btf(self) -> Btf:
        return read_btf()

    @cached_property
    def _how_often(self) -> str:
        if self.kept is None:
            return ""
        refusal = self.kept.refusal()
        return f"; nothing is kept: {refusal}" if refusal else ", once"


def _job(mode: str, steps: bool, btf: Btf) -> Job:
    from pidscope.live.compiler import Job
    from pidscope.live.offsets import constants, typed

    hooks = hooks_of(mode, steps)
    flags = {"STEPS": 1} if steps else {}
    if mode != "kprobe" and typed(btf):
        flags["TYPED"] = 1
    return Job(mode, {**constants(btf, hooks), **flags}, *programs_of(mode, hooks, btf))


def programs_of(
    mode: str, hooks: Sequence[Hook], btf: Btf
) -> tuple[dict[str, int], dict[str, str]]:
    """Return ``programs`` and ``absent`` of the `Job` that compiles these hooks."""
    from pidscope.live.offsets import absent_functions

    absent = absent_functions(btf, hooks)
    programs: dict[str, int] = {}
    for hook in hooks:
        try:
            if hook.name not in absent:
                btf_id = 0 if by_kprobe(mode, hook) else _btf_id(btf, hook)
                programs.update(dict.fromkeys(program_names(mode, hook), btf_id))
        except BtfError as error:
            absent[hook.name] = str(error)
    return programs, absent


def _iterator_job(which: str, btf: Btf) -> Job:
    from pidscope.live.compiler import Job
    from pidscope.live.offsets import constants

    # It reports for no hook, but shares files with programs that do.
    flags = constants(btf, hooks_of(TRACEPOINT))
    try:
        return Job(which, flags, {PROGRAM: btf.function_id(TARGET)}, {})
    except BtfError as error:
        return Job(which, flags, {}, {PROGRAM: str(error)})


def _btf_id(btf: Btf, hook: Hook) -> int:
    """Return the id of the function, or of what the tracepoint gives programs; raises BtfError."""
    if hook.kind is Kind.TRACEPOINT:
        return btf.typedef_id(f"btf_trace_{hook.name}")
    return btf.function_id(hook.name)


def expect_mode(mode: str, btf: Btf) -> None:
    """Attach a program that does nothing to the first hook of a mode; raises Refused."""
    hook = hooks_of(mode)[0]
    try:
        btf_id = 0 if by_kprobe(mode, hook) else _btf_id(btf, hook)
        attach(hook, mode, "pidscope_trial", _NOTHING, btf_id).close()
    except BtfError as error:
        raise ModeRefused(f"{hook.name}: {error}") from error
    except OSError as error:
        kind = Refused if error.errno in _OF_THE_MOMENT else ModeRefused
        raise kind(f"{hook.name}: {explain(error)}") from error
