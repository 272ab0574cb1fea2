"""The three standard streams, which every command has, however it was started."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys

_WIDTH = 79
_PLAIN = "pidscope.plain"  # an error handler of codecs
_LOOKALIKES = dict(zip("─│├└▶▲…", "-||`>^~"))


def table_width() -> int | None:
    """Return how wide a table may be on standard output; None: it is no terminal, nothing is cut.

    COLUMNS goes before the terminal's own word, as for ps.
    """
    try:
        width = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):  # no terminal; or a test's stream, which is no file
        return None
    return _given_width() or width or _WIDTH  # 0: a terminal that does not know


def help_width() -> int:
    """Return how wide a help text is: COLUMNS or the terminal, less a margin of two, as argparse.

    It is folded at 80 where there is no terminal.
    """
    width = _given_width()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no terminal; closed; none
        width = width or os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
    return (width or 80) - 2


def _given_width() -> int:
    """Return what COLUMNS says; 0: nothing."""
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0


def warn(message: str, speaker: str = "pidscope") -> None:
    """Print a note on standard error, folded between words, from the program or one command."""
    prefix = f"{speaker}: "
    width = _WIDTH - len(prefix)
    if len(message) <= width:
        print(prefix + message, file=sys.stderr)
        return
    import textwrap  # most runs print no note, or a short one

    for line in textwrap.wrap(message, width, break_long_words=False, break_on_hyphens=False):
        print(prefix + line, file=sys.stderr)


def forget_stdout() -> None:
    """Keep the last flush of the interpreter from failing, since the reader has gone."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), sys.stdout.fileno())


def open_standard_streams() -> None:
    """Make all three exist: a map that was opened as descriptor 1 would get the output.

    An output that was closed stays of no use: writing there fails as before, with EBADF.
    A character that the terminal cannot print becomes the one that looks most like it, or its bytes
    as `escape` writes them.
    """
    fd = 0
    while fd <= 2:
        fd = os.open(os.devnull, os.O_WRONLY)
        if fd == 1:
            os.dup2(os.open(os.devnull, os.O_RDONLY), fd)
    os.close(fd)
    # None is what the interpreter makes of a closed descriptor, which is open again now.
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    codecs.register_error(_PLAIN, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_PLAIN)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain_character, error.object[error.start : error.end])), error.end


def _plain_character(character: str) -> str:
    encoded = character.encode("utf-8", "surrogateescape")
    return _LOOKALIKES.get(character) or "".join(f"\\x{byte:02x}" for byte in encoded)
