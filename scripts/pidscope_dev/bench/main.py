"""Measure what pidscope sustains and what it costs, side by side with its peers in one run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pidscope_dev.bench import machine, picture, run, text
from pidscope_dev.bench.row import to_json
from pidscope_dev.bench.sections import SECTIONS

EPILOG = (
    """\
A figure is the median of several repetitions, in each of which all contenders of a row have their
turn; its spread is the least and the greatest of them. A ratio below 1 stands as a fraction.
Lives, events, the collector, the loops and the tables are measured in CPU time, commands by the
clock. "The loop" is not charged for what is done in an interrupt, nor for whoever reads.

Those whose name ends in -functions, and live-start, need a kernel that lets functions be hooked: if
this machine's does not, they run in a VM by scripts/vm (emulated without KVM, so that only the
ratios count). Most need root and a C compiler; peers come from packages, which scripts/install
--bench installs. What cannot be measured says why, in its place.

sections:
"""
    + "".join(f"  {section.name:17}{section.summary}\n" for section in SECTIONS)
    + """
exit status: 0, whatever was reached; 2 wrong usage.
"""
)


def main(argv: Sequence[str]) -> int:
    """Print the table, or JSON, and draw the picture."""
    args = _parser().parse_args(argv)
    chosen = [each for each in SECTIONS if not args.sections or each.name in args.sections]
    rows = run.here(chosen) if args.here else run.everywhere(chosen)
    measured_on = machine.described()
    if args.picture is not None:
        args.picture.write_text(picture.drawn(rows, machine.line(measured_on)), encoding="utf-8")
    if args.json:
        told = [to_json(row) for row in rows]
        print(json.dumps({"type": "bench", "machine": measured_on, "rows": told}))
    else:
        print(machine.line(measured_on))
        print("\n".join(text.shown(rows)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sections", nargs="*", metavar="SECTION", type=_section, help="only these (default: all)")
    add("--here", action="store_true", help="no VM: only what this kernel can")
    add("--json", action="store_true", help="every sample, as JSON in one line")
    add("--picture", metavar="FILE.svg", type=Path, help="draw the goals, too")
    return parser


def _section(name: str) -> str:
    """A word that is one (`choices` would refuse that there is none, before Python 3.12)."""
    if name not in {section.name for section in SECTIONS}:
        raise argparse.ArgumentTypeError(f"no section {name!r}; see --help")
    return name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
