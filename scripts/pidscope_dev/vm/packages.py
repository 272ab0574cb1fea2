"""Debian's packages: their versions, which of them answers a request, what comes with one.

Text in, names out: all of it is read from what apt prints. A newer bcc is taken with every library
that it needs, the C library included, and laid over the machine's own /usr in the guest: libraries
stay compatible with older programs, so the machine's Python and all else run on as they are. The
container runtimes run with the machine's own C library, so they are those of its release of Debian,
with the libraries that it may lack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .errors import UsageError, VmError

NEWEST = "newest"
BCC = "libbpfcc"
BCC_BINDING = "python3-bpfcc"  # plain Python: its own dependencies are the machine's Python
RUNTIMES = ("runc", "crun")
RUNTIME_LIBRARIES = ("libseccomp2", "libyajl2")

_REQUEST = re.compile(r"\d+\.\d+(\.\d+)?")
# Three numbers: linux-image-6.12-amd64 is a meta package. No further words: -rt-, -unsigned, -dbg.
_IMAGE = re.compile(
    r"linux-image-(?P<release>\d+\.\d+\.\d+[+.~\w]*(?:-\d[.\w]*)?-(?P<flavour>cloud-amd64|amd64))"
)
_PART_OF_IMAGE = re.compile(r"(linux-(?:binary|modules)-\S+) \(= ([^)]+)\)")
_PLANNED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
_CODENAME = re.compile(r'^VERSION_CODENAME="?(\w+)"?$', re.MULTILINE)


class Offer(NamedTuple):
    """One version of a package, and the suite that has it."""

    package: str
    version: str
    suite: str

    @property
    def release(self) -> str:
        """What ``uname -r`` prints in a kernel image."""
        return self.package[len("linux-image-") :]


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


def flavour_of(package: str) -> str:
    """Return ``amd64`` or ``cloud-amd64`` for a kernel image that can be booted here, else ""."""
    match = _IMAGE.fullmatch(package)
    return match["flavour"] if match else ""


def newest(
    offers: Iterable[Offer], request: str = NEWEST, *, suite: str = "", flavour: str = ""
) -> Offer | None:
    """Return the newest offer that answers the request, of a suite or a flavour if one is given."""
    matching = [
        offer
        for offer in offers
        if answers(offer.version, request)
        and suite in ("", offer.suite)
        and flavour in ("", flavour_of(offer.package))
    ]
    return max(matching, key=lambda offer: version_key(offer.version), default=None)


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


def parts_of_image(record: str) -> list[tuple[str, str]]:
    """Return name and version of the packages that a kernel image's record needs for it.

    Since 7.x linux-image is empty and needs linux-binary (the kernel) and linux-modules.
    """
    lines = [line for line in record.splitlines() if line.startswith("Depends:")]
    return _PART_OF_IMAGE.findall("\n".join(lines))


def planned(text: str) -> list[tuple[str, str]]:
    """Return name and version of the packages that ``apt-get install --simulate`` would install."""
    return _PLANNED.findall(text)


def suite_of(os_release: str, known: Iterable[str]) -> str:
    """Return the suite that the machine's os-release(5) names; raise VmError for no Debian."""
    match = _CODENAME.search(os_release)
    if match is None or match[1] not in known:
        raise VmError("--oci takes runc and crun of this machine's Debian: this is no known Debian")
    return match[1]
