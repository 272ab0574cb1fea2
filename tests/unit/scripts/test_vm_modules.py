"""Kernel modules: names, dependencies from .modinfo, order of loading."""

import lzma

from pidscope_dev.vm import modules


def image(depends):
    modinfo = b"license=GPL\0softdep=pre: other\0depends=" + depends + b"\0name=x\0"
    return b"\x7fELF\0\0" + modinfo


def test_dependencies_are_read_from_modinfo():
    assert modules.depends(image(b"virtio,virtio_ring")) == ["virtio", "virtio_ring"]
    assert modules.depends(image(b"")) == []
    assert modules.depends(b"\x7fELF nothing here") == []


def test_a_parameter_that_only_ends_in_depends_is_not_taken():
    assert modules.depends(b"\0notdepends=wrong\0depends=right\0") == ["right"]


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
