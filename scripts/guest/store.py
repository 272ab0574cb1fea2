"""The kernels in the cache: found there without any network, or fetched into it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import apt, cache, kernels, requirements
from .errors import VmError

# The small flavour boots fastest, but it has no 9p.
FLAVOUR = {"virtiofs": "cloud-amd64", "9p": "amd64"}

# Since 7.x the kernel itself lies beside its modules; older packages use /lib on some suites.
_IMAGES = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
_MODULES = ("usr/lib/modules/*", "lib/modules/*")


@dataclass(frozen=True)
class Unpacked:
    """An unpacked kernel: its image and its /lib/modules/RELEASE."""

    image: Path
    modules: Path


def obtain(root: Path, request: str, share: str, refresh: bool) -> Unpacked:
    """Return the kernel that answers the request, from the cache or else from the archive.

    What was once chosen stays chosen until the caller asks for a refresh. Raises VmError.
    """
    link = root / "chosen" / f"{request}-{FLAVOUR[share]}"
    if refresh or not link.is_dir():
        with cache.locked(root):
            # Whoever held the lock before may have fetched it meanwhile.
            if refresh or not link.is_dir():
                cache.link(link, _fetch(root, request, FLAVOUR[share]), root)
    unpacked = link.resolve()
    return Unpacked(_first(unpacked, _IMAGES), _first(unpacked, _MODULES))


def offered(root: Path) -> list[str]:
    """Return a line for the newest kernel of each version, suite and flavour."""
    with cache.locked(root):
        archive = _archive(root)
        complaints = archive.update()
        offers = archive.offers()
    if not offers:
        raise VmError(f"the Debian archive offers no kernels:\n{complaints.strip()}")
    best: dict[tuple[str, str, str], kernels.Kernel] = {}
    for kernel in sorted(offers, key=lambda k: kernels.version_key(k.version)):
        series = ".".join(kernel.upstream.split(".")[:2])
        best[series, kernel.suite, kernel.flavour] = kernel
    return [_line(root, key[0], kernel) for key, kernel in _by_version(best.items())]


def _by_version(
    items: Iterable[tuple[tuple[str, str, str], kernels.Kernel]],
) -> list[tuple[tuple[str, str, str], kernels.Kernel]]:
    return sorted(items, key=lambda item: (kernels.version_key(item[1].version), item[0]))


def _line(root: Path, series: str, kernel: kernels.Kernel) -> str:
    cached = "  cached" if _place(root, kernel).is_dir() else ""
    return f"{series:6} {kernel.version:20} {kernel.suite:19} {kernel.release}{cached}"


def _fetch(root: Path, request: str, flavour: str) -> Path:
    archive = _archive(root)
    _say("reading the lists of the Debian archive")
    complaints = archive.update()
    kernel = kernels.newest(archive.offers(), request, flavour)
    if kernel is None:
        told = f":\n{complaints.strip()}" if complaints.strip() else "; see --list"
        raise VmError(f"the Debian archive offers no kernel {request} ({flavour}){told}")
    place = _place(root, kernel)
    if not place.is_dir():
        _say(f"fetching {kernel.package} {kernel.version} from {kernel.suite}")
        place.parent.mkdir(exist_ok=True)
        with cache.scratch(root) as part:
            archive.fetch(kernel, part)
            cache.publish(part, place)
    return place


def _archive(root: Path) -> apt.Archive:
    requirements.check(requirements.TO_FETCH)
    return apt.Archive(root / "apt")


def _place(root: Path, kernel: kernels.Kernel) -> Path:
    return root / "kernels" / f"{kernel.release}_{kernel.version}"


def _first(directory: Path, patterns: Iterable[str]) -> Path:
    for pattern in patterns:
        for path in sorted(directory.glob(pattern)):
            return path
    raise VmError(f"the cached kernel {directory} is not whole: remove it")


def _say(text: str) -> None:
    # CMD's error output must come back byte for byte: talk to people only.
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"scripts/vm: {text}", file=sys.stderr)
