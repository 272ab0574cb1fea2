"""Choose a kernel package among those that apt offers (text in, names out)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import versions

# Three numbers: linux-image-6.12-amd64 is a meta package. No further words: -rt-, -unsigned, -dbg.
_IMAGE = re.compile(
    r"linux-image-(?P<release>\d+\.\d+\.\d+[+.~\w]*(?:-\d[.\w]*)?-(?P<flavour>cloud-amd64|amd64))"
)
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
        """What ``uname -r`` prints in it."""
        return self.package[len("linux-image-") :]


def is_image(package: str) -> bool:
    """Say whether a package is a kernel image that can be booted here."""
    return _IMAGE.fullmatch(package) is not None


def parse_madison(text: str) -> list[Kernel]:
    """Read the kernels in the output of ``apt-cache madison``."""
    kernels = []
    for package, version, suite in versions.parse_madison(text):
        match = _IMAGE.fullmatch(package)
        if match:
            kernels.append(Kernel(package, version, match["flavour"], suite))
    return kernels


def newest(kernels: list[Kernel], request: str, flavour: str) -> Kernel | None:
    """Return the newest kernel that answers the request, or None."""
    matching = [k for k in kernels if k.flavour == flavour and versions.answers(k.version, request)]
    return max(matching, key=lambda k: versions.version_key(k.version), default=None)


def split_packages(record: str) -> list[tuple[str, str]]:
    """Return name and version of the packages that a package record needs for its image.

    Since 7.x linux-image is empty and needs linux-binary (the kernel) and linux-modules.
    """
    lines = [line for line in record.splitlines() if line.startswith("Depends:")]
    return _PART_OF_IMAGE.findall("\n".join(lines))
