"""``pidscope disarm``: take what is armed out of the kernel."""

from __future__ import annotations

import argparse

from pidscope.errors import NotFound
from pidscope.sources.options import add_command
from pidscope.terminal import warn

_EXAMPLES = """\
examples:
  pidscope disarm                  the records that the kernel keeps are gone

exit status: 0 good; 1 this host was not armed; 3 this host cannot do it.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    add_command(
        subparsers,
        run,
        "disarm",
        help="end that, and forget what was kept",
        description="Take programs and records out of the kernel that pidscope arm left in it.",
        epilog=_EXAMPLES,
    )


def run(args: argparse.Namespace) -> int:
    """Disarm this host; raise NotFound, HostError."""
    from pidscope.live.armed import disarm
    from pidscope.live.program import expect_root

    expect_root()
    if not disarm():
        raise NotFound("this host was not armed")
    warn("disarmed")
    return 0
