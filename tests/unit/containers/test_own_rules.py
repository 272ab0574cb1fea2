"""Rules of a file: which file counts, what may stand in it, and what they can never do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.containers import own_rules
from pidscope.containers.container import Container
from pidscope.containers.forms import Rule
from pidscope.containers.own_rules import MAX_BYTES, load, parse
from pidscope.containers.rules import built_in, parse_cgroup, parse_path, ranked, witnesses

A = "a" * 64
CHECKOUT = Path(__file__).parents[3]
RULE = "acme-jail acme.slice/jail-{id}.scope\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests live below /tmp, where all may write: here the directories above do not count."""
    real = own_rules._expect

    def expect(file: int, uid: int, kind: object, what: str) -> None:
        if tmp_path in [(it := Path(f"/proc/self/fd/{file}").readlink()), *it.parents]:
            real(file, uid, kind, what)  # type: ignore[arg-type]

    monkeypatch.setattr(own_rules, "_expect", expect)
    tmp_path.chmod(0o755)
    return tmp_path


def written(directory: Path, text: str = RULE) -> str:
    file = directory / "rules"
    file.write_text(text)
    file.chmod(0o644)
    return str(file)


def test_a_rule_of_a_file_names_a_container(directory: Path) -> None:
    path = written(directory, f"# ours\n\n{RULE}")
    rules, faults = load([path], os.getuid())
    assert faults == ()
    cgroup = b"0::/acme.slice/jail-7.scope/x.service\n"
    assert parse_cgroup(cgroup) == (Container("systemd", "", unit="x.service"),)
    (jail, service) = parse_cgroup(cgroup, rules)
    assert jail == Container("acme-jail", "7")
    assert service.unit == "x.service"
    rule = witnesses(cgroup, rules)[0].rule
    assert rule is not None
    assert rule.source == path


def test_a_file_that_is_not_there_is_none(directory: Path) -> None:
    assert load([f"{directory}/none", f"{directory}/no/way"], os.getuid()) == (built_in(), ())


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_does_not_count(directory: Path, mode: int) -> None:
    path = written(directory)
    Path(path).chmod(mode)
    assert load([path], os.getuid()) == (
        built_in(), (f"{path}: it can be written by other users",)
    )  # fmt: skip


@pytest.mark.parametrize("mode", [0o775, 0o1777])
def test_a_file_in_a_directory_that_others_may_write_does_not_count(
    directory: Path, mode: int
) -> None:
    """Its owner may put another file in its place; a sticky bit does not hinder a new one."""
    place = directory / "etc"
    place.mkdir()
    path = written(place)
    place.chmod(mode)
    assert load([path], os.getuid()).faults == (
        f"{path}: etc above it can be written by other users",
    )


def test_a_file_of_another_user_does_not_count(directory: Path) -> None:
    path = written(directory)
    uid = os.getuid()
    if uid == 0:
        os.chown(path, 4711, -1)
        assert load([path], 0).faults == (f"{path}: it belongs to user 4711",)
        assert load([path], 4711).faults == ()
    else:
        assert load([path], uid + 1).faults


def test_a_link_does_not_count(directory: Path) -> None:
    path = written(directory)
    (directory / "link").symlink_to(path)
    assert load([f"{directory}/link"], os.getuid()).faults
    (directory / "etc").symlink_to(directory)
    (fault,) = load([f"{directory}/etc/rules"], os.getuid()).faults
    assert "etc above it is a link" in fault


def test_a_fifo_does_not_hold_the_reader(directory: Path) -> None:
    os.mkfifo(directory / "rules", 0o600)
    (fault,) = load([f"{directory}/rules"], os.getuid()).faults
    assert "no plain file" in fault
    assert stat.S_ISFIFO((directory / "rules").stat().st_mode)


def test_a_long_file_does_not_count(directory: Path) -> None:
    path = written(directory, "#" * (MAX_BYTES + 1))
    assert load([path], os.getuid()).faults == (f"{path}: it is longer than 64 KiB",)


@pytest.mark.parametrize(
    "line",
    [
        "acme",
        "acme {id}",  # any directory were a container
        "acme {any}/{id}",
        "acme jail/x",  # no id
        "acme jail/{id}/{name}",
        "acme jail/{any}{id}",
        "acme jail/{unknown}",
        "acme jail/{id",
        "acme jail[/x]/{id}",
        "acme jail//{id}",
        "\x1b[31m jail/{id}",
        f"acme jail/{{id}}{'x' * 300}",
    ],
)
def test_a_line_that_is_no_rule_costs_that_line(directory: Path, line: str) -> None:
    path = written(directory, f"{line}\n{RULE}")
    rules, faults = load([path], os.getuid())
    (fault,) = faults
    assert fault.startswith(f"{path}:1: ")
    assert fault.isprintable()
    assert [rule.form for _, rule in rules.own] == ["acme.slice/jail-{id}.scope"]


@given(st.text())
def test_any_text_is_read_and_its_rules_are_harmless(text: str) -> None:
    rules = [it for _, it in parse(text, "/etc/pidscope/rules") if isinstance(it, Rule)]
    parse_path(f"/a/{text}/b", ranked(rules))


hostile = st.lists(
    st.sampled_from(
        ["x {name}.slice/{any}/{id}", "x system.slice/{name}", "x docker/{id}", "x {any}e/{id}"]
    )
)


@given(hostile, st.sampled_from(["", "/kubepods.slice", "/system.slice", "/e/f/system.slice"]))
def test_a_rule_of_a_file_never_hides_a_built_in_one(lines: list[str], above: str) -> None:
    rules = ranked(it for _, it in parse("\n".join(lines), "x") if isinstance(it, Rule))
    for path in (f"{above}/docker-{A}.scope", f"{above}/docker/{A}", f"{above}/lxc.payload.c1"):
        assert set(parse_path(path)) <= set(parse_path(path, rules))


def test_the_rules_of_the_documentation_are_some() -> None:
    text = (
        (CHECKOUT / "docs/containers.md").read_text().split("# runtime   form\n")[1].split("```")[0]
    )
    (jail, farm) = (rule for _, rule in parse(text, ""))
    assert isinstance(jail, Rule)
    assert isinstance(farm, Rule)
    assert parse_path("/acme.slice/jail-x.scope", ranked([jail, farm])) == (
        Container("acme-jail", "x", "x"),
    )
