"""The root of a Debian suite that a guest gets with scripts/vm --systemd."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pidscope_dev.vm import apt, main, store, systemd
from pidscope_dev.vm.errors import UsageError, VmError
from pidscope_dev.vm.packages import Offer

OFFER = Offer("debootstrap", "1.0.128", "bookworm")


class Archive:
    """An archive of one package, which is a program."""

    mirror = "http://mirror.example.org/debian"

    def update(self) -> str:
        return ""

    def offers(self, name: str) -> list[Offer]:
        return [OFFER] if name == OFFER.package else []

    def fetch_one(self, offer: Offer, target: Path) -> None:
        assert offer == OFFER
        (target / "usr").mkdir()


class Debootstrap:
    """In the place of debootstrap: notes how it is called, and makes a directory."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.command: list[str] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.command = command
        self.environment = options["env"]
        (Path(command[-2]) / "usr/share/doc").mkdir(parents=True)
        return subprocess.CompletedProcess(command, self.status, "I: one\nE: no keys\n", "")


@pytest.fixture
def debootstrap(monkeypatch: pytest.MonkeyPatch) -> Debootstrap:
    made = Debootstrap()
    monkeypatch.setattr(systemd.os, "geteuid", lambda: 0)
    monkeypatch.setattr(systemd.subprocess, "run", made)
    return made


def fetch(target: Path) -> None:
    systemd.fetch(Archive(), OFFER, "trixie", target)  # type: ignore[arg-type]


def test_a_suites_root_is_made_by_debootstrap(debootstrap: Debootstrap, tmp_path: Path) -> None:
    fetch(tmp_path)
    assert debootstrap.command[-3:] == ["trixie", str(tmp_path), Archive.mirror]
    assert f"--keyring={apt.KEYRING}" in debootstrap.command
    assert debootstrap.environment["DEBOOTSTRAP_DIR"].startswith(str(tmp_path))
    # Its mounts end with it, whatever happens: the directory may be removed.
    assert debootstrap.command[:3] == ["unshare", "--mount", "--propagation=private"]


def test_neither_the_tool_nor_documentation_is_kept(
    debootstrap: Debootstrap, tmp_path: Path
) -> None:
    fetch(tmp_path)
    assert {str(it.relative_to(tmp_path)) for it in tmp_path.rglob("*")} == {"usr", "usr/share"}


def test_a_failure_has_its_last_lines(debootstrap: Debootstrap, tmp_path: Path) -> None:
    debootstrap.status = 1
    with pytest.raises(VmError, match="could not make trixie:\nI: one\nE: no keys"):
        fetch(tmp_path)


def test_only_root_can_make_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(systemd.os, "geteuid", lambda: 1000)
    with pytest.raises(VmError, match="only root can make a root directory of trixie"):
        fetch(tmp_path)


def test_a_suite_is_kept_by_its_day(
    debootstrap: Debootstrap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setattr(store, "_OS_RELEASE", release)
    monkeypatch.setattr(store, "_archive", lambda _root: Archive())
    place = store.obtain_suite(tmp_path, "trixie", False)
    assert place == tmp_path / "suites" / f"trixie_{date.today():%Y%m%d}"
    debootstrap.command = []
    assert store.obtain_suite(tmp_path, "trixie", False) == place
    assert debootstrap.command == []


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/a/b", "/a", "/c"], ["/a", "/c"]),
        (["/a", "/ab", "/a"], ["/a", "/ab"]),
        (["/", "/a"], ["/"]),
    ],
)
def test_a_directory_in_another_comes_with_it(paths: list[str], expected: list[str]) -> None:
    assert systemd.outermost(paths) == expected


def test_nothing_of_the_machine_goes_with_a_suite() -> None:
    with pytest.raises(UsageError, match="--systemd has nothing of this machine"):
        main.parse(["--systemd", "trixie", "--oci", "--", "true"])


def test_the_scripts_of_process_1_are_shell() -> None:
    for script in (systemd.INIT, main.engines.INIT):
        subprocess.run(["/bin/sh", "-n", str(script)], check=True)
