"""What doctor prints of the kept programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pidscope.live.cache import Cache
from pidscope.live.checks import _kept
from pidscope.live.kept_programs import KeptPrograms


@pytest.fixture
def kept(tmp_path: Path) -> KeptPrograms:
    return KeptPrograms(Cache(str(tmp_path), lambda line: None))


def test_where_they_are_and_how_many(kept: KeptPrograms) -> None:
    place = kept.cache.path
    assert _kept(kept)[1:] == (True, f"0 files, 0 bytes in {place}", "")
    kept.keep_mode("fentry")
    assert _kept(kept)[1:] == (True, f"1 files, 38 bytes in {place}", "")


def test_why_nothing_can_be_kept(kept: KeptPrograms) -> None:
    kept.keep_mode("fentry")
    Path(kept.cache.path).chmod(0o750)
    check = _kept(kept)
    why = "it is open to others (mode 0750)"
    assert (check.ok, check.detail) == (False, f"{kept.cache.path}: {why}")
    assert "each start" in check.hint
    assert not _kept(None).ok and "--no-cache" in _kept(None).detail
