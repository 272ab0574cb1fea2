"""What live mode needs of a host, tried piece by piece: for `pidscope doctor`."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pidscope.errors import HostError, PidscopeError
from pidscope.host.proc import ProcFs
from pidscope.host.time_namespace import offsets_of_reader
from pidscope.live.bcc import load_bcc
from pidscope.live.program import REFUSED_HINT, Program, expect_root, read_btf
from pidscope.live.session import LiveWorld, expect_hooks_tell
from pidscope.query.check import Check
from pidscope.session.stream import Stream
from pidscope.wire.hooks import WAYS

_TRIAL_RING = 64 << 10
_ITERATOR = "task iterator"
_LOCKDOWN = Path("/sys/kernel/security/lockdown")


def check_host() -> tuple[list[Check], str | None]:
    """Every check, and the first way of probing that works here; None: none does."""
    checks = [_root(), _proc(), _btf(), _bcc()]
    probes: str | None = None
    if all(check.ok for check in checks):
        iterator = Check(_ITERATOR, False, "no programs to come with")
        for way in WAYS:
            check, with_it = _way(way)
            checks.append(check)
            if check.ok and probes is None:
                probes = way
            iterator = iterator if iterator.ok else with_it
        checks.append(iterator)
    return checks, probes


def _root() -> Check:
    try:
        expect_root()
    except HostError as error:
        return Check("root", False, str(error), error.hint)
    return Check("root", True, "effective user id 0")


def _proc() -> Check:
    try:
        mount = ProcFs().mount()
        offsets_of_reader(ProcFs())
    except PidscopeError as error:
        return Check("/proc", False, str(error), error.hint)
    if not mount.initial:
        return Check(
            "/proc",
            False,
            f"PID namespace {mount.ns} is a nested one",
            "run it on the host, or with the host's PID namespace (--pid=host); watch and verify "
            "take the host's /proc from wherever it is mounted (--proc PATH)",
        )
    return Check("/proc", True, "of the initial PID namespace")


def _btf() -> Check:
    try:
        btf = read_btf()
    except PidscopeError as error:
        return Check("BTF", False, str(error), error.hint)
    return Check("BTF", True, f"struct pid has its numbers at {btf.offset('pid', 'numbers')}")


def _bcc() -> Check:
    try:
        bcc = load_bcc()
    except PidscopeError as error:
        return Check("bcc", False, str(error), error.hint)
    return Check("bcc", True, f"{bcc.__version__} in {Path(bcc.__file__).parent}")


def _way(way: str) -> tuple[Check, Check]:
    """One way of probing, and the task iterator that comes with its programs."""
    try:
        with contextlib.closing(Program(way, _TRIAL_RING)) as program:
            expect_hooks_tell(program, Stream(LiveWorld(program, ProcFs())))
            missing = ", ".join(f"{hook.name} ({hook.without})" for hook in program.missing)
            detail = f"all hooks tell, but not {missing}" if missing else "all hooks tell"
            return Check(way, True, detail), _iterator(program)
    except PidscopeError as error:
        refused = Check(way, False, str(error), error.hint or _refusal_hint())
        return refused, Check(_ITERATOR, False, "no programs to come with")


def _iterator(program: Program) -> Check:
    if program.no_iterator:
        return Check(_ITERATOR, False, program.no_iterator, "starts and repairs read /proc instead")
    try:
        tasks = program.tasks() or []
    except OSError as error:
        return Check(_ITERATOR, False, str(error.strerror), "starts and repairs read /proc instead")
    return Check(_ITERATOR, True, f"shows {len(tasks)} tasks")


def _refusal_hint() -> str:
    try:
        lockdown = _LOCKDOWN.read_text().strip()
    except OSError:
        lockdown = "not readable"
    return f"lockdown is {lockdown}; {REFUSED_HINT}"
