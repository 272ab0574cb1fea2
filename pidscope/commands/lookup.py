"""``pidscope lookup``: what has a number in one namespace, and its number in another."""

from __future__ import annotations

import argparse

from pidscope.query.words import parse_where
from pidscope.sources.list_options import add_options, expect_one_form
from pidscope.sources.options import SEE_SCENARIOS, add_command
from pidscope.sources.where import EXPLAINED, add_in

_EXAMPLES = f"""\
A number is of a process or of a thread. It stays taken, too, while a group or
session has it after its process has gone. Such a number, and one whose task
has ended (as far as that was recorded), is printed with exit status 1. Without
--in and --to the numbers are this /proc's, and standard error lists the
processes that have the same numbers in other namespaces.

{EXPLAINED}
columns (-o; a leading + adds to the default ones):
  NUMBER     as asked, in --in
  TO         what that is in --to: 0: no number there; ?: may not be read
  NSPID, NS  all its numbers, the outermost first; where the last one counts
  COMM, WHAT its name; process, thread, zombie, joined (came from outside), …
  and those of pidscope ps but REAPER, for living tasks

examples:
  pidscope lookup 17 --in web          which process is it that web calls 17?
  pidscope lookup 4242 --to pid:4242   and what does 4242 call itself?
  strace -p $(pidscope lookup -q 17 --in id:3f2a91)
  grep -o 'pid [0-9]*' log | cut -c5- | pidscope lookup - --in pod:default/db
  pidscope lookup 17 --in web --at 14:03:05
                                       which was it then, if it was recorded?
  pidscope lookup 17 --in web --explain
                                       which witnesses say whose it is?
  pidscope lookup 5 --in pid:4 --source simulated:reuse
                                       what has 5, and what had it before?

{SEE_SCENARIOS}

exit status: 0 all are alive; 1 no process has one of them now; 2 wrong usage,
a WHERE that is several or whose namespace is not certain, or with -q one that
has no namespace but the host's; 3 this user may not see it; 4 not known: no
process has it now, and nothing was recording.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "lookup",
        help="what has a number, and its number elsewhere",
        description="Translate PIDs and TIDs between PID namespaces, now or then.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "pids", nargs="+", metavar="PID", help="numbers; - reads them from standard input"
    )
    add_in(parser)
    parser.add_argument(
        "--to", metavar="WHERE", type=parse_where, help="translate to it (default: this /proc's)"
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="what had it then, from a recording: 14:03:05, -10m, yesterday 14:03, …",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="only the numbers in --to, of living tasks"
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="also what shows in which container it is, and which namespace is the container's",
    )
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print what has the numbers; raise UsageError, AmbiguousError, NotFound, HostError."""
    expect_one_form(args)
    if args.at is not None:
        from pidscope.commands import lookup_at  # each does without what the other needs

        return lookup_at.run(args)
    from pidscope.commands import lookup_now

    return lookup_now.run(args)
