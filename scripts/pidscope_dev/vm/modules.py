"""Find kernel modules and what they depend on, in an unpacked kernel package.

The packages ship no modules.dep (depmod writes it at installation), so dependencies are read from
the ``.modinfo`` section of each module: NUL-terminated ``key=value`` strings.
"""

from __future__ import annotations

import lzma
import re
import subprocess
from pathlib import Path

from .errors import VmError

SUFFIXES = (".ko", ".ko.xz", ".ko.zst")
_DEPENDS = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")


def index(directory: Path) -> dict[str, Path]:
    """Return the path of each module below a /lib/modules/RELEASE directory, by module name."""
    found = {}
    for path in directory.rglob("*.ko*"):
        name, dot, rest = path.name.partition(".")
        if dot + rest in SUFFIXES:
            found[normalised(name)] = path
    return found


def normalised(name: str) -> str:
    """Return a module name as the kernel spells it (virtio-rng.ko is module virtio_rng)."""
    return name.replace("-", "_")


def contents(path: Path) -> bytes:
    """Return a module's ELF image, decompressed. Raises VmError when that is not possible."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix != ".zst":
        return path.read_bytes()
    try:
        done = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise VmError(f"cannot decompress {path.name}: {error}") from error
    return done.stdout


def depends(image: bytes) -> list[str]:
    """Return the names of the modules that a module needs, from its ELF image."""
    match = _DEPENDS.search(image)
    names = match.group(1).decode().split(",") if match else []
    return [normalised(name) for name in names if name]


def load_order(wanted: list[str], available: dict[str, Path]) -> list[tuple[str, bytes]]:
    """Return name and image of the wanted modules and their dependencies, in order of loading.

    A wanted module without a file is taken as built into the kernel. That differs from release to
    release; if it is wrong, mounting the root fails.
    """
    ordered: dict[str, bytes] = {}

    def visit(name: str) -> None:
        if name in ordered or name not in available:
            return
        image = contents(available[name])
        for dependency in depends(image):
            visit(dependency)
        ordered[name] = image

    for name in wanted:
        visit(normalised(name))
    return list(ordered.items())
