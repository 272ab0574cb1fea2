r"""Foreign bytes as text that cannot harm a terminal, and back again.

A process names itself: comm may hold escape sequences, newlines, bidirectional controls, anything
but NUL. One form is used everywhere, in tables and in JSON: printable UTF-8 stands as it is, a
backslash becomes ``\\``, every other byte becomes ``\xNN``.
"""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2}))|[^\\]+")
_STATUS_ESCAPED = re.compile(rb"\\([\\n])")


def escape(raw: bytes) -> str:
    r"""Return ``raw`` with every byte that is not part of printable UTF-8 written as ``\xNN``."""
    text = raw.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escape_character, text))


def printable(text: str) -> str:
    """Return a foreign string, as Python has decoded it, as it may be printed."""
    return escape(text.encode("utf-8", "surrogateescape"))


def _escape_character(character: str) -> str:
    if character == "\\":
        return r"\\"
    if character.isprintable():
        return character
    # A byte that is not UTF-8 is a lone surrogate here, which is never printable.
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def unescape(text: str) -> bytes:
    """Return the bytes that `escape` was given; raise ValueError for text that it never returns."""
    raw = bytearray()
    position = 0
    while position < len(text):
        match = _ESCAPED.match(text, position)
        if match is None:
            raise ValueError(f"not an escape at character {position} of {text!r}")
        if match[1]:
            raw.append(int(match[1], 16))
        else:
            raw += b"\\" if match[0] == r"\\" else match[0].encode("utf-8")
        position = match.end()
    return bytes(raw)


def unescape_status_name(raw: bytes) -> bytes:
    r"""Return the comm (or workqueue name) behind the ``Name:`` line of ``/proc/N/status``.

    The kernel escapes newline and backslash there and nothing else (``proc_task_name()``,
    fs/proc/array.c); ``comm`` and ``stat`` show them raw.
    """
    if b"\\" not in raw:
        return raw
    return _STATUS_ESCAPED.sub(lambda match: b"\n" if match[1] == b"n" else b"\\", raw)
