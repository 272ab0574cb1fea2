"""What is raised where the kernel refuses a program, and what to look at then."""

from __future__ import annotations

import errno
import os

from pidscope.errors import HostError

REFUSED_HINT = (
    "look at kernel lockdown (/sys/kernel/security/lockdown), the LSM, the capabilities of this "
    "container, kernel.unprivileged_bpf_disabled and CONFIG_KPROBES"
)


class Refused(HostError):
    """The kernel does not let one program be loaded or attached."""


class ModeRefused(Refused):
    """Nor any other program of this probe mode: so it was found with the smallest there is."""


def explain(error: OSError) -> str:
    """Return why the kernel refused: ``EPERM (Operation not permitted)``."""
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    return f"{name} ({os.strerror(number)})" if number else str(error)
