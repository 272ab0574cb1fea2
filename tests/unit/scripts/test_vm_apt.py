"""What is fetched from Debian's archive, from which mirrors, and what is kept of it."""

import subprocess
from pathlib import Path

import pytest
from pidscope_dev.vm import apt, store
from pidscope_dev.vm.errors import VmError

from .test_vm_packages import BCCS, OS_RELEASE, PLANNED, RUNCS


def test_the_machines_own_mirrors_are_used():
    sources = (
        "Types: deb\n# http://snapshot.example.org/debian\n"
        "URIs: https://mirror.example.org/pub/debian/\nSuites: bookworm\n"
        "deb [arch=amd64] http://mirror.example.org/debian-security bookworm-security main\n"
        "deb https://packages.example.com/apt other main\n"
    )
    assert apt.mirrors(sources) == (
        "https://mirror.example.org/pub/debian",
        "http://mirror.example.org/debian-security",
    )


def test_without_any_the_standard_mirrors_are_used():
    assert apt.mirrors("deb https://packages.example.com/apt other main\n") == (
        apt.MIRROR,
        apt.SECURITY_MIRROR,
    )


def test_every_source_is_checked_against_debians_keys():
    lines = apt.source_list("http://a/debian", "http://b/debian-security").splitlines()
    assert len(lines) == len(apt.SUITES) + len(apt.SECURITY_SUITES)
    assert all(f"signed-by={apt.KEYRING}]" in line for line in lines)
    assert not any("trusted" in line for line in lines)


class Apt:
    """In the place of apt and dpkg: plans, downloads and unpacks empty packages, or fails to."""

    def __init__(self, fails="", leaves="", unpacks=""):
        self.fails = fails
        self.leaves = leaves
        self.unpacks = unpacks
        self.asked = []

    def __call__(self, command, cwd=None):
        words = [word for word in command if not word.startswith("-o")]
        self.asked.append(words)
        if self.fails in words:
            return subprocess.CompletedProcess(command, 100, "", "E: it failed\n")
        if "download" in words:
            for name in words[3:]:
                if name != self.leaves:
                    (cwd / f"{name.replace('/', '_')}.deb").touch()
        elif "dpkg-deb" in words and self.unpacks:
            (Path(words[-1]) / self.unpacks).mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0, PLANNED, "")


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """Makes a real archive fetch a package by a fake apt; where to."""

    def fetch(fake, method, offer):
        monkeypatch.setattr(apt, "_call", fake)
        target = tmp_path / "target"
        target.mkdir()
        method(apt.Archive(tmp_path / "apt"), offer, target)
        return target

    return fetch


def test_every_library_of_a_bcc_comes_from_its_suite_and_the_binding_too(fetched):
    fake = Apt()
    target = fetched(fake, apt.Archive.fetch_bcc, BCCS[1])
    plan, download, *unpack = fake.asked
    assert "--simulate" in plan
    assert plan[-2:] == ["--target-release=sid", "libbpfcc=0.37.0+ds-8"]
    assert download[3:] == [
        "libc6=2.43-7",
        "zlib1g=1:1.3.dfsg+really1.3.2-4",
        "libbpfcc=0.37.0+ds-8",
        "python3-bpfcc/sid",
    ]
    assert [words[:2] for words in unpack] == [["dpkg-deb", "-x"]] * 4
    assert list(target.iterdir()) == []  # no package stays


def test_runtimes_and_libraries_come_from_one_suite(fetched):
    fake = Apt()
    fetched(fake, apt.Archive.fetch_runtimes, RUNCS[0])
    download, *unpack = fake.asked
    names = ["runc/bookworm", "crun/bookworm", "libseccomp2/bookworm", "libyajl2/bookworm"]
    assert download[-4:] == names
    assert [words[0] for words in unpack] == ["dpkg-deb"] * 4


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (Apt(fails="install"), "cannot tell what libbpfcc=0.37.0"),
        (Apt(fails="download"), "could not download"),
        (Apt(leaves="libc6=2.43-7"), "could not download"),
        (Apt(fails="dpkg-deb"), "cannot unpack"),
        (Apt(unpacks="lib"), "older than Debian 13"),  # outside /usr
    ],
)
def test_what_apt_cannot_do_is_named(fetched, fake, reason):
    with pytest.raises(VmError, match=reason):
        fetched(fake, apt.Archive.fetch_bcc, BCCS[1])


class Archive:
    """In the place of apt.Archive: has these offers, notes what is fetched, and has no network."""

    def __init__(self, offers):
        self._offers = offers
        self.fetched = []

    def update(self):
        return "W: no network\n"

    def offers(self, name):
        return [offer for offer in self._offers if offer.package == name]

    def fetch(self, offer, target):
        self.fetched.append(offer.version)
        (target / "usr").mkdir()

    fetch_bcc = fetch_runtimes = fetch


@pytest.fixture
def archived(monkeypatch, tmp_path):
    """Lets the store find an archive with these offers, on a machine of Debian 12."""
    release = tmp_path / "os-release"
    release.write_text(OS_RELEASE)
    monkeypatch.setattr(store, "_OS_RELEASE", release)

    def use(offers):
        archive = Archive(offers)
        monkeypatch.setattr(store, "_archive", lambda _root: archive)
        return archive

    return use


def test_the_chosen_bcc_is_fetched_once_and_kept(archived, tmp_path):
    first = archived(BCCS[:1])
    layer = store.obtain_bcc(tmp_path, "newest", refresh=False)
    assert layer == tmp_path / "bccs" / "0.35.0+ds-1.1+b1_forky"
    assert (layer / "usr").is_dir()
    more = archived(BCCS)
    assert store.obtain_bcc(tmp_path, "newest", refresh=False) == layer
    newer = store.obtain_bcc(tmp_path, "newest", refresh=True)
    assert newer.name == "0.37.0+ds-8_sid"
    assert store.obtain_bcc(tmp_path, "newest", refresh=False) == newer
    assert (first.fetched, more.fetched) == (["0.35.0+ds-1.1+b1"], ["0.37.0+ds-8"])


def test_runtimes_are_kept_by_version_and_suite(archived, tmp_path):
    archived(RUNCS)
    place = store.obtain_runtimes(tmp_path, refresh=False)
    assert place == tmp_path / "oci" / "1.1.5+ds1-1+deb12u1_bookworm"
    assert (place / "usr").is_dir()
    archived([])
    assert store.obtain_runtimes(tmp_path, refresh=False) == place
    with pytest.raises(VmError, match=r"(?s)offers no runc in bookworm:.*no network"):
        store.obtain_runtimes(tmp_path, refresh=True)


def test_without_an_offer_the_error_has_what_apt_printed(archived, tmp_path):
    archived([])
    with pytest.raises(VmError, match=r"(?s)offers no bcc newest:.*no network"):
        store.obtain_bcc(tmp_path, "newest", refresh=False)
