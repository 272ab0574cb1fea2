"""Kernel modules: names, dependencies from .modinfo, order of loading."""

import lzma

import pytest
from pidscope_dev.vm import modules


def image(depends):
    modinfo = b"license=GPL\0softdep=pre: other\0depends=" + depends + b"\0name=x\0"
    return b"\x7fELF\0\0" + modinfo


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (image(b"virtio,virtio_ring"), ["virtio", "virtio_ring"]),
        (image(b""), []),
        (b"\x7fELF nothing here", []),
        (b"\0notdepends=wrong\0depends=right\0", ["right"]),
    ],
    ids=["two", "none", "no modinfo", "a parameter that only ends in depends"],
)
def test_dependencies_are_read_from_modinfo(module, names):
    assert modules.depends(module) == names


def test_dependencies_load_first_and_once(tmp_path):
    (tmp_path / "kernel/fs").mkdir(parents=True)
    (tmp_path / "kernel/fs/virtiofs.ko").write_bytes(image(b"fuse,virtio-ring"))
    (tmp_path / "kernel/fs/fuse.ko.xz").write_bytes(lzma.compress(image(b"virtio_ring")))
    (tmp_path / "kernel/virtio-ring.ko").write_bytes(image(b""))
    (tmp_path / "modules.order").write_text("kernel/fs/virtiofs.ko\n")
    available = modules.index(tmp_path)
    assert set(available) == {"virtiofs", "fuse", "virtio_ring"}
    ordered = modules.load_order(["virtiofs", "fuse", "built-in"], available)
    assert [name for name, _ in ordered] == ["virtio_ring", "fuse", "virtiofs"]
    assert dict(ordered)["fuse"] == image(b"virtio_ring")
