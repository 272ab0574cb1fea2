"""The kernels and bccs in the cache: found there without any network, or fetched into it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import apt, bccs, cache, kernels, requirements, runtimes, versions
from .errors import VmError

# The small flavour boots fastest, but it has no 9p.
FLAVOUR = {"virtiofs": "cloud-amd64", "9p": "amd64"}

# Since 7.x the kernel itself lies beside its modules; older packages use /lib on some suites.
_IMAGES = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
_OS_RELEASE = Path("/etc/os-release")
_MODULES = ("usr/lib/modules/*", "lib/modules/*")


@dataclass(frozen=True)
class Unpacked:
    """An unpacked kernel: its image and its /lib/modules/RELEASE."""

    image: Path
    modules: Path


def obtain_kernel(root: Path, request: str, share: str, refresh: bool) -> Unpacked:
    """Return the kernel that answers the request, from the cache or else from the archive.

    What was once chosen stays chosen until the caller asks for a refresh. Raises VmError.
    """
    flavour = FLAVOUR[share]
    name = f"{request}-{flavour}"
    unpacked = _chosen(root, name, refresh, lambda: _fetch_kernel(root, request, flavour))
    return Unpacked(_first(unpacked, _IMAGES), _first(unpacked, _MODULES))


def obtain_bcc(root: Path, request: str, refresh: bool) -> Path:
    """Return the bcc that answers the request, unpacked, as `obtain_kernel` does a kernel."""
    return _chosen(root, f"bcc-{request}", refresh, lambda: _fetch_bcc(root, request))


def obtain_runtimes(root: Path, refresh: bool) -> Path:
    """Return runc and crun of the machine's Debian, unpacked, as `obtain_kernel` does a kernel."""
    suite = runtimes.suite(_OS_RELEASE.read_text(), apt.SUITES)
    return _chosen(root, f"oci-{suite}", refresh, lambda: _fetch_runtimes(root, suite))


def offered(root: Path) -> list[str]:
    """Return a line for the newest kernel of each version, suite and flavour, and each bcc."""
    with cache.locked(root):
        archive = _archive(root)
        complaints = archive.update()
        kernel_lines = _kernel_lines(root, archive.kernel_offers())
        bcc_lines = _bcc_lines(root, archive.bcc_offers())
    if not kernel_lines:
        raise VmError(f"the Debian archive offers no kernels:\n{complaints.strip()}")
    return kernel_lines + bcc_lines


def _kernel_lines(root: Path, offers: list[kernels.Kernel]) -> list[str]:
    best: dict[tuple[str, str, str], kernels.Kernel] = {}
    for kernel in sorted(offers, key=lambda k: versions.version_key(k.version)):
        series = ".".join(kernel.version.split(".")[:2])
        best[series, kernel.suite, kernel.flavour] = kernel
    rising = sorted(best.items(), key=lambda b: (versions.version_key(b[1].version), b[0]))
    return [
        _line(series, kernel.version, suite, kernel.release, _kernel_place(root, kernel))
        for (series, suite, _flavour), kernel in rising
    ]


def _bcc_lines(root: Path, offers: list[versions.Offer]) -> list[str]:
    rising = sorted(offers, key=lambda offer: versions.version_key(offer.version))
    return [
        _line("bcc", version, suite, package, _bcc_place(root, offer))
        for offer in rising
        for package, version, suite in [offer]
    ]


def _line(series: str, version: str, suite: str, name: str, place: Path) -> str:
    cached = "  cached" if place.is_dir() else ""
    return f"{series:6} {version:20} {suite:19} {name}{cached}"


def _chosen(root: Path, name: str, refresh: bool, fetch: Callable[[], Path]) -> Path:
    link = root / "chosen" / name
    if refresh or not link.is_dir():
        with cache.locked(root):
            # Whoever held the lock before may have fetched it meanwhile.
            if refresh or not link.is_dir():
                cache.link(link, fetch(), root)
    return link.resolve()


def _fetch_kernel(root: Path, request: str, flavour: str) -> Path:
    archive = _archive(root)
    complaints = _update(archive)
    kernel = kernels.newest(archive.kernel_offers(), request, flavour)
    if kernel is None:
        raise _nothing(f"kernel {request} ({flavour})", complaints)
    fetch = functools.partial(archive.fetch_kernel, kernel)
    return _placed(root, _kernel_place(root, kernel), kernel.package, fetch)


def _fetch_bcc(root: Path, request: str) -> Path:
    archive = _archive(root)
    complaints = _update(archive)
    bcc = bccs.newest(archive.bcc_offers(), request)
    if bcc is None:
        raise _nothing(f"bcc {request}", complaints)
    fetch = functools.partial(archive.fetch_bcc, bcc)
    return _placed(root, _bcc_place(root, bcc), f"{bcc.package} {bcc.version}", fetch)


def _fetch_runtimes(root: Path, suite: str) -> Path:
    archive = _archive(root)
    complaints = _update(archive)
    runc = runtimes.newest(archive.runtime_offers(), suite)
    if runc is None:
        raise _nothing(f"runc in {suite}", complaints)
    place = root / "oci" / f"{runc.version}_{suite}"
    return _placed(root, place, "runc and crun", functools.partial(archive.fetch_runtimes, suite))


def _update(archive: apt.Archive) -> str:
    _say("reading the lists of the Debian archive")
    return archive.update().strip()


def _nothing(what: str, complaints: str) -> VmError:
    told = f":\n{complaints}" if complaints else "; see --list"
    return VmError(f"the Debian archive offers no {what}{told}")


def _placed(root: Path, place: Path, what: str, fetch: Callable[[Path], None]) -> Path:
    if not place.is_dir():
        _say(f"fetching {what}")
        place.parent.mkdir(exist_ok=True)
        with cache.scratch(root) as part:
            fetch(part)
            cache.publish(part, place)
    return place


def _archive(root: Path) -> apt.Archive:
    requirements.check(requirements.TO_FETCH)
    return apt.Archive(root / "apt")


def _kernel_place(root: Path, kernel: kernels.Kernel) -> Path:
    return root / "kernels" / f"{kernel.release}_{kernel.version}"


def _bcc_place(root: Path, bcc: versions.Offer) -> Path:
    return root / "bccs" / f"{bcc.version}_{bcc.suite}"


def _first(directory: Path, patterns: Iterable[str]) -> Path:
    for pattern in patterns:
        for path in sorted(directory.glob(pattern)):
            return path
    raise VmError(f"the cached kernel {directory} is not whole: remove it")


def _say(text: str) -> None:
    # CMD's error output must come back byte for byte: talk to people only.
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"scripts/vm: {text}", file=sys.stderr)
