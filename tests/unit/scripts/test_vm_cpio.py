"""The initramfs archive, read back by a reader of our own and by busybox."""

import shutil
import stat
import subprocess

import pytest
from pidscope_dev.vm import cpio


def archive():
    made = cpio.Archive()
    made.directory("dev")
    made.character_device("dev/console", 5, 1)
    made.file("init", b"#!/bin/sh\n", 0o755)
    made.file("odd", b"x")
    made.file("empty", b"")
    return made.finish()


def entries(data):
    """Yield (name, mode, rdev, contents) of a newc archive, up to its trailer."""
    at = 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, rdev, name_size = fields[1], fields[6], fields[9:11], fields[11]
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        start = -(-(at + 110 + name_size) // 4) * 4
        if name == b"TRAILER!!!\0":
            assert start == len(data)
            return
        yield name[:-1].decode(), mode, tuple(rdev), data[start : start + size]
        at = -(-(start + size) // 4) * 4


def test_every_entry_is_read_back():
    assert list(entries(archive())) == [
        ("dev", stat.S_IFDIR | 0o755, (0, 0), b""),
        ("dev/console", stat.S_IFCHR | 0o600, (5, 1), b""),
        ("init", stat.S_IFREG | 0o755, (0, 0), b"#!/bin/sh\n"),
        ("odd", stat.S_IFREG | 0o644, (0, 0), b"x"),
        ("empty", stat.S_IFREG | 0o644, (0, 0), b""),
    ]


def test_two_archives_may_follow_each_other():
    # The kernel wants each to begin on a multiple of four bytes.
    assert len(archive()) % 4 == 0


@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed")
def test_busybox_lists_the_same():
    listed = subprocess.run(
        ["busybox", "cpio", "-t"], input=archive(), capture_output=True, check=True
    )
    assert listed.stdout.decode().split() == ["dev", "dev/console", "init", "odd", "empty"]
