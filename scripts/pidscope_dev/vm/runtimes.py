"""Choose the container runtimes among what apt offers (text in, names out).

They run with the machine's own C library, so they are those of its release of Debian, with the
libraries that it may lack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import versions
from .errors import VmError

NAMES = ("runc", "crun")
LIBRARIES = ("libseccomp2", "libyajl2")

_CODENAME = re.compile(r'^VERSION_CODENAME="?(\w+)"?$', re.MULTILINE)


def suite(os_release: str, known: Iterable[str]) -> str:
    """Return the suite that the machine's os-release(5) names; raise VmError for no Debian."""
    match = _CODENAME.search(os_release)
    if match is None or match[1] not in known:
        raise VmError("--oci takes runc and crun of this machine's Debian: this is no known Debian")
    return match[1]


def newest(offers: Iterable[versions.Offer], suite: str) -> versions.Offer | None:
    """Return the newest offer of a suite, or None."""
    matching = [offer for offer in offers if offer.suite == suite]
    return max(matching, key=lambda offer: versions.version_key(offer.version), default=None)
