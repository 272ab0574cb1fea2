"""The command line: one parser, one place where errors become a line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pidscope import __version__
from pidscope.errors import HostError, PidscopeError, UsageError
from pidscope.escape import escape
from pidscope.sources.options import SCENARIOS, HelpFormatter
from pidscope.sources.privilege import own_hint
from pidscope.terminal import forget_stdout, open_standard_streams, warn

_DESCRIPTION = """\
pidscope shows every PID of every task, at every level of nested PID
namespaces: read from /proc (ps, ns, lookup, explain, limits), or rebuilt from
kernel events and compared with /proc while the kernel runs (watch, verify).
"""
_EPILOG = f"""\
examples:
  pidscope ns                      the tree of PID namespaces
  pidscope ps                      every process with its number at every level
  pidscope lookup 17 --in pid:4242  the process that 4242 calls 17
  pidscope explain 4242            the kernel structures of 4242, drawn
  pidscope limits --in pid:4242    how many forks 4242 has left, or why none
  pidscope watch -- make           what the processes of make do, as it happens
  pidscope verify                  compare with /proc for ten seconds
  pidscope annotate audit < audit.log
                                   what had the PIDs in a log at that time
  pidscope export --ndjson         every task that was recorded, as JSON lines
  pidscope doctor                  can this host do live mode, and if not, why
  pidscope verify --source simulated
                                   the same on a kernel in Python, without root

{SCENARIOS}
exit status: 0 good; 1 a disagreement, or no such process; 2 wrong or ambiguous
arguments; 3 this host cannot do it (the reason is printed); 4 not known.
"""
_COMMANDS = (
    *("ns", "ps", "lookup", "explain", "limits", "watch", "verify"),
    *("record", "annotate", "export", "arm", "disarm", "doctor"),
)
_NUMBERS = frozenset({"lookup", "explain"})  # take arguments that -- may stand before
_TIMES = frozenset({"--at", "--since", "--until"})  # options whose value may begin with a dash
_SIGPIPE_STATUS = 128 + signal.SIGPIPE
_INSTALL = "install it, as python3-NAME of the distribution or with pip"


class _Parser(argparse.ArgumentParser):
    """Prints errors under the name of the command that was given, folded."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and refuse the rest here: the outer parser would print its own usage."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {escape(os.fsencode(' '.join(unknown)))}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Print the error below the usage, and exit with 2."""
        with contextlib.suppress(OSError):  # standard error may be closed
            self.print_usage(sys.stderr)
            warn(f"error: {message}", self.prog)
        sys.exit(UsageError.exit_code)


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser of these commands; each costs the import of all that it needs."""
    parser = _Parser(
        prog="pidscope",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pidscope {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
        importlib.import_module(f"pidscope.commands.{name}").register(subparsers)
    return parser


def _likely(arguments: Sequence[str]) -> Sequence[str]:
    """Return the command that comes first, or all: then the user wants help, or made an error."""
    if list(arguments) == ["--version"]:
        return ()
    return [name for name in _COMMANDS if [name] == arguments[:1]] or _COMMANDS


def _split(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return our own arguments, and the CMD after the first ``--``; None: there is no ``--``."""
    arguments = _with_times_joined(argv)
    if "--" not in arguments or not _NUMBERS.isdisjoint(arguments[:1]):
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _with_times_joined(argv: Sequence[str]) -> list[str]:
    """Return ``--at -10m`` as ``--at=-10m``: argparse would take the time for an option."""
    found: list[str] = []
    for word in argv:
        if found and found[-1] in _TIMES and word[:1] == "-" and word[1:2].isdigit():
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def _complain(message: str, hint: str = "") -> None:
    """Print the error in one line, and below it the hint, folded."""
    with contextlib.suppress(OSError):  # standard error may be closed
        print(f"pidscope: {message}", file=sys.stderr)
        for line in hint.splitlines():
            warn(line)


def _failure(error: OSError) -> str:
    """Return why a system call failed, and on which file if known, without its errno."""
    if error.errno == errno.EBADF and error.filename is None:
        return "standard output is closed"
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"


def main(argv: Sequence[str] | None = None, interrupt: Any = None) -> int:
    """Run one command and return its exit code; what a user can cause never ends in a traceback.

    ``interrupt`` is the handler of SIGINT from here on; None: the one there is.
    """
    try:
        if interrupt is not None:
            signal.signal(signal.SIGINT, interrupt)
        open_standard_streams()
        arguments, command = _split(sys.argv[1:] if argv is None else argv)
        args = _parser(_likely(arguments)).parse_args(arguments)
        if command is not None and "command" not in args:
            raise UsageError("this command runs no other one: nothing may follow --")
        if command == []:
            raise UsageError("no command after --")
        args.command = command
        code: int = args.func(args)
        sys.stdout.flush()
    except PidscopeError as error:
        _complain(str(error), own_hint(error.hint))
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "pidscope":
            raise  # a bug of ours
        _complain(f"the Python package {error.name} is not installed", _INSTALL)
        return HostError.exit_code
    except BrokenPipeError:
        forget_stdout()
        return _SIGPIPE_STATUS
    except OSError as error:  # no more descriptors, a disk that fails: rare, but not a bug of ours
        _complain(_failure(error))
        if error.errno == errno.EBADF:  # standard output was closed; the interpreter would flush it
            forget_stdout()
        return HostError.exit_code
    except KeyboardInterrupt as interrupt:
        return 128 + next(iter(interrupt.args), signal.SIGINT)
    return code
