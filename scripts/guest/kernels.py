"""Choose a kernel package among those that apt offers (text in, names out)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import UsageError

NEWEST = "newest"

# Three numbers: linux-image-6.12-amd64 is a meta package. No further words: -rt-, -unsigned, -dbg.
_IMAGE = re.compile(
    r"linux-image-(?P<release>\d+\.\d+\.\d+[+.~\w]*(?:-\d[.\w]*)?-(?P<flavour>cloud-amd64|amd64))"
)
_REQUEST = re.compile(r"\d+\.\d+(\.\d+)?")
_PART_OF_IMAGE = re.compile(r"(linux-(?:binary|modules)-\S+) \(= ([^)]+)\)")


@dataclass(frozen=True)
class Kernel:
    """A kernel image package: name, version, flavour, and the suite it comes from."""

    package: str
    version: str
    flavour: str
    suite: str

    @property
    def release(self) -> str:
        """What ``uname -r`` says in it."""
        return self.package[len("linux-image-") :]

    @property
    def upstream(self) -> str:
        """The kernel's own version, such as 6.1.192."""
        return re.split(r"[-~+]", self.version)[0]


def is_image(package: str) -> bool:
    """Say whether a package is a kernel image that can be booted here."""
    return _IMAGE.fullmatch(package) is not None


def check_request(request: str) -> str:
    """Return the request if it is ``newest``, X.Y or X.Y.Z; raise UsageError otherwise."""
    if request != NEWEST and not _REQUEST.fullmatch(request):
        raise UsageError(f"--kernel takes 'newest' or a version such as 6.1, not {request!r}")
    return request


def parse_madison(text: str) -> list[Kernel]:
    """Read the output of ``apt-cache madison``: ``package | version | uri suite/component …``."""
    kernels = []
    for line in text.splitlines():
        package, version, source = [part.strip() for part in line.split("|", 2)]
        match = _IMAGE.fullmatch(package)
        if match and source.endswith("Packages"):
            suite = source.split()[1].split("/")[0]
            kernels.append(Kernel(package, version, match["flavour"], suite))
    return kernels


def newest(kernels: list[Kernel], request: str, flavour: str) -> Kernel | None:
    """Return the newest kernel that answers the request, or None."""
    matching = [k for k in kernels if k.flavour == flavour and _answers(k, request)]
    return max(matching, key=lambda k: version_key(k.version), default=None)


def _answers(kernel: Kernel, request: str) -> bool:
    return request == NEWEST or f"{kernel.upstream}.".startswith(f"{request}.")


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


def split_packages(record: str) -> list[tuple[str, str]]:
    """Return name and version of the packages that a package record needs for its image.

    Since 7.x linux-image is empty and needs linux-binary (the kernel) and linux-modules.
    """
    lines = [line for line in record.splitlines() if line.startswith("Depends:")]
    return _PART_OF_IMAGE.findall("\n".join(lines))
