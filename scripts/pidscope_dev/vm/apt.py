"""Ask Debian's archive for kernels, bccs and runtimes, with an apt root below the cache.

The machine's apt configuration, lists and installed packages stay as they are; apt checks the
signatures against debian-archive-keyring.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import packages
from .errors import VmError
from .packages import Offer

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
SUITES = (
    "bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "forky", "sid",
)  # fmt: skip
SECURITY_SUITES = ("bullseye-security", "bookworm-security", "trixie-security")

_URI = re.compile(r"https?://[^\s\]]+")


def mirrors(sources: str) -> tuple[str, str]:
    """Return the mirrors of Debian and its security archive that the machine's sources name."""
    lines = [line for line in sources.splitlines() if not line.lstrip().startswith("#")]
    uris = [uri.rstrip("/") for uri in _URI.findall("\n".join(lines))]
    main = next((uri for uri in uris if uri.endswith("/debian")), MIRROR)
    security = next((uri for uri in uris if uri.endswith("/debian-security")), SECURITY_MIRROR)
    return main, security


def source_list(main: str, security: str) -> str:
    """Return a sources.list with every suite that has something for us."""
    line = f"deb [arch=amd64 signed-by={KEYRING}] {{}} {{}} main\n"
    return "".join(
        [line.format(main, suite) for suite in SUITES]
        + [line.format(security, suite) for suite in SECURITY_SUITES]
    )


class Archive:
    """Debian's archive, read through an apt root below the cache directory."""

    def __init__(self, root: Path) -> None:
        """Prepare the root; no network yet."""
        for part in ("lists/partial", "cache/archives/partial"):
            (root / part).mkdir(parents=True, exist_ok=True)
        sources = root / "sources.list"
        self.mirror, security = mirrors(_machine_sources())
        sources.write_text(source_list(self.mirror, security))
        options = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State::Lists": root / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": root / "cache",
            "APT::Architecture": "amd64",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
        }
        self._options = [f"-o{name}={value}" for name, value in options.items()]

    def update(self) -> str:
        """Fetch the lists and return what apt complained about.

        One suite that is gone or out of reach must not hide the others, so this never fails: no
        kernel found is the failure.
        """
        return self._run("apt-get", "update", "-q").stderr

    def kernel_offers(self) -> list[Offer]:
        """Return each kernel image that the lists offer."""
        names = self._run("apt-cache", "pkgnames", "linux-image-").stdout.split()
        images = sorted(filter(packages.flavour_of, names))
        return self.offers(*images) if images else []

    def offers(self, *names: str) -> list[Offer]:
        """Return every version of these packages that the lists offer."""
        return list(packages.parse_madison(self._run("apt-cache", "madison", *names).stdout))

    def fetch_runtimes(self, runc: Offer, target: Path) -> None:
        """Download runc, crun and their libraries, and unpack them below target. Raises VmError."""
        names = (*packages.RUNTIMES, *packages.RUNTIME_LIBRARIES)
        self._fetch([f"{name}/{runc.suite}" for name in names], target)

    def fetch_one(self, offer: Offer, target: Path) -> None:
        """Download a package without what it needs, and unpack it below target. Raises VmError."""
        self._fetch([f"{offer.package}={offer.version}"], target)

    def fetch_whole(self, suite: str, names: Sequence[str], target: Path) -> None:
        """Download packages of a suite with all that they need, and unpack them below target.

        Raises VmError.
        """
        self._fetch([f"{name}={version}" for name, version in self._needed(suite, names)], target)

    def _needed(self, suite: str, names: Sequence[str]) -> list[tuple[str, str]]:
        # With an empty list of installed packages: everything down to the C library.
        plan = ("install", "--simulate", "--no-install-recommends", f"--target-release={suite}")
        done = self._run("apt-get", *plan, *names)
        parts = packages.planned(done.stdout)
        if done.returncode or not parts:
            raise VmError(f"apt cannot tell what {' '.join(names)} needs:\n{done.stderr.strip()}")
        return parts

    def fetch_kernel(self, kernel: Offer, target: Path) -> None:
        """Download a kernel's packages and unpack them below target. Raises VmError."""
        record = self._run("apt-cache", "show", f"{kernel.package}={kernel.version}").stdout
        parts = [(kernel.package, kernel.version), *packages.parts_of_image(record)]
        self._fetch([f"{name}={version}" for name, version in parts], target)

    def fetch_bcc(self, bcc: Offer, target: Path) -> None:
        """Download a bcc and every library that it needs, and unpack them below target.

        Raises VmError.
        """
        library = f"{bcc.package}={bcc.version}"
        parts = self._needed(bcc.suite, [library])
        names = [f"{name}={version}" for name, version in parts]
        self._fetch([*names, f"{packages.BCC_BINDING}/{bcc.suite}"], target)
        if not {path.name for path in target.iterdir()} <= {"usr", "etc"}:
            raise VmError(f"{library} is older than Debian 13: it does not lie in /usr alone")

    def _fetch(self, names: list[str], target: Path) -> None:
        done = self._run("apt-get", "download", "-q", *names, cwd=target)
        files = sorted(target.glob("*.deb"))
        if done.returncode or len(files) != len(names):
            raise VmError(f"apt could not download {' '.join(names)}:\n{done.stderr.strip()}")
        for file in files:
            unpacked = _call(["dpkg-deb", "-x", str(file), str(target)])
            if unpacked.returncode:
                raise VmError(f"cannot unpack {file.name}: {unpacked.stderr.strip()}")
            file.unlink()

    def _run(
        self, program: str, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return _call([program, *self._options, *arguments], cwd)


def _call(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            text=True,
            check=False,
        )
    except OSError as error:
        raise VmError(f"cannot run {command[0]}: {error.strerror}") from error


def _machine_sources() -> str:
    etc = Path("/etc/apt")
    files = [
        etc / "sources.list",
        *sorted(etc.glob("sources.list.d/*.list")),
        *sorted(etc.glob("sources.list.d/*.sources")),
    ]
    return "\n".join(path.read_text(errors="replace") for path in files if path.is_file())
