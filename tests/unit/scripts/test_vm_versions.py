"""Debian's versions: their order, what they answer, and apt's lists of them."""

import itertools

import pytest
from pidscope_dev.vm import versions
from pidscope_dev.vm.errors import UsageError


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
        assert versions.version_key(low) < versions.version_key(high), (low, high)


@pytest.mark.parametrize("request_", ["", "6", "6.1-rc1", "latest", "6.1/../..", "v6.1", "6.1\n"])
def test_a_senseless_request_is_refused(request_):
    with pytest.raises(UsageError, match="--bcc takes"):
        versions.check_request("--bcc", request_)


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
    assert versions.answers(version, request_) is answered


def test_sources_are_not_taken_for_packages():
    said = (
        " libbpfcc | 0.31.0+ds-7 | http://deb.debian.org/debian trixie/main amd64 Packages\n"
        "    bpfcc | 0.31.0+ds-7 | http://deb.debian.org/debian trixie/main Sources\n"
    )
    assert list(versions.parse_madison(said)) == [("libbpfcc", "0.31.0+ds-7", "trixie")]
