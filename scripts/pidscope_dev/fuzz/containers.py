"""Cgroup paths, and what an engine answers: both are written by programs that run containers."""

from __future__ import annotations

import json
import re
from typing import Any

from pidscope.containers.container import Container, innermost
from pidscope.containers.docker import NoAnswer, parse_answer
from pidscope.containers.rules import cgroup_paths, parse_cgroup, parse_path
from pidscope.escape import printable
from pidscope_dev.fuzz.target import Target, agrees

_A, _B = "0123456789abcdef" * 4, "fedcba9876543210" * 4
_OUTER = Container("docker", _A)
_BARE = re.compile("[0-9a-f]{64}")
_POD = "pod1c2e3f40_aaaa_bbbb_cccc_0123456789ab"
_OK = b"HTTP/1.0 200 OK\r\n\r\n"


def check_cgroup(data: bytes) -> bool:
    """A path means the same inside another container, and what it names can be printed."""
    chain = parse_cgroup(data)
    paths = list(cgroup_paths(data))
    assert len(paths) <= data.count(b"\n") + 1
    assert chain in ([parse_path(path) for path in paths] or [()])
    assert innermost(chain) is None or chain
    for path in paths:
        around = parse_path(path)
        assert len(around) <= len(chain)
        assert parse_path(f"/docker/{_A}/{path}") == (_OUTER, *around)
        _check_path(path, around)
    return bool(chain)


def _check_path(path: str, around: tuple[Container, ...]) -> None:
    """Each bare id is a container's, but a pod's of Podman; every name stands in the path."""
    at = 0
    for container in around:
        assert all(printable(it).isprintable() for it in container if isinstance(it, str))
        if _BARE.fullmatch(container.id):
            at = path.index(container.id, at) + len(container.id)
    parts = path.split("/")
    for part, before in zip(parts[1:], parts):
        if _BARE.fullmatch(part) and before != "libpod_parent":
            assert part in {container.id for container in around}


CGROUP = Target(
    "cgroup",
    check_cgroup,
    seeds=tuple(
        f"{line}\n".encode()
        for line in (
            f"12:cpu,cpuacct:/docker/{_A}/docker/{_B}\n1:name=systemd:/docker/{_A}\n0::/",
            f"0::/system.slice/docker-{_A}.scope/system.slice/nginx.service",
            f"0::/kubepods.slice/kubepods-{_POD}.slice/cri-containerd-{_B}.scope",
            f"0::/system.slice/containerd.service/kubepods-{_POD}.slice:crio:{_B} (deleted)",
            r"0::/machine.slice/systemd-nspawn@a\x2db.service/payload",
            "0::/lxc.payload.c1/lxc/c2/default/web",
        )
    ),
    words=(
        *(b"/", b":", b"\n", b"0::/", b"..", b"-", b".scope", b".slice", b".service", b"docker"),
        *(b"/lxc/", b"/default/", b"lxc.payload.", b"supervisor", b"libpod_parent", b"\\x2d"),
        *(_A.encode(), _B.encode(), _POD.encode(), b" (deleted)", b"\xff"),
    ),
    max_bytes=1024,
)


def check_answer(data: bytes) -> bool:
    """Accept exactly what a plain reader does, with the same names."""
    return agrees(lambda: parse_answer(data), plain_names(data), NoAnswer)


def plain_names(data: bytes) -> dict[str, str] | None:
    """Read a status line and a list of objects, one thing after the other."""
    if b"\r\n\r\n" not in data or data[:13] not in (b"HTTP/1.0 200 ", b"HTTP/1.1 200 "):
        return None
    body = data[data.index(b"\r\n\r\n") + 4 :]
    try:
        listed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return (
        {it["Id"]: _first_name(it) for it in listed if _is_named(it)} if _is_list(listed) else None
    )


def _is_list(value: Any) -> bool:
    return type(value) is list


def _is_named(entry: Any) -> bool:
    if type(entry) is not dict or type(entry.get("Id")) is not str:
        return False
    number = entry["Id"]
    good = len(number) == 64 and set(number) <= set("0123456789abcdef")
    return good and _is_list(entry.get("Names")) and bool(_first_name(entry))


def _first_name(entry: Any) -> str:
    alphabet = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    for name in entry["Names"]:
        if type(name) is str:
            bare = name[1:] if name[:1] == "/" else name
            if 0 < len(bare) <= 255 and set(bare) <= alphabet and bare[0] not in "_.-":
                return bare
    return ""


def _answer(*entries: Any) -> bytes:
    return _OK + json.dumps(entries).encode()


ENGINE = Target(
    "engine",
    check_answer,
    seeds=(
        _answer(),
        _answer({"Id": _A, "Names": ["/db/alias", "/web"], "Created": 17}),
        _answer({"Id": _A, "Names": ["web-1"]}, {"Id": _B, "Names": [], "Labels": {"a": None}}),
    ),
    words=(
        *(b"\r\n\r\n", b"HTTP/1.1 200 ", b"[", b"]", b"{", b"}", b'"', b",", b":", b'"Id"'),
        *(b'"Names"', b"null", b"true", b"1e9", b"-1", b"/", b"\\u0000", b"\\n", b"\xff"),
        *(f'"{number}"'.encode() for number in (_A, _B)),
    ),
    max_bytes=1024,
)
