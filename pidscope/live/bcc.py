"""Finding the distribution's bcc, and no other package of that name.

bcc comes with the distribution, beside ``libbcc.so.0``; PyPI's package of that name is an
unrelated one. So it is loaded from its own path, without putting a system directory on sys.path,
where other packages of the system would shadow ours.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pidscope.errors import HostError

_PLACES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3*/site-packages")
_HINT = "install it: apt install python3-bpfcc (Debian, Ubuntu), dnf install python3-bcc (Fedora)"


def load_bcc() -> Any:
    """Import bcc.

    Raises:
        HostError: it is not installed, is the wrong one, or cannot be loaded.
    """
    loaded = sys.modules.get("bcc")
    if loaded is not None and hasattr(loaded, "BPF"):
        return loaded
    path = _find()
    if path is not None:
        return _load(path)
    import importlib.util  # hardly ever

    if importlib.util.find_spec("bcc") is not None:
        raise HostError("the bcc found here is an unrelated package from PyPI", _HINT)
    raise HostError("bcc is not installed", _HINT)


def bcc_version() -> str:
    """Return what the bcc that would be imported says of itself, without importing it; or ""."""
    path = _find()
    try:
        return "" if path is None else (path / "version.py").read_text()
    except (OSError, ValueError):
        return ""


def _find() -> Path | None:
    places = [place for pattern in _PLACES for place in sorted(Path("/").glob(pattern[1:]))]
    for place in places:
        if (place / "bcc" / "libbcc.py").is_file():
            return place / "bcc"
    return None


def _load(path: Path) -> ModuleType:
    import importlib.util  # only what is not kept yet

    spec = importlib.util.spec_from_file_location(
        "bcc", path / "__init__.py", submodule_search_locations=[str(path)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    shadowed = sys.modules.get("bcc")
    sys.modules["bcc"] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        del sys.modules["bcc"]
        if shadowed is not None:
            sys.modules["bcc"] = shadowed
        raise HostError(f"bcc in {path} cannot be loaded: {error}", _HINT) from error
    return module
