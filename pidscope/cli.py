"""The command line: one parser, one place where errors become a line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pidscope import __version__
from pidscope.errors import HostError, PidscopeError, UsageError
from pidscope.escape import escape
from pidscope.sources.options import SCENARIOS
from pidscope.terminal import forget_stdout, open_standard_streams, say

_DESCRIPTION = """\
Every PID of every task, at every level of nested PID namespaces: as /proc
tells it (ps, ns, lookup, explain, limits), or rebuilt from what the kernel
does and checked while it runs (watch, verify).
"""
_EPILOG = f"""\
examples:
  pidscope ns                      the tree of PID namespaces
  pidscope ps                      every process with its number at every level
  pidscope lookup 17 --in pid:4242  which process is it that 4242 calls 17?
  pidscope explain 4242            its kernel structures, drawn
  pidscope limits --in pid:4242    why it can fork no more, or how often it can
  pidscope watch -- make           what make's processes do, as it happens
  pidscope verify                  ten seconds of proof
  pidscope doctor                  can this host do live mode, and if not, why
  pidscope verify --source simulated
                                   the same, of a kernel in Python: no root

{SCENARIOS}
exit status: 0 good; 1 a disagreement, or no such process; 2 wrong usage, or
ambiguous; 3 this host cannot do it, with the reason; 4 not known.
"""
_COMMANDS = ("ns", "ps", "lookup", "explain", "limits", "watch", "verify", "doctor")
_SIGPIPE_STATUS = 128 + signal.SIGPIPE
_SIGINT_STATUS = 128 + signal.SIGINT


class _Parser(argparse.ArgumentParser):
    """Complains as the command that was given, and folds what it says."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and know everything: else the outer parser would show its own usage for it."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {escape(os.fsencode(' '.join(unknown)))}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong below the usage, and exit with 2."""
        with contextlib.suppress(OSError):  # nobody may be listening
            self.print_usage(sys.stderr)
            say(f"error: {message}", self.prog)
        sys.exit(UsageError.exit_code)


def _parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    """Knows the commands ``chosen``; each costs the import of all that it needs."""
    parser = _Parser(
        prog="pidscope",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pidscope {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in chosen:
        importlib.import_module(f"pidscope.commands.{name}").register(subparsers)
    return parser


def _likely(arguments: Sequence[str]) -> Sequence[str]:
    """The command that stands first, or all: then it is help that is wanted, or an error."""
    return [name for name in _COMMANDS if [name] == arguments[:1]] or _COMMANDS


def _split(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Our own arguments, and the CMD behind the first ``--``; None: there is no ``--``."""
    arguments = list(argv)
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _complain(message: str, hint: str = "") -> None:
    """Say what is wrong, in one line, and what to do about it, folded."""
    with contextlib.suppress(OSError):  # nobody may be listening
        print(f"pidscope: {message}", file=sys.stderr)
        for line in hint.splitlines():
            say(line)


def _failure(error: OSError) -> str:
    """Why a system call failed, and on what if that is known, without its errno."""
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never a traceback for what a user can cause."""
    open_standard_streams()
    arguments, command = _split(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(_likely(arguments)).parse_args(arguments)
        if command is not None and "command" not in args:
            raise UsageError("this command runs no other one: nothing may stand behind --")
        if command == []:
            raise UsageError("no command behind --")
        args.command = command
        code: int = args.func(args)
        sys.stdout.flush()
    except PidscopeError as error:
        _complain(str(error), error.hint)
        return error.exit_code
    except BrokenPipeError:
        forget_stdout()
        return _SIGPIPE_STATUS
    except OSError as error:  # no more descriptors, a disk that fails: rare, but not a bug of ours
        _complain(_failure(error))
        return HostError.exit_code
    except KeyboardInterrupt:
        return _SIGINT_STATUS
    return code
