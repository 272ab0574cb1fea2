"""Ask Debian's archive for kernels, bccs and runtimes, with an apt root below the cache.

The machine's apt configuration, lists and installed packages stay as they are; apt checks the
signatures against debian-archive-keyring.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from . import bccs, kernels, runtimes, versions
from .errors import VmError

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
        sources.write_text(source_list(*mirrors(_machine_sources())))
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

    def kernel_offers(self) -> list[kernels.Kernel]:
        """Return each kernel image that the lists offer."""
        names = self._run("apt-cache", "pkgnames", "linux-image-").stdout.split()
        images = sorted(filter(kernels.is_image, names))
        if not images:
            return []
        return kernels.parse_madison(self._run("apt-cache", "madison", *images).stdout)

    def bcc_offers(self) -> list[versions.Offer]:
        """Return every bcc that the lists offer."""
        return self._offers(bccs.LIBRARY)

    def runtime_offers(self) -> list[versions.Offer]:
        """Return every runc that the lists offer."""
        return self._offers(runtimes.NAMES[0])

    def _offers(self, package: str) -> list[versions.Offer]:
        return list(versions.parse_madison(self._run("apt-cache", "madison", package).stdout))

    def fetch_runtimes(self, suite: str, target: Path) -> None:
        """Download runc, crun and their libraries, and unpack them below target. Raises VmError."""
        names = (*runtimes.NAMES, *runtimes.LIBRARIES)
        self._fetch([f"{name}/{suite}" for name in names], target)

    def fetch_kernel(self, kernel: kernels.Kernel, target: Path) -> None:
        """Download a kernel's packages and unpack them below target. Raises VmError."""
        record = self._run("apt-cache", "show", f"{kernel.package}={kernel.version}").stdout
        parts = [(kernel.package, kernel.version), *kernels.split_packages(record)]
        self._fetch([f"{name}={version}" for name, version in parts], target)

    def fetch_bcc(self, bcc: versions.Offer, target: Path) -> None:
        """Download a bcc and every library that it needs, and unpack them below target.

        Raises VmError.
        """
        library = f"{bcc.package}={bcc.version}"
        # With an empty list of installed packages: everything down to the C library.
        plan = ("install", "--simulate", "--no-install-recommends", f"--target-release={bcc.suite}")
        done = self._run("apt-get", *plan, library)
        parts = bccs.planned(done.stdout)
        if done.returncode or not parts:
            raise VmError(f"apt cannot tell what {library} needs:\n{done.stderr.strip()}")
        names = [f"{name}={version}" for name, version in parts]
        self._fetch([*names, f"{bccs.BINDING}/{bcc.suite}"], target)
        if not {path.name for path in target.iterdir()} <= {"usr", "etc"}:
            raise VmError(f"{library} is older than Debian 13: it does not lie in /usr alone")

    def _fetch(self, names: list[str], target: Path) -> None:
        done = self._run("apt-get", "download", "-q", *names, cwd=target)
        packages = sorted(target.glob("*.deb"))
        if done.returncode or len(packages) != len(names):
            raise VmError(f"apt could not download {' '.join(names)}:\n{done.stderr.strip()}")
        for package in packages:
            unpacked = _call(["dpkg-deb", "-x", str(package), str(target)])
            if unpacked.returncode:
                raise VmError(f"cannot unpack {package.name}: {unpacked.stderr.strip()}")
            package.unlink()

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
