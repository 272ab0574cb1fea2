"""Hold the life stream against other witnesses."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import count as numbers

from pidscope.errors import PidscopeError
from pidscope_dev.arguments import Arguments, command_line, positive
from pidscope_dev.lives import forks, model

EPILOG = """\
  model  lives of random workloads on the model, field by field against its full stream
  forks  forks of one process on this kernel, as root, against the count in /proc/stat

examples:
  scripts/lives model 100000
  scripts/lives forks 1000000

exit status: 0 all equal; 1 a difference; 2 wrong usage; 3 this host cannot do it.
"""
ARGUMENTS: Arguments = {
    "witness": {"choices": ("model", "forks")},
    "lives": {"type": positive, "nargs": "?", "default": 10_000, "metavar": "N"},
    "--seed": {"type": int, "default": 0, "help": "of the model's first workload (default: 0)"},
}
_STEPS = 2_000


def main(argv: Sequence[str]) -> int:
    """Count, compare and print."""
    options = command_line("scripts/lives", __doc__, ARGUMENTS, EPILOG).parse_args(argv)
    try:
        if options.witness == "model":
            return _model(options.lives, options.seed)
        return _forks(options.lives)
    except PidscopeError as error:
        print(f"scripts/lives: {error}", file=sys.stderr)
        return 3


def _model(wanted: int, first_seed: int) -> int:
    lives = births = 0
    for seed in numbers(first_seed):
        both = model.lived(seed, _STEPS)
        if lines := model.compare(both):
            print(*lines, sep="\n")
            return 1
        lives, births = lives + len(both.lives), births + len(both.births)
        if lives >= wanted:
            break
    print(f"{lives} lives and {births} births of {seed - first_seed + 1} workloads: all equal")
    return 0


def _forks(wanted: int) -> int:
    it = forks.count(wanted)
    print(
        f"{it.asked} forks: {it.loop_births} births and {it.loop_lives} lives of them; of the host "
        f"{it.births} births ({it.least} to {it.most} by /proc/stat), {it.lives} records of "
        f"{it.exits} exits; {it.lost} lost, {it.skipped} runs skipped"
    )
    return 0 if it.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
