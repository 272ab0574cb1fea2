from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pidscope.containers.container import Container
from pidscope.containers.rules import cgroup_paths, parse_cgroup, parse_path

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
UUID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
UUID_UNIT = UUID.replace("-", "_")
HASH = "1864dd0546310be9937c37cf88024cb8"
POD_SLICE = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UUID_UNIT}.slice"


def service(unit: str, uid: int | None = None) -> Container:
    return Container("systemd", "", unit=unit, uid=uid)


# Every form that is known, and what it says; none has a slash at its head.
FORMS = {
    f"docker/{ID}": [Container("docker", ID)],
    f"system.slice/docker-{ID}.scope": [Container("docker", ID)],
    f"user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope": [
        service("user@1000.service"),
        Container("docker", ID, uid=1000),
    ],
    f"system.slice:docker:{ID}": [Container("docker", ID)],
    f"actions_job/{ID}": [Container("oci", ID)],
    "default/web-1": [Container("containerd", "web-1")],
    f"k8s.io/{ID}": [Container("containerd", ID)],
    f"system.slice/nerdctl-{ID}.scope": [Container("containerd", ID)],
    f"kubepods/burstable/pod{UUID}/{ID}": [Container("oci", ID, pod_uid=UUID)],
    f"kubepods/besteffort/pod{HASH}/{ID}": [Container("oci", ID, pod_uid=HASH)],
    f"kubepods/pod{UUID}/crio-{ID}": [Container("crio", ID, pod_uid=UUID)],
    f"{POD_SLICE}/cri-containerd-{ID}.scope": [Container("containerd", ID, pod_uid=UUID)],
    f"{POD_SLICE}/crio-{ID}.scope/container": [Container("crio", ID, pod_uid=UUID)],
    f"{POD_SLICE}/docker-{ID}.scope": [Container("docker", ID, pod_uid=UUID)],
    f"kubepods.slice/kubepods-pod{HASH}.slice/crio-{ID}.scope": [
        Container("crio", ID, pod_uid=HASH)
    ],
    f"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
    f"kubelet-kubepods-burstable-pod{UUID_UNIT}.slice/cri-containerd-{ID}.scope": [
        Container("containerd", ID, pod_uid=UUID)
    ],
    f"system.slice/containerd.service/"
    f"kubepods-burstable-pod{UUID_UNIT}.slice:cri-containerd:{ID}": [
        service("containerd.service"),
        Container("containerd", ID, pod_uid=UUID),
    ],
    f"machine.slice/libpod-{ID}.scope": [Container("podman", ID)],
    f"machine.slice/libpod-{ID}.scope/container": [Container("podman", ID)],
    f"libpod_parent/libpod-{ID}": [Container("podman", ID)],
    f"libpod_parent/{OTHER}/libpod-{ID}": [Container("podman", ID, pod_uid=OTHER)],
    f"machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope/container": [
        Container("podman", ID, pod_uid=OTHER)
    ],
    f"system.slice/web.service/libpod-payload-{ID}": [
        service("web.service"),
        Container("podman", ID),
    ],
    "user.slice/user-0.slice/runc-a b.scope": [Container("runc", "a b", "a b")],
    "system.slice/crun-web.scope": [Container("crun", "web", "web")],
    "lxc/c1": [Container("lxc", "c1", "c1")],
    "lxc/101/ns": [Container("lxc", "101", "101")],
    "lxc.payload/c1": [Container("lxc", "c1", "c1")],
    "lxc.payload.my_c1/init.scope": [Container("lxc", "my_c1", "my_c1")],
    "lxc.payload.c1/system.slice/nginx.service": [
        Container("lxc", "c1", "c1"),
        service("nginx.service"),
    ],
    r"machine.slice/systemd-nspawn@a\x2db\xc3\xa9.service/payload": [
        service(r"systemd-nspawn@a\x2db\xc3\xa9.service"),
        Container("nspawn", "a-bé", "a-bé"),
    ],
    r"machine.slice/machine-a\x2db.scope/payload/init.scope": [Container("nspawn", "a-b", "a-b")],
    r"machine.slice/machine-lxc\x2d12\x2dweb.scope": [Container("libvirt", "web", "web")],
    "system.slice/system-getty.slice/getty@tty1.service": [service("getty@tty1.service")],
    "system.slice/_memory.service": [service("memory.service")],
}
AT_THE_TOP = {"default/web-1", f"k8s.io/{ID}"}  # these names are common ones elsewhere
# What stands beside containers, or looks like one.
OTHERS = [
    "",
    "init.scope",
    "user.slice/user-1000.slice/session-3.scope",
    f"machine.slice/libpod-conmon-{ID}.scope",
    f"kubepods/pod{UUID}/crio-conmon-{ID}",
    "lxc.monitor.c1",
    "lxc.monitor/c1",
    r"machine.slice/machine-c1.scope/supervisor",
    r"machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/emulator",
    f"kubepods/burstable/pod{UUID}",
    f"docker/{ID[:63]}",
    f"docker/{ID}0",
    f"docker/{ID.upper()}",
    f"libpod_parent/{ID}",
    "a/default/x",
    "docker",
    "lxc",
    "..",
]


@pytest.mark.parametrize("path", FORMS)
def test_each_known_form(path: str) -> None:
    assert list(parse_path(f"/{path}")) == FORMS[path]
    assert list(parse_cgroup(f"0::/{path}\n".encode())) == FORMS[path]
    assert list(parse_cgroup(f"0::/{path} (deleted)\n".encode())) == FORMS[path]


@pytest.mark.parametrize("path", OTHERS)
def test_what_is_no_container(path: str) -> None:
    assert parse_path(f"/{path}") == ()


def test_the_supervisor_of_nspawn_is_its_service_and_not_in_the_container() -> None:
    path = "/machine.slice/systemd-nspawn@c1.service/supervisor"
    assert parse_path(path) == (service("systemd-nspawn@c1.service"),)


@given(st.lists(st.sampled_from(sorted(FORMS.keys() - AT_THE_TOP)), max_size=6))
def test_each_form_is_found_however_deep(forms: list[str]) -> None:
    """Each ends with the cgroup that the next container's runtime has for its root."""
    expected = [container for form in forms for container in FORMS[form]]
    found = parse_path("/" + "/".join(forms))
    assert [it._replace(uid=None) for it in found] == [it._replace(uid=None) for it in expected]


@pytest.mark.parametrize("path", AT_THE_TOP)
def test_a_namespace_of_containerd_is_at_the_top_of_a_host_or_container(path: str) -> None:
    assert [*parse_path(f"/docker/{OTHER}/{path}")][1:] == FORMS[path]
    assert Container("containerd", "web-1") not in parse_path(f"/a/{path}")


# Directories as runtimes, systemd and people name them, in any order.
parts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(sorted({part for path in [*FORMS, *OTHERS] for part in path.split("/")})),
)


@given(st.one_of(st.text(), st.lists(parts).map("/".join)))
@example("/\ud800/lxc/\udc80")
@example("/machine-\\xff\\x00.scope")
def test_any_string_is_a_path_of_containers(path: str) -> None:
    for container in parse_path(path):
        assert isinstance(container, Container)
        assert container.runtime and (container.id or container.unit)
        if re.fullmatch("[0-9a-f]{64}", container.id):
            assert container.id in path


@given(st.binary())
def test_any_bytes_are_a_cgroup_file(data: bytes) -> None:
    assert all(isinstance(container, Container) for container in parse_cgroup(data))


@given(st.lists(st.binary(min_size=1).filter(lambda name: not set(name) & set(b"/\n"))))
def test_a_path_is_whole_whatever_its_bytes(names: list[bytes]) -> None:
    path = b"/" + b"/".join(names)
    read = [it.encode("utf-8", "surrogateescape") for it in cgroup_paths(b"0::" + path + b"\n")]
    assert read == [path.removesuffix(b" (deleted)")]


def test_of_several_hierarchies_the_one_that_tells_most_counts() -> None:
    text = f"""\
12:cpu,cpuacct:/
4:memory:/machinery/{OTHER[:32]}/docker/{ID}/docker/{OTHER}
2:pids:/docker/{ID}
1:name=systemd:/docker/{ID}/system.slice/a.service
0::/docker/{ID}
"""
    assert parse_cgroup(text.encode()) == (Container("docker", ID), Container("docker", OTHER))


def test_a_cgroup_namespace_hides_what_is_outside() -> None:
    seen = {
        "/": (),
        f"/../{OTHER}": (Container("oci", OTHER),),
        f"/../../docker/{OTHER}": (Container("docker", OTHER),),
    }
    assert {path: parse_path(path) for path in seen} == seen
