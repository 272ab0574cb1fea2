"""Debian's packages: the order of versions, which one answers a request, what comes with it."""

import itertools

import pytest
from pidscope_dev.vm import apt, packages
from pidscope_dev.vm.errors import UsageError, VmError
from pidscope_dev.vm.packages import Offer

D = "http://deb.debian.org/debian"
MADISON = f"""\
linux-image-6.1.0-50-cloud-amd64 | 6.1.176-1 | {D} bookworm/main amd64 Packages
linux-image-6.1.0-56-cloud-amd64 |  6.1.192-2 | {D}-security bookworm-security/main amd64 Packages
linux-image-6.1.0-56-amd64 |  6.1.192-2 | {D}-security bookworm-security/main amd64 Packages
linux-image-6.1.0-0.deb11.52-cloud-amd64 | 6.1.192-2~deb11u1 | {D} bullseye/main amd64 Packages
linux-image-6.12.117+deb13-cloud-amd64 | 6.12.117-1 | {D} trixie/main amd64 Packages
linux-image-6.12.95+deb12-cloud-amd64 | 6.12.95-1~bpo12+1 | {D} bookworm/main amd64 Packages
linux-image-7.3.4+deb13-cloud-amd64 | 7.3.4-1~bpo13+1 | {D} trixie-backports/main amd64 Packages
linux-image-7.3.4+deb13-amd64 | 7.3.4-1~bpo13+1 | {D} trixie-backports/main Sources
"""
KERNELS = list(packages.parse_madison(MADISON))
BCCS = [
    Offer("libbpfcc", "0.35.0+ds-1.1+b1", "forky"),
    Offer("libbpfcc", "0.37.0+ds-8", "sid"),
    Offer("libbpfcc", "0.26.0+ds-1", "bookworm"),
]
RUNCS = [
    Offer("runc", "1.1.5+ds1-1+deb12u1", "bookworm"),
    Offer("runc", "1.1.15+ds1-2+b4", "trixie"),
    Offer("runc", "1.1.5+ds1-1+b1", "bookworm"),
]
OS_RELEASE = 'PRETTY_NAME="Debian"\nVERSION_CODENAME=bookworm\nID=debian\n'
PLANNED = """\
The following additional packages will be installed:
  libc6 zlib1g
Inst libc6 (2.43-7 Debian:testing, Debian:unstable [amd64]) []
Inst zlib1g (1:1.3.dfsg+really1.3.2-4 Debian:unstable [amd64])
Inst libbpfcc (0.37.0+ds-8 Debian:unstable [amd64])
Conf libc6 (2.43-7 Debian:testing, Debian:unstable [amd64])
"""


def test_versions_sort_as_dpkg_does():
    rising = [
        "6.1~rc7-1",
        "6.1-1",
        "6.1.9-1",
        "6.1.190-2",
        "6.1.192-1",
        "6.1.192-2~deb11u1",
        "6.1.192-2",
        "6.1.192-2+b1",
        "6.1.192-10",
        "6.12.95-1~bpo12+1",
        "6.12.95-1",
        "7.3~rc7-1~exp1",
        "7.3.4-1~bpo13+1",
        "1:1.0-1",
    ]
    for low, high in itertools.combinations(rising, 2):
        assert packages.version_key(low) < packages.version_key(high), (low, high)


@pytest.mark.parametrize("request_", ["", "6", "6.1-rc1", "latest", "6.1/../..", "v6.1", "6.1\n"])
def test_a_senseless_request_is_refused(request_):
    with pytest.raises(UsageError, match="--bcc takes"):
        packages.check_request("--bcc", request_)


@pytest.mark.parametrize(
    ("version", "request_", "answered"),
    [
        ("0.37.0+ds-8", "newest", True),
        ("0.37.0+ds-8", "0.37", True),
        ("0.37.0+ds-8", "0.37.0", True),
        ("0.37.0+ds-8", "0.3", False),
        ("6.12.95-1~bpo12+1", "6.1", False),
    ],
)
def test_a_request_names_whole_numbers(version, request_, answered):
    assert packages.answers(version, request_) is answered


@pytest.mark.parametrize(
    ("request_", "flavour", "release"),
    [
        ("6.1", "cloud-amd64", "6.1.0-56-cloud-amd64"),
        ("6.1", "amd64", "6.1.0-56-amd64"),
        ("6.1.176", "cloud-amd64", "6.1.0-50-cloud-amd64"),
        ("6.12", "cloud-amd64", "6.12.117+deb13-cloud-amd64"),
        ("newest", "cloud-amd64", "7.3.4+deb13-cloud-amd64"),
        ("4.19", "amd64", None),
        ("7.3", "amd64", None),  # a source
    ],
)
def test_the_newest_kernel_that_matches_is_chosen(request_, flavour, release):
    kernel = packages.newest(KERNELS, request_, flavour=flavour)
    assert (kernel and kernel.release) == release


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [("newest", BCCS[1]), ("0.35", BCCS[0]), ("0.26.0", BCCS[2]), ("0.3", None)],
)
def test_the_newest_bcc_that_matches_is_chosen(request_, chosen):
    assert packages.newest(BCCS, request_) == chosen


@pytest.mark.parametrize(("suite", "chosen"), [("bookworm", RUNCS[0]), ("sid", None)])
def test_the_newest_of_one_suite(suite, chosen):
    assert packages.newest(RUNCS, suite=suite) == chosen


def test_the_suite_is_known_and_sources_are_not_taken_for_packages():
    assert KERNELS[1].suite == "bookworm-security"
    said = (
        " libbpfcc | 0.31.0+ds-7 | http://deb.debian.org/debian trixie/main amd64 Packages\n"
        "    bpfcc | 0.31.0+ds-7 | http://deb.debian.org/debian trixie/main Sources\n"
    )
    assert list(packages.parse_madison(said)) == [("libbpfcc", "0.31.0+ds-7", "trixie")]


def test_what_a_bcc_needs_is_what_apt_would_install():
    assert packages.planned(PLANNED) == [
        ("libc6", "2.43-7"),
        ("zlib1g", "1:1.3.dfsg+really1.3.2-4"),
        ("libbpfcc", "0.37.0+ds-8"),
    ]


@pytest.mark.parametrize("text", [OS_RELEASE, OS_RELEASE.replace("bookworm", '"bookworm"')])
def test_the_suite_is_the_machines(text):
    assert packages.suite_of(text, apt.SUITES) == "bookworm"


@pytest.mark.parametrize("text", ["", "VERSION_CODENAME=jammy\n", "X_VERSION_CODENAME=bookworm\n"])
def test_another_system_is_told_so(text):
    with pytest.raises(VmError, match="machine's Debian"):
        packages.suite_of(text, apt.SUITES)


@pytest.mark.parametrize(
    "package",
    [
        "linux-image-amd64",
        "linux-image-6.12-amd64",
        "linux-image-6.12-cloud-amd64",
        "linux-image-6.1.0-56-rt-amd64",
        "linux-image-6.1.0-56-amd64-dbg",
        "linux-image-6.1.0-56-amd64-unsigned",
        "linux-image-6.1.0-56-arm64",
    ],
)
def test_other_packages_are_not_images(package):
    assert not packages.flavour_of(package)


def test_a_split_image_names_its_parts():
    record = (
        "Package: linux-image-7.3.4+deb13-amd64\n"
        "Depends: initramfs-tools, linux-base-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1), "
        "linux-binary-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1), "
        "linux-modules-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1)\n"
        "Breaks: linux-binary-old (= 1)\n"
    )
    assert packages.parts_of_image(record) == [
        ("linux-binary-7.3.4+deb13-amd64", "7.3.4-1~bpo13+1"),
        ("linux-modules-7.3.4+deb13-amd64", "7.3.4-1~bpo13+1"),
    ]
    assert packages.parts_of_image("Depends: kmod, linux-base (>= 4.3~)\n") == []
