"""Fuzz each reader of foreign bytes: it must refuse them with a typed error, or read them well."""

from __future__ import annotations

import importlib.util
import secrets
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from pidscope_dev.arguments import Arguments, command_line, positive
from pidscope_dev.fuzz.campaign import MEMORY_LIMIT_MIB, TIME_LIMIT_S, Result, run
from pidscope_dev.fuzz.registry import TARGETS

INPUTS = 10_000_000
HINT = "hint: .venv/bin/pip install -e '.[fuzz]', then scripts/fuzz"

EPILOG = f"""\
targets: {", ".join(TARGETS)}

A finding is an exception other than the documented one, an answer that a second, plain reader or
the way back does not confirm, {TIME_LIMIT_S} s for one input, or {MEMORY_LIMIT_MIB} MiB for all.
It ends its target, and the input is kept. `accepted` is the share of inputs that got past every
check of form; `edges` counts what was reached of the readers' bytecode, `MiB` is the most that the
process had.

atheris, which does the work, has wheels for some Pythons only and is its own extra:
  .venv/bin/pip install -e '.[fuzz]'

examples:
  scripts/fuzz
  scripts/fuzz --target btf --target wire --inputs 200000 --seed 7
  scripts/fuzz --target btf --replay DIR/btf-crash-0a1b      (no atheris)

exit codes: 0 no finding; 1 a finding; 2 wrong usage; 3 atheris is not installed.
"""
ARGUMENTS: Arguments = {
    "--target": {
        "action": "append",
        "choices": TARGETS,
        "metavar": "NAME",
        "help": "(default: all)",
    },
    "--inputs": {
        "type": int,
        "default": INPUTS,
        "metavar": "N",
        "help": f"in all, spread evenly over the targets (default: {INPUTS})",
    },
    "--seed": {
        "type": positive,
        "default": secrets.randbelow(2**31 - 1) + 1,
        "metavar": "N",
        "help": "(default: a random one, printed)",
    },
    "--crashers": {
        "type": Path,
        "metavar": "DIR",
        "help": "where findings are kept (default: a new one)",
    },
    "--replay": {"type": Path, "metavar": "FILE", "help": "read this one input, without limits"},
}


def main(argv: Sequence[str]) -> int:
    """Fuzz, or read one input again; the exit code."""
    parser = command_line("scripts/fuzz", __doc__, ARGUMENTS, EPILOG)
    args = parser.parse_args(argv)
    names = list(dict.fromkeys(args.target or TARGETS))
    if args.inputs < len(names):
        parser.error("--inputs needs at least one for each target")
    if args.replay is not None:
        if len(names) != 1:
            parser.error("--replay needs the one --target")
        return _replay(parser, names[0], args.replay)
    if importlib.util.find_spec("atheris") is None:
        print(f"scripts/fuzz: atheris is not installed\n{HINT}", file=sys.stderr)
        return 3
    if args.crashers is not None and not args.crashers.is_dir():
        parser.error(f"{args.crashers} is no directory")
    crashers = args.crashers or Path(tempfile.mkdtemp(prefix="pidscope-crashers-"))
    code = _campaign(names, args.inputs // len(names), args.seed, crashers)
    if code == 0 and args.crashers is None:
        crashers.rmdir()
    return code


def _replay(parser: ArgumentParser, name: str, path: Path) -> int:
    """Check one input; a finding is its traceback."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        parser.error(f"cannot read {path}: {problem.strerror}")
    print("accepted" if TARGETS[name].check(data) else "refused")
    return 0


def _campaign(names: Sequence[str], inputs: int, seed: int, crashers: Path) -> int:
    print(f"seed {seed}, {inputs} inputs for each target", flush=True)
    results = []
    for name in names:
        results.append(run(TARGETS[name], inputs, seed, crashers))
        print(f"{name}: {results[-1].finding or 'no finding'}", file=sys.stderr, flush=True)
    print(_table(results))
    for result in results:
        if result.finding:
            print(f"\n{result.target}: {result.finding}\n{_shown(result.printed)}")
    if any(result.finding for result in results):
        print(f"\nThe inputs are in {crashers}; --replay runs one again.")
        return 1
    return 0


def _table(results: Sequence[Result]) -> str:
    rows = [_row(result) for result in results]
    total = sum(result.inputs for result in results)
    rows.append(("all", total, round(total / sum(result.seconds for result in results))))
    headers = ("target", "inputs", "inputs/s", "accepted", "edges", "MiB", "findings")
    align = ("left", *["right"] * 5, "left")
    return tabulate(rows, headers, "plain", missingval="", colalign=align)


def _row(result: Result) -> tuple[object, ...]:
    return (
        result.target,
        result.inputs,
        round(result.inputs / result.seconds),
        None if result.accepted is None else f"{result.accepted:.1%}",
        result.covered,
        result.peak_mib,
        result.finding or "-",
    )


def _shown(printed: bytes) -> str:
    """The traceback of the finding, without libFuzzer's progress and dumps."""
    lines = printed.decode("utf-8", "backslashreplace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(" === ")]
    return "\n".join(lines[starts[0] : starts[0] + 30] if starts else lines[-8:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
