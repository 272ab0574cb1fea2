"""``pidscope arm``: the kernel itself keeps the latest lives, with no process running."""

from __future__ import annotations

import argparse

from pidscope.sources.options import add_command
from pidscope.sources.starting import Progress, add_no_cache, supply_of
from pidscope.terminal import warn

_LIVES = 65_536
_EXAMPLES = """\
From then on each task that ends leaves its record in the kernel's memory,
which keeps the latest: no process runs, nothing wakes up, nothing is written.
What is armed stays until pidscope disarm, or the host's end.

examples:
  pidscope arm                     keep the latest 65,536 (9 MB)
  pidscope lookup 17 --at -5m --in pid:4242
                                   and then ask, as root
  pidscope disarm                  end it

Containers that are gone have no names then: pidscope record keeps those.

exit status: 0 good; 2 it is armed already; 3 this host cannot do it.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "arm",
        help="let the kernel keep the latest lives, with no process running",
        description="Let the kernel keep a record of the latest tasks that ended.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--lives", type=_lives, default=_LIVES, metavar="N", help="how many, a power of two (65536)"
    )
    parser.add_argument(
        "--no-threads", action="store_true", help="no record for threads, only for processes"
    )
    add_no_cache(parser)


def run(args: argparse.Namespace) -> int:
    """Arm this host; raise UsageError, HostError."""
    from pidscope.live.armed import arm
    from pidscope.live.life_source import LifeWalk, life_program
    from pidscope.live.program import expect_root
    from pidscope.sources.armed_host import about_armed
    from pidscope.wire.hooks import AUTO

    expect_root()
    progress = Progress()
    with progress.patient():
        supply = supply_of(args.no_cache, progress)
        LifeWalk(supply, threads=True).close()  # its program is kept for whatever asks
        ways = ("fentry", "tracepoint")  # a kprobe cannot be pinned
        program = life_program(AUTO, not args.no_threads, supply, args.lives, ways)
        try:
            arm(program, about_armed(program.way, not args.no_threads, args.lives))
        finally:
            program.close()
    warn(f"armed by {program.way}: the kernel keeps the latest {args.lives:,} tasks that end")
    return 0


def _lives(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if number < 1024 or number & (number - 1):
        raise argparse.ArgumentTypeError(f"not a power of two from 1024 on: {text!r}")
    return number
