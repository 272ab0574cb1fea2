"""Logs of which the user says where the PID and the time stand."""

from __future__ import annotations

import json
import re
from typing import Any

from pidscope.errors import UsageError
from pidscope.escape import printable
from pidscope.history.logs.line import NO_TIME, NOTHING, Mention, Parsed, mention
from pidscope.history.logs.stamps import Stamps
from pidscope.query.typed_pid import parse_pid

NO_PLACE = -1  # a number whose bytes are not looked for


class JsonLines:
    """Parses an object a line.

    A name with dots leads into objects inside. Numbers stay the text that they are, so that a time
    is as wide as its last digit.

    Args:
        field: the name of the field that holds the PID, a number or its digits as a string.
        time_field: that of the time; None: the lines have none.
    """

    def __init__(self, field: str, time_field: str | None, stamps: Stamps) -> None:
        self._path = field.split(".")
        self._time_path = None if time_field is None else time_field.split(".")
        self._stamps = stamps
        self._decode = json.JSONDecoder(parse_float=str, parse_int=str).decode

    def __call__(self, line: bytes) -> Parsed:
        """Return the number of one line; none, if it is no object that has it."""
        try:
            document = self._decode(line.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError):
            return NOTHING
        value = _at(document, self._path)
        number = parse_pid(value) if isinstance(value, str) else None
        if number is None:
            return NOTHING
        mentions = (Mention(number, False, NO_PLACE, NO_PLACE),)
        stamp = None if self._time_path is None else _at(document, self._time_path)
        if not isinstance(stamp, str):
            return Parsed(mentions, None, NO_TIME)
        return self._stamps.of_text(mentions, stamp.encode("utf-8", "surrogatepass"))


def _at(document: Any, path: list[str]) -> Any:
    """Return what stands at a path; the whole name comes first, as ECS in NDJSON may have dots."""
    if not isinstance(document, dict):
        return None
    whole = ".".join(path)
    if whole in document or len(path) == 1:
        return document.get(whole)
    return _at(document.get(path[0]), path[1:])


class Expression:
    """Parses lines by a regular expression with the groups ``pid`` or ``tid``, and ``time``.

    Only the first match counts. How long a match takes is not bounded here, beside by the length
    of what is searched: the caller has to interrupt it.
    """

    def __init__(self, text: str, stamps: Stamps) -> None:
        try:
            self._pattern = re.compile(text.encode("utf-8", "surrogateescape"))
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"--regex '{printable(text)}': {printable(str(error))}") from None
        groups = self._pattern.groupindex
        if ("pid" in groups) == ("tid" in groups):
            raise UsageError("--regex needs one of the groups (?P<pid>…) and (?P<tid>…)")
        self._group = "tid" if "tid" in groups else "pid"
        self._is_dated = "time" in groups
        self._stamps = stamps

    def __call__(self, line: bytes) -> Parsed:
        """Return the number that the expression finds in one line."""
        match = self._pattern.search(line)
        digits = None if match is None else match[self._group]
        if match is None or digits is None or not (digits.isdigit() and len(digits) <= 10):
            return NOTHING
        mentions = mention(match, self._group, is_thread=self._group == "tid")
        stamp = match["time"] if self._is_dated else None
        if stamp is None:
            return Parsed(mentions, None, NO_TIME) if mentions else NOTHING
        return self._stamps.of_text(mentions, stamp) if mentions else NOTHING
