"""Compiled programs that are kept from run to run, and the probe mode that worked last.

A file is found by the digest of all that its content follows from, its key, and holds the key as
well. For programs that is the kernel's build id, which covers its code and its BTF; the sources in
C and in Python; bcc's version; the mode. Offsets, arguments' places and BTF ids of one kernel are
thus never used on another. A kernel without a build id gets nothing kept.

Which probe mode works may change while the kernel runs. What was remembered holds only as long as
nothing has changed that decides about it, as far as that can be read, and is only tried first.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Union

from pidscope.live.bcc import bcc_version
from pidscope.live.cache import Cache, directory_of
from pidscope.live.compiled import Compiled, from_bytes, to_bytes
from pidscope.live.source_folder import SOURCE_FOLDER
from pidscope.wire.hooks import WAYS

Key = Mapping[str, Union[str, int, bool, None]]

_LAYOUT = 1  # of a file's content
_NOTES = Path("/sys/kernel/notes")
_BTF = Path("/sys/kernel/btf/vmlinux")
_NOTE = struct.Struct("=III")  # Elf_Nhdr: bytes of the name, bytes of the description, type
_NT_GNU_BUILD_ID = 3
# What the constants, the BTF ids and the names of programs come from.
_PYTHON = (
    *("live/compiler.py", "live/offsets.py", "live/supply.py", "live/life_job.py"),
    *("live/count_job.py", "host/btf.py", "wire/hooks.py", "wire/counts.py"),
)
_DECIDES = (
    "/proc/sys/kernel/random/boot_id",
    "/sys/kernel/security/lockdown",
    "/proc/self/attr/current",  # of the LSM
)
_OF_STATUS = ("CapEff:", "Seccomp:")


class KeptPrograms:
    """What is kept in one cache, for the kernel that runs.

    Attributes:
        build_id: of the kernel, in hexadecimal; None: it has none, and nothing is kept.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.build_id = build_id(_bytes(_NOTES))

    def programs(self, mode: str, steps: bool) -> Compiled | None:
        """Return kept programs; None: there are none for this kernel, or none to be trusted."""
        key = self._key(mode, steps)
        name = _name(mode, key)
        data = self.cache.read(name) if self.build_id else None
        if data is None:
            return None
        try:
            return from_bytes(data, key)
        except ValueError as error:
            self.cache.distrust(name, str(error))
            return None

    def keep(self, mode: str, steps: bool, compiled: Compiled) -> None:
        """Keep programs, if that is possible."""
        key = self._key(mode, steps)
        if self.build_id:
            self.cache.write(_name(mode, key), to_bytes(compiled, key))

    def mode(self) -> str | None:
        """Return the probe mode that worked last; None: it is not known."""
        data = self.cache.read(_name("mode", self._circumstances)) if self.build_id else None
        mode = None if data is None else data.decode("ascii", "replace")
        return mode if mode in WAYS else None

    def keep_mode(self, mode: str | None) -> None:
        """Remember, or forget, the probe mode that works."""
        name = _name("mode", self._circumstances)
        if mode is None:
            self.cache.remove(name)
        elif self.build_id:
            self.cache.write(name, mode.encode())

    def refusal(self) -> str:
        """Return why nothing can be kept, ``""`` if it can."""
        return self.cache.refusal() if self.build_id else f"no build id of the kernel in {_NOTES}"

    def _key(self, mode: str, steps: bool) -> Key:
        return {**self._common, "mode": mode, "steps": steps}

    @cached_property
    def _common(self) -> Key:
        return {
            "layout": _LAYOUT,
            "build_id": self.build_id,
            "btf_bytes": _size(_BTF),
            "sources": _digest_of_sources(),
            "bcc": bcc_version(),
            "page_bytes": mmap.PAGESIZE,
        }

    @cached_property
    def _circumstances(self) -> Key:
        words = {
            path: _bytes(Path(path)).decode(errors="replace").strip("\0\n") for path in _DECIDES
        }
        status = _bytes(Path("/proc/self/status")).decode(errors="replace").splitlines()
        of_status = "\n".join(line for line in status if line.startswith(_OF_STATUS))
        return {"layout": _LAYOUT, "build_id": self.build_id, "status": of_status, **words}


def kept_programs(warn: Callable[[str], None] = lambda _: None) -> KeptPrograms | None:
    """Return what the effective user keeps; None: the user has no place for it."""
    path = directory_of(os.geteuid(), os.environ)
    return None if path is None else KeptPrograms(Cache(path, warn))


def build_id(notes: bytes) -> str | None:
    """Return the GNU build id in the bytes of ELF notes, in hexadecimal; None: there is none."""
    at = 0
    while at + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, at)
        begin = at + _NOTE.size + (name_size + 3 & ~3)
        name, description = notes[at + _NOTE.size :][:name_size], notes[begin : begin + size]
        if (name, kind) == (b"GNU\0", _NT_GNU_BUILD_ID) and 0 < size == len(description):
            return description.hex()
        at = begin + (size + 3 & ~3)
    return None


def _name(what: str, key: Key) -> str:
    return f"{what}-{sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]}"


def _digest_of_sources() -> str:
    digest, package = sha256(), Path(__file__).parent.parent
    for path in (*sorted(SOURCE_FOLDER.rglob("*.[ch]")), *(package / name for name in _PYTHON)):
        data = _bytes(path)
        digest.update(f"{path.name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
