r"""``journalctl -o json``: an object a line, whose values are strings.

``_PID`` and ``OBJECT_PID`` are journald's numbers of processes; ``SYSLOG_PID`` is what the sender
called itself, and is left alone. In a string a quote is ``\"``, so nothing that a sender wrote can
look like a key here. A line of the kernel has no ``_PID``; its message is the kernel's. That of an
audit record is the record's, so it is of the initial PID namespace.

``_SOURCE_REALTIME_TIMESTAMP`` is when the sender sent, ``__REALTIME_TIMESTAMP`` when journald read.
"""

from __future__ import annotations

import re

from pidscope.history.logs.kernel import parse_message
from pidscope.history.logs.line import (
    LATE_NS,
    NO_TIME,
    NOTHING,
    Mention,
    Parsed,
    mention,
)
from pidscope.history.moment import Clock, Moment

_NUMBER = re.compile(rb'(?<=[{, ])"(?:_PID|OBJECT_PID)" ?: ?"(\d{1,7})"')
_TIMES = (
    re.compile(rb'(?<=[{, ])"_SOURCE_REALTIME_TIMESTAMP" ?: ?"(\d{1,16})"'),
    re.compile(rb'(?<=[{, ])"__REALTIME_TIMESTAMP" ?: ?"(\d{1,16})"'),
)
_BOOT = re.compile(rb'(?<=[{, ])"_BOOT_ID" ?: ?"([0-9a-f]{32})"')
_TRANSPORT = re.compile(rb'(?<=[{, ])"_TRANSPORT" ?: ?"(audit|kernel)"')
_MESSAGE = re.compile(rb'(?<=[{, ])"MESSAGE" ?: ?"([^"\\]*(?:\\.[^"\\]*){0,2000})"')


def parse(line: bytes) -> Parsed:
    """Return the numbers of one entry."""
    if not line.startswith(b"{"):
        return NOTHING
    transport = _TRANSPORT.search(line)
    mentions: tuple[Mention, ...] = ()
    for match in _NUMBER.finditer(line):
        mentions += mention(match, 1, is_thread=False, is_initial=transport is not None)
    moment = None
    if not mentions:
        parsed = _of_kernel(line, transport)
        mentions, moment = parsed.mentions, parsed.moment
    if not mentions:
        return NOTHING
    if moment is None:
        moment = _moment(line)
    return Parsed(mentions, moment, "" if moment is not None else NO_TIME)


def _of_kernel(line: bytes, transport: re.Match[bytes] | None) -> Parsed:
    message = None
    if transport is not None and transport[1] == b"kernel":
        message = _MESSAGE.search(line)
    if message is None:
        return NOTHING
    # What stands behind the message is cut off: some messages are known by their end.
    return parse_message(line[: message.end(1)], message.start(1), None)


def _moment(line: bytes) -> Moment | None:
    boot = _BOOT.search(line)
    boot_id = None if boot is None else boot[1].decode("ascii")
    for pattern in _TIMES:
        match = pattern.search(line)
        if match is not None:
            first_ns = int(match[1]) * 1_000
            return Moment(Clock.REALTIME, first_ns - LATE_NS, first_ns + 999, boot_id)
    return None
