"""Make random system calls on the model and on this kernel, and compare everything after each."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from pathlib import Path

from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.differential.faults import FAULTS, planted
from pidscope_dev.differential.hunt import Finding, Score, hunt, parse_steps, replay
from pidscope_dev.differential.probe import find_features
from pidscope_dev.differential.puppets import build
from pidscope_dev.differential.theatre import Theatre

EPILOG = """\
Root makes the worlds in PID namespaces, other users also in user namespaces. A difference is made
as short as possible and printed as a scenario, which --replay takes.

exit status: 0 no difference, 1 a difference, 2 wrong usage
"""
ARGUMENTS: Arguments = {
    "--calls": {
        "type": int,
        "default": 10_000,
        "metavar": "N",
        "help": "how many (default: 10000)",
    },
    "--seed": {
        "default": "0",
        "metavar": "TEXT",
        "help": "of everything random (default: 0)",
    },
    "--seconds": {
        "type": float,
        "default": float("inf"),
        "metavar": "T",
        "help": "at most so long",
    },
    "--plant": {"choices": sorted(FAULTS), "help": "a fault in the model, to be found"},
    "--replay": {"type": Path, "metavar": "FILE", "help": "play this scenario instead"},
}


def main(arguments: list[str]) -> int:
    """The command line."""
    options = command_line("scripts/differential", __doc__, ARGUMENTS, EPILOG).parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        puppet = build(Path(directory))
        with Theatre(puppet, user_namespace=os.geteuid() != 0) as theatre:
            return _run(theatre, options)


def _run(theatre: Theatre, options: Namespace) -> int:
    features = find_features(theatre)
    print(f"{os.uname().release}: {features}", flush=True)
    with planted(options.plant):
        if options.replay:
            difference = replay(theatre, features, parse_steps(options.replay.read_text()))
            print(difference or "no difference")
            return 1 if difference else 0
        score, finding = hunt(theatre, features, options.seed, options.calls, options.seconds)
    _print(score, finding)
    return 1 if finding else 0


def _print(score: Score, finding: Finding | None) -> None:
    """Print what was done and found."""
    rate = score.total / score.seconds if score.seconds else 0.0
    print(
        f"{score.total} calls in {score.worlds} worlds, {score.seconds:.1f} s,"
        f" {rate:.0f} a second; {score.skipped} steps meant nothing"
        + (f"; disturbed {score.disturbed} times" if score.disturbed else "")
    )
    print(_counted(score.calls))
    print(_counted(score.errors))
    print(finding if finding else "no difference")


def _counted(counter: Counter[str]) -> str:
    return "  " + " ".join(f"{name} {count}" for name, count in counter.most_common())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
