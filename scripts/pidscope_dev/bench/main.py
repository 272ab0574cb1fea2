"""Measure what pidscope sustains and what it costs, beside its peers or beside an earlier build."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pidscope_dev.arguments import Arguments, command_line, positive
from pidscope_dev.bench import against, machine, picture, run, text
from pidscope_dev.bench.row import to_json
from pidscope_dev.bench.sections import SECTIONS
from pidscope_dev.builds import BuildError, earlier_and_present

EPILOG = (
    """\
A figure is the median of several repetitions. In each repetition all contenders of a row run once,
in turn. The spread is the least and the greatest figure. A ratio below 1 is printed as a fraction.
Lives, events, the collector, the loops and the tables are measured in CPU time, commands by the
clock. "The loop" does not include work done in interrupts, nor the reader's time.

Sections whose name ends in -functions, and live-start, need a kernel that allows function hooks. If
this machine's kernel does not, scripts/vm runs them in a VM (emulated without KVM, so that only the
ratios count). Most sections need root and a C compiler. The peers come from packages, which
scripts/install --bench installs. A row that cannot be measured gives its reason.

sections:
"""
    + "".join(f"  {section.name:17}{section.summary}\n" for section in SECTIONS)
    + f"""
--against REV installs that git revision and this checkout, uncommitted changes included, each
into a temporary virtual environment. Each row runs one command by both builds in --pairs pairs,
one build after the other, in the other order in every second pair. COST is time by the clock or
CPU time, USER is user CPU time, both in milliseconds; RATIO is present divided by earlier. SPREAD
leaves out the outermost tenth of the pairs at each end. A row is WORSE if all of its spread is
above 1. It is MORE USER CPU if the median ratio of user CPU time is above {against.USER_LIMIT},
and FAILS if only the present build cannot run it. On a busy machine give it more pairs.

rows of --against:
"""
    + "".join(f"  {measure.name:17}{measure.summary}\n" for measure in against.MEASURES)
    + """
exit status:
  0    measured, whatever was reached; with --against: no row is worse
  1    with --against: a row is WORSE, MORE USER CPU or FAILS
  2    wrong usage, or --against cannot make a build
"""
)
ARGUMENTS: Arguments = {
    "sections": {
        "nargs": "*",
        "metavar": "SECTION",
        "help": "only these sections or rows (default: all)",
    },
    "--here": {"action": "store_true", "help": "no VM: only what this kernel can"},
    "--json": {"action": "store_true", "help": "every sample, as JSON in one line"},
    "--picture": {"metavar": "FILE.svg", "type": Path, "help": "draw the goals, too"},
    "--against": {"metavar": "REV", "help": "compare this checkout with an earlier revision"},
    "--pairs": {
        "metavar": "N",
        "type": positive,
        "default": against.PAIRS,
        "help": "pairs a row (default: %(default)s)",
    },
}


def main(argv: Sequence[str]) -> int:
    """Print the table, or JSON, and draw the picture."""
    parser = command_line("scripts/bench", __doc__, ARGUMENTS, EPILOG)
    args = parser.parse_args(argv)
    known = [each.name for each in (against.MEASURES if args.against else SECTIONS)]
    for name in args.sections:
        if name not in known:
            parser.error(f"no section {name!r}; see --help")
    if args.against is None:
        return _beside_peers(args)
    try:
        return _against(args)
    except BuildError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 2


def _beside_peers(args: argparse.Namespace) -> int:
    chosen = [each for each in SECTIONS if not args.sections or each.name in args.sections]
    rows = run.here(chosen) if args.here else run.everywhere(chosen)
    if args.picture is not None:
        line = machine.line(machine.described())
        args.picture.write_text(picture.drawn(rows, line), encoding="utf-8")
    _print("bench", map(to_json, rows), text.shown(rows), args.json)
    return 0


def _against(args: argparse.Namespace) -> int:
    """Compare both builds; 1: a row is worse."""
    rows = []
    with earlier_and_present(args.against) as builds:
        for measure in against.MEASURES:
            if not args.sections or measure.name in args.sections:
                print(f"scripts/bench: {measure.name}", file=sys.stderr, flush=True)
                rows.append(against.compared(measure, builds, args.pairs))
    title = f"{builds[1].name} against {builds[0].name}, {args.pairs} pairs"
    _print("against", map(against.to_json, rows), [title, against.shown(rows)], args.json)
    return int(any(row.is_worse for row in rows))


def _print(
    kind: str, made: Iterable[Mapping[str, Any]], lines: Iterable[str], as_json: bool
) -> None:
    """Print the rows as JSON, or the lines, with what was measured on."""
    measured_on = machine.described()
    if as_json:
        print(json.dumps({"type": kind, "machine": measured_on, "rows": list(made)}))
    else:
        print("\n".join([machine.line(measured_on), *lines]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
