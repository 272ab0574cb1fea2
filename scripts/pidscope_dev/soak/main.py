"""Put live sessions under stress, and count: losses, repairs, verdicts, faults, memory."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from argparse import Namespace
from collections.abc import Sequence

from tabulate import tabulate

from pidscope.errors import PidscopeError
from pidscope.verify.verdicts import BUGS, Verdict
from pidscope.wire.hooks import WAYS
from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.soak.load import LoadError
from pidscope_dev.soak.run import STRESSES, Result, runs

SECONDS = 60.0
SHOWN = 10

EPILOG = f"""\
stresses:
{chr(10).join(f"  {stress.name:11} {stress.summary}" for stress in STRESSES.values())}

The programs are loaded under each stress, once. Each run starts anew and lasts --seconds; then
one snapshot more is judged, whole, and the hooks are counted. `runs` has those in which every run
of every hook was a record read or a lost one, of all; `exact s` the longest wait for that last
snapshot, from the end of the load where that ends first; `MiB` the memory at the begin and at the
end. `skipped` are runs of hooks that the kernel skipped, `faults` what else the stream lacked.
What must not be, and each stress when it is done, is printed on standard error.

examples:
  scripts/soak                                        each of them, for a minute
  scripts/soak --stress mix --seconds 3600
  scripts/soak --stress storm --runs 20 --seconds 4 --probes kprobe
  scripts/vm --kernel newest -- scripts/soak --seconds 20

exit codes: 0 nothing missing, ghost, wrong or unaccounted for; 1 something; 2 wrong usage; 3 this
host cannot do it. Needs root.
"""
ARGUMENTS: Arguments = {
    "--stress": {
        "action": "append",
        "choices": STRESSES,
        "metavar": "NAME",
        "help": "(default: each)",
    },
    "--seconds": {
        "type": float,
        "default": SECONDS,
        "metavar": "S",
        "help": "of a run (default: 60)",
    },
    "--runs": {"type": int, "default": 1, "metavar": "N", "help": "of each stress (default: 1)"},
    "--probes": {"choices": WAYS, "default": WAYS[0], "help": "(default: %(default)s)"},
    "--json": {"action": "store_true", "help": "an object, and no table"},
}


def main(argv: Sequence[str]) -> int:
    """Run the stresses that are named, and print the table; the exit code."""
    args = command_line("scripts/soak", __doc__, ARGUMENTS, EPILOG).parse_args(argv)
    results: dict[str, Result] = {}
    try:
        for name in dict.fromkeys(args.stress or STRESSES):
            results[name] = _runs(name, args)
            print(*_row(name, results[name]), file=sys.stderr, flush=True)
    except (PidscopeError, LoadError) as error:
        print(f"scripts/soak: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, PidscopeError) else 1
    print(_json(results, args.probes) if args.json else _table(results, args.probes))
    return 1 if any(result.wrongs for result in results.values()) else 0


def _runs(name: str, args: Namespace) -> Result:
    """All runs of one stress together."""
    total = None
    for number, result in enumerate(runs(STRESSES[name], args.probes, args.seconds, args.runs), 1):
        for wrong in result.wrongs[:SHOWN]:
            print(f"{name}, run {number}: {wrong}", file=sys.stderr, flush=True)
        total = result if total is None else total + result
    assert total is not None
    return total


def _table(results: dict[str, Result], probes: str) -> str:
    headers = (
        *("stress", "runs", "events", "lost", "repairs", "compared", "unjudged"),
        *("bugs", "skipped", "faults", "exact s", "MiB"),
    )
    rows = [_row(name, result) for name, result in results.items()]
    title = f"Linux {platform.release()}, {len(os.sched_getaffinity(0))} CPUs, {probes}"
    return f"{title}\n{tabulate(rows, headers, 'plain', colalign=('left', *['right'] * 11))}"


def _row(name: str, result: Result) -> tuple[object, ...]:
    bugs = sum(result.verdicts[verdict] for verdict in BUGS)
    agreed = result.verdicts[Verdict.AGREE] + result.verdicts[Verdict.MOVED]
    return (
        name,
        f"{result.accounted}/{result.runs}",
        *(result.events, result.lost, result.repairs, agreed + bugs),
        *(result.verdicts[Verdict.UNJUDGED], bugs, result.skipped, result.faults),
        f"{result.exact_after_s:.2f}",
        "-".join(str(kib // 1024) for kib in result.rss_kib),
    )


def _json(results: dict[str, Result], probes: str) -> str:
    stresses = {
        name: {
            **dataclasses.asdict(result),
            "verdicts": {verdict.value: n for verdict, n in result.verdicts.items()},
        }
        for name, result in results.items()
    }
    return json.dumps({"kernel": platform.release(), "probes": probes, "stresses": stresses})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
