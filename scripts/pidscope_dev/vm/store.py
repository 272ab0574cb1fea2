"""The kernels and bccs in the cache: found there without any network, or fetched into it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import NamedTuple

from . import apt, cache, engines, packages, requirements, systemd
from .errors import VmError
from .packages import Offer, newest, version_key

# The small flavour boots fastest, but it has no 9p.
FLAVOUR = {"virtiofs": "cloud-amd64", "9p": "amd64"}

# Since 7.x the kernel itself lies beside its modules; older packages use /lib on some suites.
_IMAGES = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
_OS_RELEASE = Path("/etc/os-release")
_MODULES = ("usr/lib/modules/*", "lib/modules/*")


class Unpacked(NamedTuple):
    """An unpacked kernel: its image and its /lib/modules/RELEASE."""

    image: Path
    modules: Path


class _Wanted(NamedTuple):
    """What to get from the archive, and how."""

    what: str
    newest: Callable[[apt.Archive], Offer | None]
    place: Callable[[Path, Offer], Path]
    fetch: Callable[[apt.Archive, Offer, Path], None]


def obtain_kernel(root: Path, request: str, share: str, refresh: bool) -> Unpacked:
    """Return the kernel that answers the request, from the cache or else from the archive.

    What was once chosen stays chosen until the caller asks for a refresh. Raises VmError.
    """
    flavour = FLAVOUR[share]
    wanted = _Wanted(
        f"kernel {request} ({flavour})",
        newest=lambda archive: newest(archive.kernel_offers(), request, flavour=flavour),
        place=_kernel_place,
        fetch=lambda archive, kernel, target: archive.fetch_kernel(kernel, target),
    )
    unpacked = _chosen(root, f"{request}-{flavour}", refresh, wanted)
    return Unpacked(_first(unpacked, _IMAGES), _first(unpacked, _MODULES))


def obtain_bcc(root: Path, request: str, refresh: bool) -> Path:
    """Return the bcc that answers the request, unpacked, as `obtain_kernel` does a kernel."""
    wanted = _Wanted(
        f"bcc {request}",
        newest=lambda archive: newest(archive.offers(packages.BCC), request),
        place=_bcc_place,
        fetch=lambda archive, bcc, target: archive.fetch_bcc(bcc, target),
    )
    return _chosen(root, f"bcc-{request}", refresh, wanted)


def obtain_runtimes(root: Path, refresh: bool) -> Path:
    """Return runc and crun of the machine's Debian, unpacked, as `obtain_kernel` does a kernel."""
    suite = packages.suite_of(_OS_RELEASE.read_text(), apt.SUITES)
    wanted = _Wanted(
        f"runc in {suite}",
        newest=lambda archive: newest(archive.offers(packages.RUNTIMES[0]), suite=suite),
        place=lambda root, runc: root / "oci" / f"{runc.version}_{suite}",
        fetch=lambda archive, runc, target: archive.fetch_runtimes(runc, target),
    )
    return _chosen(root, f"oci-{suite}", refresh, wanted)


def obtain_engines(root: Path, refresh: bool) -> Path:
    """Return the container engines of the machine's Debian, unpacked, as `obtain_kernel` does."""
    suite = packages.suite_of(_OS_RELEASE.read_text(), apt.SUITES)
    wanted = _Wanted(
        f"{engines.NAMES[0]} in {suite}",
        newest=lambda archive: newest(archive.offers(engines.NAMES[0]), suite=suite),
        place=lambda root, docker: root / "engines" / f"{docker.version}_{suite}_{engines.KIND}",
        fetch=lambda archive, _docker, target: engines.fetch(archive, suite, target),
    )
    return _chosen(root, f"engines-{suite}-{engines.KIND}", refresh, wanted)


def obtain_suite(root: Path, suite: str, refresh: bool) -> Path:
    """Return the root directory of a Debian suite with systemd, as `obtain_kernel` does.

    It is the suite's of the day when it was made; debootstrap is the machine's release's.
    """
    own = packages.suite_of(_OS_RELEASE.read_text(), apt.SUITES)
    wanted = _Wanted(
        f"debootstrap in {own}",
        newest=lambda archive: newest(archive.offers(systemd.PACKAGE), suite=own),
        place=lambda root, _offer: root / "suites" / f"{suite}_{date.today():%Y%m%d}",
        fetch=lambda archive, offer, target: systemd.fetch(archive, offer, suite, target),
    )
    return _chosen(root, f"suite-{suite}", refresh, wanted)


def offered(root: Path) -> list[str]:
    """Return a line for the newest kernel of each version, suite and flavour, and each bcc."""
    with cache.locked(root):
        archive = _archive(root)
        complaints = archive.update()
        kernel_lines = _kernel_lines(root, archive.kernel_offers())
        bcc_lines = _bcc_lines(root, archive.offers(packages.BCC))
    if not kernel_lines:
        raise VmError(f"the Debian archive offers no kernels:\n{complaints.strip()}")
    return kernel_lines + bcc_lines


def _kernel_lines(root: Path, offers: list[Offer]) -> list[str]:
    best: dict[tuple[str, str, str], Offer] = {}
    for kernel in sorted(offers, key=lambda k: version_key(k.version)):
        series = ".".join(kernel.version.split(".")[:2])
        best[series, kernel.suite, packages.flavour_of(kernel.package)] = kernel
    rising = sorted(best.items(), key=lambda b: (version_key(b[1].version), b[0]))
    return [
        _line(series, kernel.version, suite, kernel.release, _kernel_place(root, kernel))
        for (series, suite, _flavour), kernel in rising
    ]


def _bcc_lines(root: Path, offers: list[Offer]) -> list[str]:
    rising = sorted(offers, key=lambda offer: version_key(offer.version))
    return [
        _line("bcc", version, suite, package, _bcc_place(root, offer))
        for offer in rising
        for package, version, suite in [offer]
    ]


def _line(series: str, version: str, suite: str, name: str, place: Path) -> str:
    cached = "  cached" if place.is_dir() else ""
    return f"{series:6} {version:20} {suite:19} {name}{cached}"


def _chosen(root: Path, name: str, refresh: bool, wanted: _Wanted) -> Path:
    link = root / "chosen" / name
    if refresh or not link.is_dir():
        with cache.locked(root):
            # Another run may have fetched it while it held the lock.
            if refresh or not link.is_dir():
                cache.link(link, _fetched(root, wanted), root)
    return link.resolve()


def _fetched(root: Path, wanted: _Wanted) -> Path:
    archive = _archive(root)
    _report("reading the lists of the Debian archive")
    complaints = archive.update().strip()
    found = wanted.newest(archive)
    if found is None:
        why = f":\n{complaints}" if complaints else "; see --list"
        raise VmError(f"the Debian archive offers no {wanted.what}{why}")
    place = wanted.place(root, found)
    if not place.is_dir():
        _report(f"fetching {found.package} {found.version}")
        place.parent.mkdir(exist_ok=True)
        with cache.scratch(root) as part:
            wanted.fetch(archive, found, part)
            cache.publish(part, place)
    return place


def _archive(root: Path) -> apt.Archive:
    requirements.check(requirements.TO_FETCH)
    return apt.Archive(root / "apt")


def _kernel_place(root: Path, kernel: Offer) -> Path:
    return root / "kernels" / f"{kernel.release}_{kernel.version}"


def _bcc_place(root: Path, bcc: Offer) -> Path:
    return root / "bccs" / f"{bcc.version}_{bcc.suite}"


def _first(directory: Path, patterns: Iterable[str]) -> Path:
    for pattern in patterns:
        for path in sorted(directory.glob(pattern)):
            return path
    raise VmError(f"the cached kernel {directory} is not whole: remove it")


def _report(text: str) -> None:
    # CMD's error output must come back byte for byte, so this is for a terminal only.
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"scripts/vm: {text}", file=sys.stderr)
