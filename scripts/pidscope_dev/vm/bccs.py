"""Choose a bcc among those that apt offers, and what it needs (text in, names out).

A newer bcc is taken with every library that it needs, the C library included, and laid over the
machine's own /usr in the guest: libraries stay compatible with older programs, so the machine's
Python and all else run on as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import versions

LIBRARY = "libbpfcc"
BINDING = "python3-bpfcc"  # plain Python: its own dependencies are the machine's Python

_PLANNED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)


def newest(offers: Iterable[versions.Offer], request: str) -> versions.Offer | None:
    """Return the newest offer that answers the request, or None."""
    matching = [offer for offer in offers if versions.answers(offer.version, request)]
    return max(matching, key=lambda offer: versions.version_key(offer.version), default=None)


def planned(text: str) -> list[tuple[str, str]]:
    """Return name and version of the packages that ``apt-get install --simulate`` would install."""
    return _PLANNED.findall(text)
