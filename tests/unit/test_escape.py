from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pidscope.escape import escape, unescape, unescape_status_name

# Names itself, then shows what the kernel says of that: comm raw, Name as /proc escapes it.
NAME_ITSELF = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
comm = open("/proc/self/comm", "rb").read()[:-1]
name = open("/proc/self/status", "rb").readline()[len(b"Name:\\t"):-1]
print(comm.hex(), name.hex(), sep=",")
"""

HOSTILE = [
    b"nginx",
    b"",
    b"a b)c (d",
    b"x\ny",
    b"\\",
    b"\\n",
    b"a\\\nb",
    b"\\\n\\\n\\\n\\\n\\\n\\\n\\\n\\",
    b"\x1b[31mred",
    b"\x1b]0;owned\x07",
    b"\r\t\v\f\x7f",
    b"\xff\xfe\x80",
    "\u202eevil".encode(),
    "a\u200bb\ufeff".encode(),
    "日本語".encode(),
    "日本語".encode()[:-1],
    "\u00a0\u2028".encode(),
]


@given(st.binary())
@example(b"\\x41")
def test_round_trip(raw: bytes) -> None:
    assert unescape(escape(raw)) == raw


@given(st.binary())
def test_escaped_text_is_printable(raw: bytes) -> None:
    assert escape(raw).isprintable()


@given(st.binary(), st.binary())
def test_different_bytes_never_look_alike(one: bytes, other: bytes) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"nginx: worker", "nginx: worker"),
        ("日本語".encode(), "日本語"),
        (b"a\\b", r"a\\b"),
        (b"x\ny", r"x\x0ay"),
        (b"\x1b[31m", r"\x1b[31m"),
        (b"\xff", r"\xff"),
        ("\u202e".encode(), r"\xe2\x80\xae"),
        ("\u200b".encode(), r"\xe2\x80\x8b"),
        ("\ue000".encode(), r"\xee\x80\x80"),
    ],
)
def test_form(raw: bytes, text: str) -> None:
    assert escape(raw) == text


@pytest.mark.parametrize("text", ["\\", r"\n", r"\x", r"\x4", r"\xZZ", "a\\", "\udc80"])
def test_what_escape_cannot_have_made_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unescape(text)


@given(st.text())
def test_unescape_gives_bytes_or_value_error(text: str) -> None:
    try:
        raw = unescape(text)
    except ValueError:
        return
    assert isinstance(raw, bytes)


@pytest.mark.parametrize("name", HOSTILE)
def test_status_name_is_unescaped_to_what_comm_says(name: bytes) -> None:
    command = [sys.executable, "-c", NAME_ITSELF, name.hex()]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    comm, status_name = map(bytes.fromhex, output.strip().split(","))
    assert comm == name[:15]
    assert unescape_status_name(status_name) == comm


@given(st.binary())
def test_status_name_round_trip_by_the_kernels_rule(comm: bytes) -> None:
    escaped = comm.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    assert unescape_status_name(escaped) == comm
