"""``--source``: which world a command looks at."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable

from pidscope.errors import UsageError
from pidscope.terminal import help_width

if TYPE_CHECKING:
    from pidscope.host.proc import ProcFs
    from pidscope.simulated.stage import Stage

SIMULATED = "simulated"
_FILES = ("FILE (of record --events)",)
RING = "/var/lib/pidscope/ring"  # of ``pidscope record --ring``
SCENARIOS = """\
scenarios, for --source simulated[:SCENARIO], which needs no privilege:
  containers     two containers, each with its own PID 17 (the default)
  nested         three containers, one in another, and a task that joins
  session        a number that outlives its process
  reuse          the same number again, for another process
  exec-thread    exec by a thread that is not the leader
  fork-bomb      a fork bomb, and the limit that stops it
  dying-init     the init of a namespace is killed
  random[:SEED]  2,000 steps of everything
  FILE           your own: with a / in its name, or .scenario at its end
"""
SEE_SCENARIOS = "pidscope --help lists the scenarios of --source simulated[:SCENARIO]."


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's own, which folds no description, at the width of `help_width`.

    argparse makes one for each argument that is added, and asks shutil for the width, whose import
    (bz2, lzma) costs as much as the rest of the parser.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=help_width())


def add_command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    name: str,
    **texts: str,
) -> argparse.ArgumentParser:
    """Add a command and return its parser; ``texts`` are its help, description and epilog."""
    parser = subparsers.add_parser(name, formatter_class=HelpFormatter, **texts)  # type: ignore[arg-type]
    parser.set_defaults(func=run)
    return parser


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add ``--json``, for one document."""
    parser.add_argument("-J", "--json", action="store_true", help="a JSON document")


def add_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--source``; ``default`` is ``proc`` or ``live``."""
    parser.add_argument(
        "--source",
        default=default,
        metavar="SOURCE",
        help=f"{default} (default), simulated[:SCENARIO], or a FILE of record --events",
    )


def add_proc(parser: argparse.ArgumentParser) -> None:
    """Add ``--proc``."""
    parser.add_argument("--proc", metavar="PATH", help="another mount of /proc, such as the host's")


def procfs_of(args: argparse.Namespace) -> ProcFs:
    """Return the /proc that ``--proc`` names."""
    from pidscope.host.proc import ProcFs  # which a recording's questions do without

    if args.proc is None:
        return ProcFs("/proc")
    from pathlib import Path  # takes a while to import

    return ProcFs(Path(args.proc))


def expect_no_proc(args: argparse.Namespace) -> None:
    """Raise UsageError for ``--proc`` where the source has a /proc of its own."""
    if args.proc is not None:
        raise UsageError("--proc is this host's: it does not go with --source simulated")


def is_recording(source: str | None) -> bool:
    """Return whether ``--source`` names a file, rather than a kind of source."""
    if source is None or source.partition(":")[0] in (SIMULATED, "proc", "live", "armed"):
        return False
    return "/" in source or os.path.lexists(source)


def scenario_in(source: str, *others: str, more: Sequence[str] = ()) -> str | None:
    """Return the SCENARIO of a source's name, perhaps empty; None: it is one of the ``others``.

    ``more``: what else there is.

    Raises:
        UsageError: there is no such source.
    """
    kind, colon, scenario = source.partition(":")
    if source in others:
        return None
    if kind != SIMULATED or (colon and not scenario):
        names = [*others, "simulated[:SCENARIO]", *more]
        last = names.pop()
        raise UsageError(
            f"--source {source!r}: not one of this command's",
            f"it has {', '.join(names)} and {last}",
        )
    return scenario


def scenario_of(args: argparse.Namespace, *others: str) -> str | None:
    """Return the SCENARIO of ``--source`` as `scenario_in` does.

    Raises:
        UsageError: there is no such source, or it does not run a CMD.
    """
    scenario = None if args.source is None else scenario_in(args.source, *others, more=_FILES)
    if scenario is not None and args.command is not None:
        raise UsageError("a simulated kernel runs no CMD: nothing may stand behind --")
    return scenario


def stage_of(scenario: str) -> Stage:
    """Boot a simulated kernel; raises UsageError, ScenarioError."""
    from pidscope.simulated.stage import set_stage  # live paths must not pay for the model

    return set_stage(scenario)
