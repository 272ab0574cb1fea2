from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.containers.container import Container
from pidscope.containers.kubelet import PodNames, parse_names, read_kubelet

ID = "0123456789abcdef" * 4
UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
HASH = "1864dd0546310be9937c37cf88024cb8"
LINK = f"web-7d4b9c-x2x1z_shop_nginx-{ID}.log"


def container(number: str = ID, uid: str | None = UID) -> Container:
    return Container("containerd", number, pod_uid=uid)


def test_a_link_names_the_container_and_its_pod(tmp_path: Path) -> None:
    links = tmp_path / "var/log/containers"
    links.mkdir(parents=True)
    (links / LINK).symlink_to("/var/log/pods/nobody/follows/0.log")
    named = read_kubelet(str(tmp_path)).name(container())
    assert named == container()._replace(
        pod="web-7d4b9c-x2x1z", pod_namespace="shop", container_name="nginx"
    )


def test_a_directory_names_the_pod_of_one_without_a_log(tmp_path: Path) -> None:
    (tmp_path / "var/log/pods" / f"kube-system_etcd.node-1_{HASH}").mkdir(parents=True)
    named = read_kubelet(str(tmp_path)).name(container(uid=HASH))
    assert named == container(uid=HASH)._replace(pod="etcd.node-1", pod_namespace="kube-system")


def test_no_kubelet_no_names(tmp_path: Path) -> None:
    assert read_kubelet(str(tmp_path)).name(container()) == container()


@pytest.mark.parametrize("digits", [12, 40, 63])
def test_a_long_name_is_cut_in_its_id(digits: int) -> None:
    kubelet = parse_names([f"web_shop_nginx-{ID[:digits]}.log"], [])
    assert kubelet.name(container()).pod == "web"
    assert kubelet.name(container("f" * 64)).pod is None


@pytest.mark.parametrize(
    "link",
    [
        "",
        LINK[:-4],
        LINK.replace(ID, ID[:11]),
        LINK.replace(ID, ID + "0"),
        LINK.replace("shop", "sh_op_x"),
        LINK.replace("web", "w\x1b[2Jeb"),
        LINK.replace("shop", ""),
        LINK + "\n",
    ],
)
def test_what_is_no_link_of_the_kubelet(link: str) -> None:
    assert parse_names([link], []).containers == {}


def test_an_inner_dash_is_of_the_name_of_the_container() -> None:
    names = parse_names([f"a-b_c-d_e-f-{ID}.log"], []).containers[ID]
    assert names == PodNames("a-b", "c-d", "e-f")


@given(st.lists(st.text()), st.lists(st.text()))
def test_any_names_of_files(links: list[str], directories: list[str]) -> None:
    kubelet = parse_names(links, directories)
    for names in (*kubelet.containers.values(), *kubelet.pods.values()):
        assert names.pod.isprintable() and names.namespace.isprintable()
