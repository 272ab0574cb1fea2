"""Which kernel package answers a request, from canned output of apt-cache."""

import pytest
from pidscope_dev.vm import kernels

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


@pytest.mark.parametrize(
    ("request_", "flavour", "release"),
    [
        ("6.1", "cloud-amd64", "6.1.0-56-cloud-amd64"),
        ("6.1", "amd64", "6.1.0-56-amd64"),
        ("6.1.176", "cloud-amd64", "6.1.0-50-cloud-amd64"),
        ("6.12", "cloud-amd64", "6.12.117+deb13-cloud-amd64"),
        ("newest", "cloud-amd64", "7.3.4+deb13-cloud-amd64"),
    ],
)
def test_the_newest_that_matches_is_chosen(request_, flavour, release):
    kernel = kernels.newest(kernels.parse_madison(MADISON), request_, flavour)
    assert kernel is not None
    assert kernel.release == release


@pytest.mark.parametrize("request_", ["4.19", "7.3"])
def test_no_match_is_none(request_):
    assert kernels.newest(kernels.parse_madison(MADISON), request_, "amd64") is None


def test_the_suite_is_known():
    assert kernels.parse_madison(MADISON)[1].suite == "bookworm-security"


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
    assert not kernels.is_image(package)


def test_a_split_image_names_its_parts():
    record = (
        "Package: linux-image-7.3.4+deb13-amd64\n"
        "Depends: initramfs-tools, linux-base-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1), "
        "linux-binary-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1), "
        "linux-modules-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1)\n"
        "Breaks: linux-binary-old (= 1)\n"
    )
    assert kernels.split_packages(record) == [
        ("linux-binary-7.3.4+deb13-amd64", "7.3.4-1~bpo13+1"),
        ("linux-modules-7.3.4+deb13-amd64", "7.3.4-1~bpo13+1"),
    ]
    assert kernels.split_packages("Depends: kmod, linux-base (>= 4.3~)\n") == []
