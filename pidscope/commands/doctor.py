"""``pidscope doctor``: can this host do live mode, in which way, and if not, what is in the way."""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from pathlib import Path
from typing import NamedTuple

from pidscope.documents import SCHEMA
from pidscope.errors import HostError, PidscopeError
from pidscope.live.bcc import load_bcc
from pidscope.live.program import REFUSED_HINT, WAYS, Program, expect_root, read_btf
from pidscope.procfs import ProcFs

_EPILOG = """\
Each way of probing is found by trying it: programs are loaded, attached, and taken out again.

exit status: 0 live mode works here, 3 it does not.
"""
_INDENT = " " * 12
_TRIAL_RING = 64 << 10
_LOCKDOWN = Path("/sys/kernel/security/lockdown")


class Check(NamedTuple):
    """One thing that live mode needs, or that says why it is refused."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "doctor",
        help="can this host do live mode; if not, why",
        description="Tell whether this host can do live mode, in which way, and what is missing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-J", "--json", action="store_true", help="a JSON document")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print every check; 0 if live mode works here, else 3."""
    checks = [_root(), _proc(), _btf(), _bcc()]
    probes: str | None = None
    if all(check.ok for check in checks):
        for way in WAYS:
            check = _way(way)
            checks.append(check)
            if check.ok and probes is None:
                probes = way
    if args.json:
        print(json.dumps(_document(checks, probes)))
    else:
        _print(checks, probes)
    return 0 if probes else HostError.exit_code


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


def _document(checks: list[Check], probes: str | None) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "host": os.uname().nodename,
        "kernel": os.uname().release,
        "checks": [check._asdict() for check in checks],
        "live": probes is not None,
        "probes": probes,
    }


def _print(checks: list[Check], probes: str | None) -> None:
    print(f"Linux {os.uname().release} {os.uname().machine}")
    for check in checks:
        print(f"{'ok' if check.ok else 'NO':<3} {check.name:<7} {check.detail}")
        if check.hint:
            print(textwrap.fill(check.hint, 79, initial_indent=_INDENT, subsequent_indent=_INDENT))
    if probes:
        print(f"live mode works here, by {probes}")
    else:
        print("live mode does not work here; ps and ns do, from /proc")
