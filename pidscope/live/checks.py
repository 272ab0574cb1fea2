"""What live mode needs of a host, tried piece by piece: for `pidscope doctor`."""

from __future__ import annotations

from pathlib import Path

from pidscope.documents import Check
from pidscope.errors import HostError, PidscopeError
from pidscope.live.bcc import load_bcc
from pidscope.live.program import REFUSED_HINT, WAYS, Program, expect_root, read_btf
from pidscope.procfs import ProcFs

_TRIAL_RING = 64 << 10
_LOCKDOWN = Path("/sys/kernel/security/lockdown")


def check_host() -> tuple[list[Check], str | None]:
    """Every check, and the first way of probing that works here; None: none does."""
    checks = [_root(), _proc(), _btf(), _bcc()]
    probes: str | None = None
    if all(check.ok for check in checks):
        for way in WAYS:
            check = _way(way)
            checks.append(check)
            if check.ok and probes is None:
                probes = way
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
    except PidscopeError as error:
        return Check("/proc", False, str(error), error.hint)
    if not mount.initial:
        return Check("/proc", False, f"PID namespace {mount.ns} is a nested one", "use the host's")
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


def _way(way: str) -> Check:
    try:
        program = Program(way, _TRIAL_RING)
    except PidscopeError as error:
        return Check(way, False, str(error), error.hint or _refusal_hint())
    missing = ", ".join(f"{hook.name} ({hook.without})" for hook in program.missing)
    program.close()
    return Check(
        way, True, f"all hooks attach, but not {missing}" if missing else "all hooks attach"
    )


def _refusal_hint() -> str:
    try:
        lockdown = _LOCKDOWN.read_text().strip()
    except OSError:
        lockdown = "not readable"
    return f"lockdown is {lockdown}; {REFUSED_HINT}"
