"""Make known process and namespace activity, with exact counts, for `pidscope verify -- CMD`."""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NoReturn

from pidscope_dev.arguments import Arguments, add_arguments, command_line, positive
from pidscope_dev.workload import (
    borders,
    failures,
    forks,
    groups,
    reuse,
    shows,
    storm,
    syscalls,
    threads,
)
from pidscope_dev.workload.family import STOPPING, Failure, Family, Stopped, Unable, describe
from pidscope_dev.workload.workload import COUNTED, Counts, Options, Workload

EXACT: tuple[Workload, ...] = (
    forks.NESTED,
    groups.GROUPS,
    threads.THREADS,
    threads.EXEC_THREAD,
    groups.HELD,
    failures.FAILED,
    borders.DYING_INIT,
    borders.INJECTED,
    reuse.REUSE,
    forks.SHORT,
    shows.ZOMBIE,
    shows.HOSTILE,
    forks.DEEP,
)
"""Those that `all` runs, one after another."""

WORKLOADS: tuple[Workload, ...] = (*EXACT, storm.STORM, storm.CHURN, shows.TREE)

EXIT_FAILED, EXIT_UNABLE, EXIT_STOPPED = 1, 3, 143
TIME_LIMIT_S = 600
HANDLED = (*STOPPING, signal.SIGALRM)

EPILOG = """\
examples:
  scripts/workload --list
  scripts/workload nested --expect        # the exact counts, as JSON; runs nothing
  pidscope verify -J -- scripts/workload nested
  scripts/workload short 5000 --jobs 4
  scripts/workload tree --seconds 60 & # something to look at with pidscope ns, ps, top

exit codes: 0 did exactly what it promises; 1 did not; 2 wrong usage; 3 this host does not allow
it; 143 stopped by SIGTERM or SIGINT. Needs root. Messages go to standard error.
"""
LIST: Arguments = {"--list": {"action": "store_true", "help": "print the names and end"}}
COMMON: Arguments = {
    "--expect": {"action": "store_true", "help": "print the counts, run nothing"},
    "--time-limit": {
        "type": positive,
        "default": TIME_LIMIT_S,
        "metavar": "S",
        "help": "fail after S seconds (default %(default)s)",
    },
}
ALL = "each of the exact ones, one after another (not storm, churn, tree)"


def main(arguments: Sequence[str]) -> int:
    """Run the workload that is named; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        _print_list()
        return 0
    if options.name is None:
        parser.error("a NAME is needed, or --list")
    chosen = [workload for workload in WORKLOADS if workload.name == options.name] or EXACT
    if options.expect:
        print(json.dumps(_sum([workload.expect(options) for workload in chosen])))
        return 0
    if os.geteuid() != 0:
        return _say(options.name, "needs root", EXIT_UNABLE)
    return _run(chosen, options)


def _parser() -> ArgumentParser:
    """The command line: a name, and the arguments of that workload."""
    parser = command_line("workload", __doc__, LIST, EPILOG)
    names = parser.add_subparsers(dest="name", metavar="NAME")
    for workload in WORKLOADS:
        own = names.add_parser(workload.name, help=workload.summary)
        add_arguments(own, {**COMMON, **workload.arguments})
    of_exact = {name: it for workload in EXACT for name, it in workload.arguments.items()}
    add_arguments(names.add_parser("all", help=ALL), {**COMMON, **of_exact})
    return parser


def _print_list() -> None:
    for workload in WORKLOADS:
        print(f"{workload.name:12} {workload.summary}")
    print(f"{'all':12} {ALL}")


def _sum(parts: Sequence[Counts]) -> Counts:
    """The counts of several workloads together, in the order of COUNTED."""
    known = [name for name in COUNTED if all(name in part for part in parts)]
    return {name: sum(part[name] for part in parts) for name in known}


def _run(workloads: Sequence[Workload], options: Options) -> int:
    """Run each in turn; the exit code of the first that fails, or 0."""
    syscalls.become_subreaper()
    for number in HANDLED:
        signal.signal(number, _stop)
    signal.alarm(options.time_limit)
    try:
        codes = (_run_one(workload, options) for workload in workloads)
        return next((code for code in codes if code), 0)
    except (Stopped, Failure) as stopped:  # between two of them
        return _say(options.name, f"stopped: {stopped}", EXIT_STOPPED)


def _stop(number: int, frame: object) -> NoReturn:
    """A signal ends the main process through its clean-up."""
    if number == signal.SIGALRM:
        raise Failure("not done within its time limit")
    for repeated in STOPPING:
        signal.signal(repeated, signal.SIG_IGN)  # timeout(1) sends it to the group as well
    raise Stopped(signal.Signals(number).name)


def _run_one(workload: Workload, options: Options) -> int:
    """Run one workload and end its family; the exit code."""
    family = Family(workload.name)
    code, text = EXIT_FAILED, ""
    try:
        note = workload.run(family, options)
        code, text = 0, f"done ({note})" if note else "done"
    except Stopped as stopped:
        code, text = EXIT_STOPPED, f"stopped by {stopped}"
    except Unable as unable:
        code, text = EXIT_UNABLE, str(unable)
    except (Failure, OSError) as problem:
        text = describe(problem)
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        if not family.end() and code == 0:
            code, text = EXIT_FAILED, "left a process behind"
    except OSError as problem:
        code, text = EXIT_FAILED, f"cannot clean up: {describe(problem)}"
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    return _say(workload.name, text or "failed", code)


def _say(name: str, text: str, code: int) -> int:
    """One line for the end; the exit code again."""
    print(f"workload {name}: {text}", file=sys.stderr, flush=True)
    return code
