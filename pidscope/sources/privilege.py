"""What this user lacks to see all: a hint is worth nothing to a reader that it is not true of."""

from __future__ import annotations

import os

from pidscope.query.place import ROOT

_CAPABILITY = "CAP_SYS_PTRACE is missing, by which root sees all (docker run --cap-add SYS_PTRACE)"
_NAMESPACE = "the root of a user namespace does not see all: run as root of the host"


def own_hint(hint: str) -> str:
    """Return a hint as it holds for this process: root is not told to run as root."""
    if hint != ROOT or os.geteuid() != 0:
        return hint
    from pidscope.host.hiding import may_ptrace  # hardly any root needs it

    return _NAMESPACE if may_ptrace("/proc") else _CAPABILITY
