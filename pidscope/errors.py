"""The typed errors, each with the exit code that the command line gives it.

Exit codes: 0 good; 1 a disagreement, or no such process; 2 wrong usage, or ambiguous; 3 this host
cannot do it; 4 not known.
"""

from __future__ import annotations

from collections.abc import Sequence


class PidscopeError(Exception):
    """An error that the command line prints in one line instead of a traceback.

    ``hint`` is what to do about it; it is printed below, each line of it folded.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(PidscopeError):
    """The arguments ask for something that does not exist or cannot be combined."""

    exit_code = 2


class AmbiguousError(UsageError):
    """A word names more than one thing; ``candidates`` are the words that name each alone."""

    def __init__(self, message: str, candidates: Sequence[str]) -> None:
        super().__init__(message, "one of these:\n" + "\n".join(candidates))
        self.candidates = tuple(candidates)


class NotFound(PidscopeError):
    """There is nothing with that name or number."""


class NotKnown(PidscopeError):
    """The answer is not known: the question falls into a gap of what was recorded."""

    exit_code = 4


class ScenarioError(PidscopeError):
    """A scenario is malformed, or its run differed from what it states.

    Raised with the scenario's source (a file's path), the line number and the reason.
    """

    exit_code = 2

    def __init__(self, source: str, line_number: int, reason: str) -> None:
        super().__init__(f"{source}:{line_number}: {reason}")
        self.source = source
        self.line_number = line_number
        self.reason = reason


class HostError(PidscopeError):
    """This host cannot do what was asked, because of privilege, a package, the kernel or /proc."""

    exit_code = 3


class BtfError(HostError):
    """The kernel's type information is absent, malformed, or lacks a type that is needed."""


class ProcError(HostError):
    """A file of /proc does not have the form that the kernel gives it.

    Raised with path, line number and the line as read. A vanished process is not an error.
    """

    def __init__(self, path: str, line_number: int, line: str, reason: str) -> None:
        super().__init__(f"{path}:{line_number}: {reason}: {line!r}")
        self.path = path
        self.line_number = line_number
        self.line = line
        self.reason = reason


class WireError(HostError):
    """A record's bytes are not what bpf/record.h describes."""


class RecordingError(PidscopeError):
    """A recording, or a part of it, is not what docs/recording.md describes."""

    exit_code = 3


class IllegalEvent(PidscopeError):
    """An event that cannot follow from the table's state: the stream has a gap. Nothing changed."""
