from __future__ import annotations

import subprocess

import pytest
from pidscope_dev.vm import apt, runtimes, store
from pidscope_dev.vm.errors import VmError
from pidscope_dev.vm.versions import Offer

OFFERS = [
    Offer("runc", "1.1.5+ds1-1+deb12u1", "bookworm"),
    Offer("runc", "1.1.15+ds1-2+b4", "trixie"),
    Offer("runc", "1.1.5+ds1-1+b1", "bookworm"),
]
OS_RELEASE = 'PRETTY_NAME="Debian"\nVERSION_CODENAME=bookworm\nID=debian\n'


@pytest.mark.parametrize("text", [OS_RELEASE, OS_RELEASE.replace("bookworm", '"bookworm"')])
def test_the_suite_is_the_machines(text):
    assert runtimes.suite(text, apt.SUITES) == "bookworm"


@pytest.mark.parametrize("text", ["", "VERSION_CODENAME=jammy\n", "X_VERSION_CODENAME=bookworm\n"])
def test_another_system_is_told_so(text):
    with pytest.raises(VmError, match="machine's Debian"):
        runtimes.suite(text, apt.SUITES)


def test_the_newest_of_one_suite():
    assert runtimes.newest(OFFERS, "bookworm") == OFFERS[0]
    assert runtimes.newest(OFFERS, "sid") is None


def test_runtimes_and_libraries_come_from_one_suite(monkeypatch, tmp_path):
    asked = []

    def call(command, cwd=None):
        asked.append(command)
        if "download" in command:
            for name in command[-4:]:
                (cwd / f"{name.replace('/', '_')}.deb").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(apt, "_call", call)
    target = tmp_path / "target"
    target.mkdir()
    apt.Archive(tmp_path / "apt").fetch_runtimes("bookworm", target)
    names = ["runc/bookworm", "crun/bookworm", "libseccomp2/bookworm", "libyajl2/bookworm"]
    assert asked[0][-4:] == names
    assert [words[0] for words in asked[1:]] == ["dpkg-deb"] * 4


class Archive:
    """In the place of apt.Archive."""

    def __init__(self, offers):
        self.offers = offers

    def update(self):
        return "W: no network\n"

    def runtime_offers(self):
        return self.offers

    def fetch_runtimes(self, suite, target):
        (target / suite).mkdir()


def test_they_are_kept_by_version_and_suite(monkeypatch, tmp_path):
    release = tmp_path / "os-release"
    release.write_text(OS_RELEASE)
    monkeypatch.setattr(store, "_OS_RELEASE", release)
    monkeypatch.setattr(store, "_archive", lambda _root: Archive(OFFERS))
    place = store.obtain_runtimes(tmp_path, refresh=False)
    assert place == tmp_path / "oci" / "1.1.5+ds1-1+deb12u1_bookworm"
    assert (place / "bookworm").is_dir()
    monkeypatch.setattr(store, "_archive", lambda _root: Archive([]))
    assert store.obtain_runtimes(tmp_path, refresh=False) == place
    with pytest.raises(VmError, match=r"(?s)offers no runc in bookworm:.*no network"):
        store.obtain_runtimes(tmp_path, refresh=True)
