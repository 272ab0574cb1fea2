"""The user whom systemd has given the cgroup that a container is in. Pure.

systemd delegates ``user@N.service`` to user N, who may then make any cgroup below it, also one
whose name is that of another's container. So what stands below it is a claim of that user's.
"""

from __future__ import annotations

import re

from pidscope.containers.container import Chain

_USER_MANAGER = re.compile(r"user@([0-9]{1,10})\.service")


def owning_user(chain: Chain) -> int | None:
    """Return the user below whose manager the innermost of a chain is; None: root's, or no user's.

    In a container the user is one of that container's.
    """
    for around in chain[:-1]:
        match = _USER_MANAGER.fullmatch(around.unit or "") if around.is_service else None
        if match is not None:
            return int(match[1]) or None
    return None
