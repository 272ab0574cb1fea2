"""Hold the life stream against other witnesses."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from itertools import count as numbers

from pidscope.errors import PidscopeError
from pidscope.wire.hooks import WAYS
from pidscope_dev.arguments import Arguments, command_line, positive
from pidscope_dev.lives import forks, model, puppets


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(text.split(",")))
    if not set(modes) <= set(WAYS):
        raise ArgumentTypeError(f"not of {', '.join(WAYS)}: {text}")
    return modes


EPILOG = """\
  model    lives of random workloads on the model, field by field against its full stream
  forks    forks of one process on this kernel, as root, against the count in /proc/stat
  puppets  lives of the differential test's puppets on this kernel, as root, in each mode that it
           allows, field by field against the full stream; both observe the same at once

examples:
  scripts/lives model 100000
  scripts/lives forks 1000000
  scripts/lives puppets 100000
  scripts/vm --kernel 6.1 -- scripts/lives puppets 2000 --modes fentry,kprobe

exit status: 0 all equal; 1 a difference; 2 wrong usage; 3 this host cannot do it.
"""
ARGUMENTS: Arguments = {
    "witness": {"choices": ("model", "forks", "puppets")},
    "lives": {"type": positive, "nargs": "?", "default": 10_000, "metavar": "N"},
    "--seed": {
        "type": int,
        "default": 0,
        "help": "of the model's first workload, or of the puppets' worlds (default: 0)",
    },
    "--modes": {
        "type": _modes,
        "metavar": "MODE,…",
        "help": "of the puppets' life streams (default: all that this kernel allows)",
    },
}
_STEPS = 2_000


def main(argv: Sequence[str]) -> int:
    """Count, compare and print."""
    options = command_line("scripts/lives", __doc__, ARGUMENTS, EPILOG).parse_args(argv)
    try:
        if options.witness == "model":
            return _model(options.lives, options.seed)
        if options.witness == "puppets":
            return _puppets(options.lives, options.seed, options.modes)
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


def _puppets(wanted: int, seed: int, modes: Sequence[str] | None) -> int:
    def note(line: str) -> None:
        print(f"scripts/lives: {line}", file=sys.stderr, flush=True)

    score = puppets.play(wanted, seed, modes, note)
    for mode, why in score.refused.items():
        print(f"{mode}: refused: {why}")
    for mode, it in score.modes.items():
        print(
            f"{mode}: {it.lives} lives and {it.births} births compared: {it.equal} equal, "
            f"{it.differing} differing, {it.lost} lost, {it.lives / score.seconds:.0f} lives/s"
        )
        print(*(f"  {line}" for line in it.shown), sep="\n", end="\n" if it.shown else "")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(score.kinds.items()))
    print(
        f"full stream by {score.full}: {score.worlds} worlds, {score.calls} calls; {kinds}; "
        f"{score.cut_short} worlds cut short, {score.set_aside} set aside"
    )
    return 0 if score.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
