"""The cache: no other user writes it, nothing half done is in it."""

import os
from pathlib import Path

import pytest
from pidscope_dev.vm import cache
from pidscope_dev.vm.errors import VmError


@pytest.mark.parametrize(
    ("user", "base", "place"),
    [
        (0, "/elsewhere", "/var/cache/pidscope"),
        (1000, "/elsewhere", "/elsewhere/pidscope"),
        (1000, "relative", "/home/someone/.cache/pidscope"),
        (1000, "", "/home/someone/.cache/pidscope"),
    ],
)
def test_it_lies_outside_the_checkout(monkeypatch, user, base, place):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert cache.location() == Path(place)


def test_a_file_in_its_place_is_told(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(VmError, match="cannot use the cache directory"):
        cache.opened(tmp_path / "cache")


def test_a_cache_that_others_can_write_is_refused(tmp_path):
    place = cache.opened(tmp_path / "new" / "cache")
    place.chmod(0o777)
    with pytest.raises(VmError, match="written by others"):
        cache.opened(place)


def test_a_link_is_refused_as_cache(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(VmError, match="not a directory"):
        cache.opened(tmp_path / "link")


def test_an_unfinished_scratch_directory_goes(tmp_path):
    with pytest.raises(RuntimeError), cache.scratch(tmp_path) as part:
        (part / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_goes_with_the_next_lock(tmp_path):
    (tmp_path / "part-left" / "deep").mkdir(parents=True)
    with cache.locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_finished_one_is_published_whole(tmp_path):
    with cache.scratch(tmp_path) as part:
        (part / "file").touch()
        cache.publish(part, tmp_path / "kernel")
    assert [path.name for path in tmp_path.iterdir()] == ["kernel"]
    assert (tmp_path / "kernel" / "file").is_file()


def test_links_and_files_are_replaced_in_one_step(tmp_path):
    for target in ("a", "b"):
        cache.link(tmp_path / "links" / "chosen", tmp_path / target, tmp_path)
        cache.store(tmp_path / "files" / "name", target.encode())
    assert (tmp_path / "links" / "chosen").readlink() == tmp_path / "b"
    assert (tmp_path / "files" / "name").read_bytes() == b"b"
    assert sum(1 for path in tmp_path.rglob("*") if not path.is_dir()) == 2
