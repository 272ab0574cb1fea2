"""``pidscope doctor``: whether this host can do live mode, in which probe mode; if not, why."""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from typing import TYPE_CHECKING, Any

from pidscope.errors import HostError, PidscopeError, UsageError
from pidscope.query.check import Check
from pidscope.render.json import SCHEMA
from pidscope.sources.options import (
    SEE_SCENARIOS,
    SIMULATED,
    add_command,
    add_json,
    add_option,
    scenario_of,
    stage_of,
)
from pidscope.sources.starting import Progress, add_no_cache, supply_of
from pidscope.wire.hooks import TRACEPOINT

if TYPE_CHECKING:
    from pidscope.live.supply import Supply

_EPILOG = f"""\
doctor tries each probe mode: it loads the programs, attaches them, and takes
them out again. Then it shows what is kept of compiled programs, and where.
With --source simulated, doctor plays the scenario instead.

examples:
  pidscope doctor
  pidscope doctor --source simulated:./mine.scenario
                                        check a scenario of your own

{SEE_SCENARIOS}

exit status: 0 live mode works here; 3 it does not; 2 a scenario is wrong, or
does not exist.
"""
_INDENT = " " * 12
_LIMITS = {TRACEPOINT: ": not complete, so verify cannot prove"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "doctor",
        help="whether this host can do live mode; if not, why",
        description="Show whether and how this host can do live mode, and what is missing.",
        epilog=_EPILOG,
    )
    add_json(parser)
    add_option(parser, "live")
    add_no_cache(parser)


def run(args: argparse.Namespace) -> int:
    """Print every check; return 0 if it works here, else 3, or 2 for a scenario."""
    scenario = scenario_of(args, "live")
    if scenario is None:
        return _host(args.json, supply_of(args.no_cache, Progress()))
    if args.no_cache:
        raise UsageError("--no-cache is this host's: it does not go with --source simulated")
    return _simulated(args.json, scenario)


def _host(as_json: bool, supply: Supply) -> int:
    from pidscope.live.checks import check_host  # ctypes, mmap, the programs' loader

    checks, probes = check_host(supply)
    if as_json:
        host = {"host": os.uname().nodename, "kernel": os.uname().release}
        _print_document(host, checks, live=probes is not None, probes=probes)
    else:
        print(f"Linux {os.uname().release} {os.uname().machine}")
        _print(checks)
        if probes:
            print(f"live mode works here, by {probes}{_LIMITS.get(probes, '')}")
        else:
            print("live mode does not work here; ps, ns, lookup, explain, limits need only /proc")
    return 0 if probes else HostError.exit_code


def _simulated(as_json: bool, scenario: str) -> int:
    name, check, code = _play(scenario)
    backend = Check(SIMULATED, True, "a kernel in Python: it works everywhere")
    if as_json:
        source = {"source": f"{SIMULATED}:{name}", "mode": SIMULATED, "host": SIMULATED}
        _print_document({**source, "boot_id": None}, [backend, check], live=None, probes=None)
    else:
        _print([backend, check])
    return code


def _play(scenario: str) -> tuple[str, Check, int]:
    """Play the scenario to its end; return its name, the result, and the exit code."""
    name, steps = scenario, 0
    try:
        stage = stage_of(scenario)
        name = stage.name
        while stage.world.step():
            steps += 1
    except PidscopeError as error:
        return name, Check("scenario", False, str(error), error.hint), error.exit_code
    return name, Check("scenario", True, f"{name}: {steps} steps, and each went as it says"), 0


def _print_document(
    head: dict[str, Any], checks: list[Check], live: bool | None, probes: str | None
) -> None:
    checked = {"checks": [check._asdict() for check in checks], "live": live, "probes": probes}
    print(json.dumps({"schema": SCHEMA, **head, **checked}))


def _print(checks: list[Check]) -> None:
    width, hinted = max(len(check.name) for check in checks), {""}
    for check in checks:
        print(f"{'ok' if check.ok else 'NO':<3} {check.name:<{width}} {check.detail}")
        if check.hint not in hinted:
            hinted.add(check.hint)
            print(textwrap.fill(check.hint, 79, initial_indent=_INDENT, subsequent_indent=_INDENT))
