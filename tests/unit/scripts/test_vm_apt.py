"""Where kernels are looked for, from a machine's apt sources."""

from pidscope_dev.vm import apt


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
