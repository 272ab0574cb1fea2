"""Which bcc answers a request, what comes with it, and that it is unpacked and no more."""

import subprocess

import pytest
from pidscope_dev.vm import apt, bccs, store, versions
from pidscope_dev.vm.errors import VmError

OFFERS = [
    versions.Offer("libbpfcc", "0.35.0+ds-1.1+b1", "forky"),
    versions.Offer("libbpfcc", "0.37.0+ds-8", "sid"),
    versions.Offer("libbpfcc", "0.26.0+ds-1", "bookworm"),
]
PLANNED = """\
The following additional packages will be installed:
  libc6 zlib1g
Inst libc6 (2.43-7 Debian:testing, Debian:unstable [amd64]) []
Inst zlib1g (1:1.3.dfsg+really1.3.2-4 Debian:unstable [amd64])
Inst libbpfcc (0.37.0+ds-8 Debian:unstable [amd64])
Conf libc6 (2.43-7 Debian:testing, Debian:unstable [amd64])
"""


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        ("newest", OFFERS[1]),
        ("0.35", OFFERS[0]),
        ("0.26.0", OFFERS[2]),
        ("0.3", None),  # no match
    ],
)
def test_the_newest_that_matches_is_chosen(request_, chosen):
    assert bccs.newest(OFFERS, request_) == chosen


def test_what_it_needs_is_what_apt_would_install():
    assert bccs.planned(PLANNED) == [
        ("libc6", "2.43-7"),
        ("zlib1g", "1:1.3.dfsg+really1.3.2-4"),
        ("libbpfcc", "0.37.0+ds-8"),
    ]


class Apt:
    """In the place of apt and dpkg: plans, downloads and unpacks empty packages, or fails to."""

    def __init__(self, fails="", leaves=""):
        self.fails = fails
        self.leaves = leaves
        self.asked = []

    def __call__(self, command, cwd=None):
        words = [word for word in command if not word.startswith("-o")]
        self.asked.append(words)
        if self.fails and self.fails in words:
            return subprocess.CompletedProcess(command, 100, "", "E: it failed\n")
        if "download" in words:
            for name in words[3:]:
                if not self.leaves or not name.startswith(self.leaves):
                    (cwd / f"{name.replace('/', '_')}.deb").touch()
        return subprocess.CompletedProcess(command, 0, PLANNED, "")


def fetched(monkeypatch, tmp_path, fake):
    monkeypatch.setattr(apt, "_call", fake)
    target = tmp_path / "target"
    target.mkdir()
    apt.Archive(tmp_path / "apt").fetch_bcc(OFFERS[1], target)
    return target


def test_every_library_comes_from_its_suite_and_the_binding_too(monkeypatch, tmp_path):
    fake = Apt()
    target = fetched(monkeypatch, tmp_path, fake)
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


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (Apt(fails="install"), "cannot tell what libbpfcc=0.37.0"),
        (Apt(fails="download"), "could not download"),
        (Apt(leaves="libc6"), "could not download"),
        (Apt(fails="dpkg-deb"), "cannot unpack"),
    ],
)
def test_what_apt_cannot_do_is_named(monkeypatch, tmp_path, fake, reason):
    with pytest.raises(VmError, match=reason):
        fetched(monkeypatch, tmp_path, fake)


def test_one_that_lies_outside_usr_is_refused(monkeypatch, tmp_path):
    def older(command, cwd=None):
        if "dpkg-deb" in command:
            (tmp_path / "target" / "lib").mkdir(exist_ok=True)
        return fake(command, cwd)

    fake = Apt()
    with pytest.raises(VmError, match="older than Debian 13"):
        fetched(monkeypatch, tmp_path, older)


class Archive:
    """In the place of apt.Archive: offers two bccs, counts, and may lack the network."""

    def __init__(self, offers):
        self.offers = offers
        self.fetched = []

    def update(self):
        return "W: no network\n"

    def bcc_offers(self):
        return self.offers

    def fetch_bcc(self, bcc, target):
        self.fetched.append(bcc.version)
        (target / "usr").mkdir()


def test_the_chosen_one_is_fetched_once_and_kept(monkeypatch, tmp_path):
    archive = Archive(OFFERS[:1])
    monkeypatch.setattr(store, "_archive", lambda _root: archive)
    layer = store.obtain_bcc(tmp_path, "newest", refresh=False)
    assert layer == tmp_path / "bccs" / "0.35.0+ds-1.1+b1_forky"
    assert (layer / "usr").is_dir()
    archive.offers = OFFERS
    assert store.obtain_bcc(tmp_path, "newest", refresh=False) == layer
    assert archive.fetched == ["0.35.0+ds-1.1+b1"]
    newer = store.obtain_bcc(tmp_path, "newest", refresh=True)
    assert newer.name == "0.37.0+ds-8_sid"
    assert store.obtain_bcc(tmp_path, "newest", refresh=False) == newer
    assert archive.fetched == ["0.35.0+ds-1.1+b1", "0.37.0+ds-8"]


def test_without_an_offer_the_error_has_what_apt_printed(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "_archive", lambda _root: Archive([]))
    with pytest.raises(VmError, match=r"(?s)offers no bcc newest:.*no network"):
        store.obtain_bcc(tmp_path, "newest", refresh=False)
