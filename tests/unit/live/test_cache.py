"""A cache that somebody else had a hand in, or that is damaged: never trusted, never an error.

The tests run as root, to give files away and to mount small disks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pidscope.live import cache as cache_module
from pidscope.live.cache import Cache, directory_of
from tests import CHECKOUT

NOBODY = 65534
NAME, CONTENT = "fentry-0", b"instructions" * 100


class Kept:
    """A cache, what it printed, and its places."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "pidscope" / "programs"
        self.file = self.folder / NAME
        self.warned: list[str] = []
        self.cache = Cache(str(base), self.warned.append)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path)
    assert kept.cache.write(NAME, CONTENT)
    assert kept.cache.read(NAME) == CONTENT
    return kept


def test_it_is_closed_to_all_others(kept: Kept) -> None:
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert kept.file.stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_is_none_and_makes_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    assert kept.cache.read(NAME) is None
    assert kept.cache.usage() == (0, 0)
    assert list(tmp_path.iterdir()) == [] and kept.warned == []


def flip_a_bit(kept: Kept) -> None:
    data = bytearray(kept.file.read_bytes())
    data[len(data) // 2] ^= 4
    kept.file.write_bytes(data)


def link_elsewhere(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


OF_FILE: dict[str, tuple[Callable[[Kept], object], str]] = {
    "truncated": (lambda kept: os.truncate(kept.file, 100), "digest"),
    "empty": (lambda kept: os.truncate(kept.file, 0), "0 bytes"),
    "too large": (lambda kept: os.truncate(kept.file, 1 << 21), "2097152 bytes"),
    "flipped bit": (flip_a_bit, "digest"),
    "foreign owner": (lambda kept: os.chown(kept.file, NOBODY, NOBODY), "belongs to user 65534"),
    "writable by the group": (lambda kept: kept.file.chmod(0o660), "mode 0660"),
    "symbolic link": (lambda kept: link_elsewhere(kept.file), "symbolic link"),
    "fifo": (lambda kept: (kept.file.unlink(), os.mkfifo(kept.file, 0o600)), "regular file"),
    "directory": (lambda kept: (kept.file.unlink(), kept.file.mkdir(0o700)), "s a directory"),
}
OF_FOLDER: dict[str, tuple[Callable[[Kept], object], str]] = {
    "foreign owner": (lambda kept: os.chown(kept.folder, NOBODY, 0), "belongs to user 65534"),
    "writable by the group": (lambda kept: kept.folder.chmod(0o770), "mode 0770"),
    "readable by all": (lambda kept: kept.folder.chmod(0o755), "mode 0755"),
    "symbolic link": (lambda kept: link_elsewhere(kept.folder), "symbolic link"),
    "symbolic link above": (lambda kept: link_elsewhere(kept.folder.parent), "symbolic link"),
    "writable above": (lambda kept: kept.folder.parent.chmod(0o777), "mode 0777"),
    "file above": (lambda kept: (link_elsewhere(kept.folder.parent), kept.folder.parent.unlink(),
                                 kept.folder.parent.touch()), "no directory"),
}  # fmt: skip


@pytest.mark.parametrize("fault", OF_FILE)
def test_a_bad_file_is_not_used_printed_once_and_replaced(kept: Kept, fault: str) -> None:
    plant, why = OF_FILE[fault]
    plant(kept)
    assert kept.cache.read(NAME) is None and kept.cache.read(NAME) is None
    (line,) = kept.warned
    assert str(kept.file) in line and why in line
    if fault != "directory":  # which a file does not replace
        assert kept.cache.write(NAME, b"new")
        assert kept.cache.read(NAME) == b"new"
        assert not kept.file.is_symlink() and len(kept.warned) == 1


@pytest.mark.parametrize("fault", OF_FOLDER)
def test_a_bad_directory_is_not_used_and_nothing_in_it_is_changed(kept: Kept, fault: str) -> None:
    plant, why = OF_FOLDER[fault]
    plant(kept)
    assert kept.cache.read(NAME) is None and kept.cache.read("other") is None
    (line,) = kept.warned
    assert line.startswith(f"not used: {kept.folder}: ") and why in line
    assert not kept.cache.write("other", b"new") and why in kept.cache.refusal()
    assert list(kept.base.rglob("other")) == []


def test_the_oldest_go(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is in use, however long ago it was written."""
    for second, name in enumerate(("a", "b", NAME)):
        assert kept.cache.write(name, CONTENT)
        os.utime(kept.folder / name, (second, second))
    assert kept.cache.read("a") == CONTENT
    monkeypatch.setattr(cache_module, "_MOST_FILES", 3)
    assert kept.cache.write("c", CONTENT)
    assert {path.name for path in kept.folder.iterdir()} == {NAME, "a", "c"}


def test_so_do_those_beyond_a_size(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(kept.file, (1, 1))
    monkeypatch.setattr(cache_module, "_MOST_BYTES", 2 * len(CONTENT))
    assert kept.cache.write("a", CONTENT)
    assert [path.name for path in kept.folder.iterdir()] == ["a"]


def test_a_file_that_is_too_large_is_not_written(kept: Kept) -> None:
    assert not kept.cache.write("large", bytes(1 << 20))
    assert kept.cache.usage().files == 1


def test_two_that_write_at_once_do_not_meet(kept: Kept) -> None:
    contents = {bytes([writer]) * 50_000 for writer in range(2)}
    writers = [os.fork() or write_often(kept, content) for content in contents]
    while writers:
        assert kept.cache.read(NAME) in {CONTENT, *contents}
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            assert status == 0
            writers.remove(pid)
    assert kept.warned == [] and [path.name for path in kept.folder.iterdir()] == [NAME]


def write_often(kept: Kept, content: bytes) -> int:
    failed = True
    try:
        failed = not all(kept.cache.write(NAME, content) for _ in range(200))
    finally:
        os._exit(failed)


ON_A_DISK = """
import sys
from pidscope.live.cache import Cache
cache = Cache(sys.argv[1], print)
print(cache.write("a", b"small"), cache.write("b", bytes(20_000)), cache.read("a"))
print(cache.usage().files, cache.refusal())
"""


@pytest.mark.parametrize(
    ("disk", "printed"),
    [
        ("size=16k", ["True False b'small'", "1 "]),
        ("ro", ["False False None", "0 Read-only file system"]),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_is_no_error(
    tmp_path: Path, disk: str, printed: list[str]
) -> None:
    mount = f'mount -t tmpfs -o {disk} none {tmp_path} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "-", sys.executable, "-c", ON_A_DISK]
    done = subprocess.run([*command, tmp_path], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().splitlines() == printed


@pytest.mark.parametrize(
    ("uid", "environment", "place"),
    [
        (0, {"HOME": "/root", "XDG_CACHE_HOME": "/elsewhere"}, "/var/cache"),
        (1000, {"HOME": "/home/a"}, "/home/a/.cache"),
        (1000, {"HOME": "/home/a", "XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere"),
        (1000, {"HOME": "/home/a", "XDG_CACHE_HOME": "relative"}, "/home/a/.cache"),
        (1000, {}, None),
    ],
)
def test_where_it_is(uid: int, environment: dict[str, str], place: str | None) -> None:
    assert directory_of(uid, environment) == place
