"""Foreign bytes as text and back: whatever they are."""

from __future__ import annotations

import re

from pidscope.escape import escape, unescape, unescape_status_name
from pidscope_dev.fuzz.target import Target

_ESCAPED = re.compile(rb"\\(?:(\\)|x([0-9a-f]{2}))")


def check(data: bytes) -> bool:
    """Bytes to text and back; the bytes as text; the bytes as a name of a status file."""
    text = escape(data)
    assert text.isprintable()
    assert unescape(text) == data
    escaped = data.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    assert unescape_status_name(escaped) == data
    assert len(unescape_status_name(data)) <= len(data)
    return _check_unescape(data)


def _check_unescape(data: bytes) -> bool:
    """Read the bytes as escaped text; whatever `escape` cannot have made is refused."""
    expected = _ESCAPED.sub(lambda match: match[1] or bytes.fromhex(match[2].decode()), data)
    try:
        raw = unescape(data.decode("utf-8", "surrogateescape"))
    except ValueError:  # as documented; it is no user's text
        is_utf8 = data.decode("utf-8", "ignore").encode() == data
        assert b"\\" in _ESCAPED.sub(b"", data) or not is_utf8, "refused"
        return False
    assert raw == expected
    return True


ESCAPE = Target(
    "escape",
    check,
    seeds=(
        b"nginx: worker",
        b"\x1b[31mred\x1b[0m".replace(b"\x1b", rb"\x1b"),
        rb"a\\b\x0a",
        "日本語\u202eevil\u200b".encode(),
    ),
    words=(
        b"\\",
        b"\\\\",
        b"\\x",
        b"\\x41",
        b"\\n",
        b"\n",
        b"\xff",
        "日".encode(),
        b"\xed\xa0\x80",
    ),
    max_bytes=256,
)
