"""Two builds of pidscope, an earlier revision and this checkout, each installed on its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pidscope_dev import CHECKOUT

PRESENT = "this checkout"
_PIP_INSTALL = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")


class BuildError(Exception):
    """A build cannot be made; the message is one line."""


class Build(NamedTuple):
    """A build: its name, and the folder of the virtual environment that it is installed in."""

    name: str
    home: Path

    @property
    def python(self) -> str:
        """The interpreter that imports this build."""
        return os.fspath(self.home / "bin" / "python")

    def command(self, *arguments: str) -> list[str]:
        """The command line of this build's pidscope."""
        return [self.python, "-m", "pidscope", *arguments]


@contextlib.contextmanager
def earlier_and_present(revision: str, checkout: Path = CHECKOUT) -> Iterator[tuple[Build, Build]]:
    """Install a revision, and the checkout as it is with its uncommitted changes.

    Both get the newest dependencies that pip finds or has cached. Raises BuildError: there is no
    such revision, no git, or pip cannot install one of them.
    """
    commit = _commit_of(revision, checkout)
    with tempfile.TemporaryDirectory(prefix="pidscope-builds-") as folder:
        earlier, present = Path(folder, "earlier"), Path(folder, "present")
        _unpack(_run("git", "-C", checkout, "archive", commit), earlier / "source")
        _unpack(_packed(checkout), present / "source")
        yield _installed(earlier, f"{revision} ({commit[:12]})"), _installed(present, PRESENT)


def _commit_of(revision: str, checkout: Path) -> str:
    try:
        found = _run("git", "-C", checkout, "rev-parse", "--verify", f"{revision}^{{commit}}")
    except BuildError as error:
        raise BuildError(f"no revision {revision!r} in {checkout}: {error}") from error
    return found.decode().strip()


def _packed(checkout: Path) -> bytes:
    """A tar archive of the files that git knows, or would add."""
    listed = _run(
        *("git", "-C", checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    )
    there = [
        name
        for name in listed.split(b"\0")
        if name and os.path.lexists(checkout / os.fsdecode(name))
    ]
    return _run("tar", "-C", checkout, "-c", "--null", "-T", "-", given=b"\0".join(there))


def _unpack(archive: bytes, folder: Path) -> None:
    folder.mkdir(parents=True)
    _run("tar", "-x", "-C", folder, given=archive)


def _installed(folder: Path, name: str) -> Build:
    """By this interpreter's pip: putting another pip into each environment would take longer."""
    build = Build(name, folder / "venv")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    try:
        _run(sys.executable, "-m", "venv", "--without-pip", build.home)
        packages = _run(build.python, "-c", where).decode().strip()
        _run(*_PIP_INSTALL, "--target", packages, folder / "source")
    except BuildError as error:
        raise BuildError(f"{name} cannot be installed: {error}") from error
    return build


def _run(*command: str | os.PathLike[str], given: bytes = b"") -> bytes:
    """The standard output of a command; raises BuildError with its last words if it fails."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, check=False, env=environment()
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is needed and not installed") from error
    if done.returncode:
        raise BuildError(
            _reason(done.stderr.decode(errors="replace").splitlines(), done.returncode)
        )
    return done.stdout


def _reason(lines: Sequence[str], status: int) -> str:
    """The line that names the error, as pip marks it, else the last one."""
    words = [line.strip() for line in lines if line.strip()]
    errors = [line for line in words if line.lower().startswith(("error:", "fatal:"))]
    return next(iter(errors or words[-1:]), f"exit status {status}")


def environment() -> dict[str, str]:
    """The environment in which a build imports nothing but itself and what it depends on."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
