"""What live mode needs of a host, tried one by one, for `pidscope doctor`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from pidscope.errors import HostError, PidscopeError
from pidscope.host.proc import ProcFs
from pidscope.host.time_namespace import offsets_of_reader
from pidscope.live.bcc import load_bcc
from pidscope.live.cache import CacheError
from pidscope.live.kept_programs import KeptPrograms
from pidscope.live.program import Program, expect_root
from pidscope.live.refused import REFUSED_HINT
from pidscope.live.session import LiveWorld, expect_hooks_tell
from pidscope.live.supply import Supply, read_btf
from pidscope.query.check import Check
from pidscope.session.stream import Stream
from pidscope.wire.hooks import WAYS

_TRIAL_RING = 64 << 10
_ITERATOR = "task iterator"
_NO_PROGRAMS = Check(_ITERATOR, False, "no programs to come with")
_KEPT = "kept programs"
_AGAIN = "each start compiles the programs again"
_LOCKDOWN = Path("/sys/kernel/security/lockdown")


def check_host(supply: Supply) -> tuple[list[Check], str | None]:
    """Return every check, and the first probe mode that works here; None: none does."""
    checks = [_tried("root", _root), _tried("/proc", _proc), _tried("BTF", _btf)]
    checks.append(_tried("bcc", _bcc))
    probes: str | None = None
    if all(check.ok for check in checks):
        iterator = _NO_PROGRAMS
        for way in WAYS:
            check, with_it = _way(way, supply)
            checks.append(check)
            if check.ok and probes is None:
                probes = way
            iterator = iterator if iterator.ok else with_it
        checks.append(iterator)
    if checks[0].ok:  # else nothing would ever be kept, and this would make a directory
        checks.append(_kept(supply.kept))
    return checks, probes


def _tried(name: str, look: Callable[[], str]) -> Check:
    """Return a check with the text of ``look``, or with the error that it raises."""
    try:
        return Check(name, True, look())
    except PidscopeError as error:
        return Check(name, False, str(error), error.hint)


def _root() -> str:
    expect_root()
    return "effective user id 0"


def _proc() -> str:
    mount = ProcFs().mount()
    offsets_of_reader(ProcFs())
    if not mount.initial:
        raise HostError(
            f"PID namespace {mount.ns} is a nested one",
            "run it on the host, or with the host's PID namespace (--pid=host); watch and verify "
            "take the host's /proc from wherever it is mounted (--proc PATH)",
        )
    return "of the initial PID namespace"


def _btf() -> str:
    return f"struct pid has its numbers at {read_btf().offset('pid', 'numbers')}"


def _bcc() -> str:
    bcc = load_bcc()
    return f"{bcc.__version__} in {Path(bcc.__file__).parent}"


def _kept(kept: KeptPrograms | None) -> Check:
    """What is kept of compiled programs, what was compiled just now included."""
    if kept is None:
        return Check(_KEPT, False, "nothing: --no-cache, or this user has no home", _AGAIN)
    refusal = kept.refusal()
    try:
        usage = kept.cache.usage()
        there = f"{usage.files} files, {usage.size} bytes in {kept.cache.path}"
    except (CacheError, OSError):
        there = kept.cache.path
    return Check(
        _KEPT, not refusal, f"{there}: {refusal}" if refusal else there, refusal and _AGAIN
    )


def _way(way: str, supply: Supply) -> tuple[Check, Check]:
    """Return a check of one probe mode, and one of the task iterator that its programs include."""
    try:
        with contextlib.closing(Program(way, _TRIAL_RING, supply=supply)) as program:
            expect_hooks_tell(program, Stream(LiveWorld(program, ProcFs())))
            missing = ", ".join(f"{hook.name} ({hook.without})" for hook in program.missing)
            detail = f"all hooks tell, but not {missing}" if missing else "all hooks tell"
            return Check(way, True, detail), _iterator(program)
    except PidscopeError as error:
        return Check(way, False, str(error), error.hint or _refusal_hint()), _NO_PROGRAMS


def _iterator(program: Program) -> Check:
    refused, tasks = program.no_iterator, 0
    if not refused:
        try:
            tasks = len(program.tasks() or [])
        except OSError as error:
            refused = str(error.strerror)
    if refused:
        return Check(_ITERATOR, False, refused, "starts and repairs read /proc instead")
    return Check(_ITERATOR, True, f"shows {tasks} tasks")


def _refusal_hint() -> str:
    try:
        lockdown = _LOCKDOWN.read_text().strip()
    except OSError:
        lockdown = "not readable"
    return f"lockdown is {lockdown}; {REFUSED_HINT}"
