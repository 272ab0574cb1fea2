"""Debian's versions, apt's lists of them, and which answers a request (text in, names out)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .errors import UsageError

NEWEST = "newest"
_REQUEST = re.compile(r"\d+\.\d+(\.\d+)?")


class Offer(NamedTuple):
    """One version of a package, and the suite that has it."""

    package: str
    version: str
    suite: str


def check_request(option: str, request: str) -> str:
    """Return the request if it is ``newest``, X.Y or X.Y.Z; raise UsageError otherwise."""
    if request != NEWEST and not _REQUEST.fullmatch(request):
        raise UsageError(f"{option} takes 'newest' or a version such as 6.1, not {request!r}")
    return request


def parse_madison(text: str) -> Iterator[Offer]:
    """Read the output of ``apt-cache madison``: ``package | version | uri suite/component …``."""
    for line in text.splitlines():
        package, version, source = [part.strip() for part in line.split("|", 2)]
        if source.endswith("Packages"):
            yield Offer(package, version, source.split()[1].split("/")[0])


def upstream(version: str) -> str:
    """Return the part of a Debian version that is the project's own, such as 6.1.192."""
    return re.split(r"[-~+]", version)[0]


def answers(version: str, request: str) -> bool:
    """Say whether a version is one of those that the request names."""
    return request == NEWEST or f"{upstream(version)}.".startswith(f"{request}.")


def version_key(version: str) -> list[tuple[list[int], int]]:
    """Return a sort key that orders Debian versions as dpkg does (deb-version(7))."""
    epoch, _colon, rest = version.rpartition(":")
    upstream, dash, revision = rest.rpartition("-")
    parts = [epoch or "0", upstream, revision] if dash else [epoch or "0", rest, ""]
    return [pair for part in parts for pair in [*_part_key(part), ([0], -1)]]


def _part_key(part: str) -> list[tuple[list[int], int]]:
    # A tilde sorts before the end of the text, which sorts before letters, before all other signs.
    def weight(sign: str) -> int:
        return -1 if sign == "~" else ord(sign) + (0 if sign.isalpha() else 256)

    pairs = re.findall(r"(\D*)(\d*)", part)
    return [([*map(weight, text), 0], int(number or 0)) for text, number in pairs if text or number]
