"""What is kept for which kernel, and which probe mode is tried first."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pidscope.live import kept_programs as kept_module
from pidscope.live.cache import Cache
from pidscope.live.compiled import Code, Compiled, Map
from pidscope.live.kept_programs import KeptPrograms, build_id

COMPILED = Compiled([Map("lost", 2, 4, 8, 1, 1024)], {"tp_a": Code(bytes(16), 7, [])}, {})


def note(name: bytes, kind: int, description: bytes) -> bytes:
    """An ELF note, padded to words."""
    parts = (name.ljust(len(name) + 3 & ~3, b"\0"), description.ljust(len(description) + 3 & ~3))
    return struct.pack("=III", len(name), len(description), kind) + b"".join(parts)


OURS = note(b"Linux\0", 257, b"abcde") + note(b"GNU\0", 3, b"\xab\xcd" * 10)


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        (OURS, "abcd" * 10),
        (note(b"GNU\0", 1, b"1234"), None),  # NT_GNU_ABI_TAG
        (note(b"GNV\0", 3, b"1234"), None),
        (note(b"GNU\0", 3, b""), None),
        (OURS[:-1], None),
        (b"", None),
        (b"\xff" * 40, None),
    ],
)
def test_the_build_id_of_a_kernel(notes: bytes, found: str | None) -> None:
    assert build_id(notes) == found


def test_this_kernel_has_one() -> None:
    """Observed on 6.18."""
    assert build_id(Path("/sys/kernel/notes").read_bytes())


class Host:
    """A kernel's notes, and a cache; each `kept` is another process's."""

    def __init__(self, patch: pytest.MonkeyPatch, base: Path) -> None:
        self.notes, self.lockdown = base / "notes", base / "lockdown"
        self.notes.write_bytes(OURS)
        self.base = base
        self.warned: list[str] = []
        patch.setattr(kept_module, "_NOTES", self.notes)
        patch.setattr(kept_module, "_DECIDES", (str(self.lockdown),))
        self.patch = patch

    @property
    def kept(self) -> KeptPrograms:
        return KeptPrograms(Cache(str(self.base), self.warned.append))

    @property
    def files(self) -> list[Path]:
        return sorted(self.base.glob("pidscope/programs/*"))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    return Host(monkeypatch, tmp_path)


def test_what_was_kept_is_found_by_the_next_start(host: Host) -> None:
    assert host.kept.programs("fentry", False) is None
    host.kept.keep("fentry", False, COMPILED)
    assert host.kept.programs("fentry", False) == COMPILED
    assert host.kept.programs("fentry", True) is None
    assert host.kept.programs("kprobe", False) is None
    assert host.warned == []


def test_another_kernel_does_not_get_it(host: Host) -> None:
    host.kept.keep("fentry", False, COMPILED)
    host.notes.write_bytes(note(b"GNU\0", 3, b"\xab\xce" * 10))
    assert host.kept.programs("fentry", False) is None and host.warned == []


@pytest.mark.parametrize("changed", ["bcc_version", "_digest_of_sources", "_size"])
def test_nor_does_it_outlive_what_it_was_made_of(host: Host, changed: str) -> None:
    host.kept.keep("fentry", False, COMPILED)
    host.patch.setattr(kept_module, changed, lambda *_: "another")
    assert host.kept.programs("fentry", False) is None and host.warned == []


def test_another_kernels_file_under_the_name_of_ours_is_not_used(host: Host) -> None:
    host.kept.keep("fentry", False, COMPILED)
    (ours,) = host.files
    host.notes.write_bytes(note(b"GNU\0", 3, b"\xab\xce" * 10))
    host.kept.keep("fentry", False, COMPILED)
    (theirs,) = [path for path in host.files if path != ours]
    host.notes.write_bytes(OURS)
    theirs.rename(ours)
    assert host.kept.programs("fentry", False) is None
    (line,) = host.warned
    assert str(ours) in line and "compiled for another kernel" in line


def test_a_kernel_without_a_build_id_keeps_nothing(host: Host) -> None:
    host.notes.unlink()
    host.kept.keep("fentry", False, COMPILED)
    host.kept.keep_mode("fentry")
    assert host.files == [] and host.kept.mode() is None
    assert host.kept.programs("fentry", False) is None
    assert "no build id" in host.kept.refusal()


def test_a_mode_is_remembered_as_long_as_nothing_changes(host: Host) -> None:
    host.kept.keep_mode("kprobe")
    assert host.kept.mode() == "kprobe"
    host.lockdown.write_text("none integrity [confidentiality]\n")
    assert host.kept.mode() is None
    host.lockdown.unlink()
    host.kept.keep_mode(None)
    assert host.kept.mode() is None


def test_what_is_no_mode_is_not_believed(host: Host) -> None:
    host.kept.keep_mode("../../etc")
    assert host.kept.mode() is None
