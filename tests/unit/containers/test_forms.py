"""The table of forms: each with a path that has it, and the reports that each stands for."""

from __future__ import annotations

import re

import pytest

from pidscope.containers.container import Container, display_name
from pidscope.containers.forms import FORMS, HOLES, Rule
from pidscope.containers.rules import (
    UNKNOWN,
    parse_cgroup,
    parse_path,
    unknown_container,
    witnesses,
)

A, B = "a" * 64, "b" * 64
H = "0123456789abcdef0123456789abcdef"
UUID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
USER_1001 = "/user.slice/user-1001.slice/user@1001.service"


def service(unit: str, uid: int | None = None) -> Container:
    return Container("systemd", "", unit=unit, uid=uid)


def form(rule: Rule) -> str:
    return rule.form


@pytest.mark.parametrize("rule", FORMS, ids=form)
def test_each_rule_is_the_one_that_fits_its_own_path(rule: Rule) -> None:
    """No other rule stands before it; without it the path names something else, or nothing."""
    found = witnesses(f"4:pids:/\n0::{rule.path}\n".encode())
    assert all(it.line == f"0::{rule.path}" for it in found)
    rules = [it.rule for it in found if it.rule]
    if rule.runtime is None:
        assert not rules
        return
    assert rules == [rule]
    (container,) = (it.container for it in found if it.rule)
    assert container.runtime == rule.runtime
    assert container.id in rule.path.replace(r"\x2d", "-")


@pytest.mark.parametrize("rule", FORMS, ids=form)
def test_each_rule_has_a_source_and_says_what_its_id_is(rule: Rule) -> None:
    assert rule.source and rule.id_is
    assert set(re.findall(r"\{(\w+)\}", rule.form)) <= HOLES.keys()
    for part in rule.form.split("/"):  # two would make a match slow on a hostile name
        assert len(re.findall(r"\{(?:any|id|name|unit|alloc)\}", part)) <= 1


CASES = {
    "AWS Fargate 1.4, platform reports of Datadog and OpenTelemetry": (
        f"9:pids:/ecs/{H}/{H}-1928374650\n",
        [Container("ecs", f"{H}-1928374650")],
    ),
    "Cloud Foundry's Garden, short handle": (
        "1:name=systemd:/system.slice/garden.service/garden/41ac93d0-77f1-4b02-5dd9-18e3\n",
        [service("garden.service"), Container("garden", "41ac93d0-77f1-4b02-5dd9-18e3")],
    ),
    "Concourse 4 below runit, other controllers at the root": (
        f"12:devices:/system.slice/runit.service/{UUID}\n11:cpu,cpuacct:/{UUID}\n10:rdma:/\n",
        [service("runit.service"), Container("garden", UUID)],
    ),
    "docker build with BuildKit, whose ids are no hexadecimal digits": (
        "0::/docker/buildkit/m2q9wtrz4kd1x8b6yhv0c7nfe\n",
        [Container("buildkit", "m2q9wtrz4kd1x8b6yhv0c7nfe")],
    ),
    "NixOS: nginx.service is the container's, not the host's": (
        "0::/machine.slice/container@webapp.service/payload/system.slice/nginx.service\n",
        [
            service("container@webapp.service"),
            Container("nspawn", "webapp", "webapp"),
            service("nginx.service"),
        ],
    ),
    "libvirt: a virtual machine without a number is no container": (
        "0::/machine.slice/machine-qemu\\x2dnode01\\x2dweb.scope/libvirt/vcpu0\n",
        [],
    ),
    "libvirt: an LXC domain without a number": (
        "0::/machine.slice/machine-lxc\\x2dweb01.scope\n",
        [Container("libvirt", "web01", "web01")],
    ),
    "libvirt: an LXC domain with its number": (
        "0::/machine.slice/machine-lxc\\x2d1231\\x2dvmc.scope\n",
        [Container("libvirt", "vmc", "vmc")],
    ),
    "cgroup v1: podman's container with a unified path in a terminal's service": (
        f"3:pids:/machine.slice/libpod-{A}.scope\n"
        f"0::{USER_1001}/app.slice/gnome-terminal-server.service\n",
        [Container("podman", A)],
    ),
    "kind: a kubelet in a container of Docker": (
        f"0::/docker/{A}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
        f"kubelet-kubepods-besteffort-pod{UUID.replace('-', '_')}.slice/cri-containerd-{B}.scope\n",
        [Container("docker", A), Container("containerd", B, pod_uid=UUID)],
    ),
    "rootless Podman": (
        f"0::{USER_1001}/user.slice/libpod-{A}.scope/container\n",
        [service("user@1001.service"), Container("podman", A, uid=1001)],
    ),
    "a user takes the name of another's container": (
        f"0::{USER_1001}/docker-{A}.scope\n",
        [service("user@1001.service"), Container("docker", A, uid=1001)],
    ),
    "a user's service manager is the system's, its services are the user's": (
        f"0::{USER_1001}/app.slice/docker.service\n",
        [service("user@1001.service"), service("docker.service", 1001)],
    ),
    "the payload of a user's own unit is the user's": (
        "0::/user.slice/user-1001.slice/user@1001.service/payload\n",
        [service("user@1001.service"), Container("?", "user@1001", "user@1001", uid=1001)],
    ),
    "a user's rootless container, in which another user has a manager": (
        f"0::{USER_1001}/docker-{A}.scope/user.slice/user@1000.service/docker-{B}.scope\n",
        [
            service("user@1001.service"),
            Container("docker", A, uid=1001),
            service("user@1000.service", 1001),
            Container("docker", B, uid=1001),
        ],
    ),
    "root's own service manager makes no one a user": (
        f"0::/user.slice/user-0.slice/user@0.service/user.slice/libpod-{A}.scope\n",
        [service("user@0.service"), Container("podman", A)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_reported_forms(case: str) -> None:
    text, expected = CASES[case]
    assert list(parse_cgroup(text.encode())) == expected


def nspawn(unit: str, leaf: str) -> bytes:
    """As real systemd-nspawn 252 has it on a hybrid hierarchy; v1's controllers are joined."""
    return (
        f"9:name=systemd:/machine.slice/{unit}{leaf}\n8:pids:/machine.slice/{unit}\n"
        f"0::/machine.slice/{unit}{leaf}\n"
    ).encode()


@pytest.mark.parametrize("unit", ["systemd-nspawn@c1.service", "machine-c1.scope"])
def test_the_supervisor_of_nspawn_is_in_no_container_on_hybrid(unit: str) -> None:
    """systemd-nspawn 252: the pids line of the supervisor is that of the container's processes."""
    c1 = Container("nspawn", "c1", "c1")
    assert c1 not in parse_cgroup(nspawn(unit, "/supervisor"))
    assert parse_cgroup(nspawn(unit, "/payload"))[-1] == c1
    assert parse_cgroup(nspawn(unit, "/payload/system.slice/a.service"))[-2:] == (
        c1, service("a.service")
    )  # fmt: skip


@pytest.mark.parametrize("leaf", ["supervisor", "payload", "payload/supervisor"])
@pytest.mark.parametrize(
    "path", [f"/docker/{A}", f"/system.slice/docker-{A}.scope", "/lxc.payload.c1"]
)
def test_a_container_cannot_hide_behind_a_supervisor_of_its_own(path: str, leaf: str) -> None:
    """A container's root may make cgroups with any name below its own."""
    assert parse_path(f"{path}/{leaf}") == parse_path(path)
    assert parse_cgroup(f"0::{path}/{leaf}\n4:pids:{path}\n".encode()) == parse_path(path)


def test_a_payload_cannot_hide_behind_its_own_units_name() -> None:
    unit = "systemd-nspawn@c1.service"
    hiding = f"9:name=systemd:/machine.slice/{unit}/payload/{unit}/supervisor\n".encode()
    assert Container("nspawn", "c1", "c1") in parse_cgroup(hiding)


def test_an_unknown_runtimes_container_has_its_name_from_its_path() -> None:
    found = unknown_container(b"3:pids:/\n0::/jails.slice/box\\x2d7.scope/init.scope\n")
    assert found == Container(UNKNOWN, "/jails.slice/box\\x2d7.scope/init.scope", "box-7.scope")
    systemds = unknown_container(b"0::/box/system.slice\n")
    assert systemds == Container(UNKNOWN, "/box/system.slice", "box")
    assert unknown_container(b"0::/\n") == Container(UNKNOWN, "/", "/")
    assert unknown_container(b"") is None
    users = unknown_container(f"0::{USER_1001}/app.slice/sandbox\n".encode())
    assert users is not None
    assert (users.name, users.uid) == ("sandbox", 1001)


def test_a_users_container_is_shown_as_the_users() -> None:
    (_, mine) = parse_path(f"{USER_1001}/docker-{A}.scope")
    assert display_name(mine) == f"user 1001: {'a' * 12}"
    assert display_name(mine._replace(name="web")) == "user 1001: web"
    assert display_name(service("a.service", 1001)) == "user 1001: a.service"
