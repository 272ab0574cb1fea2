"""Rules for cgroup paths from this host's and this user's files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pidscope.containers.rules import Rules


def own_rules() -> tuple[Rules | None, list[str]]:
    """Return the rules for cgroup paths with those of this host's or user's files, if any is there.

    With a note for each that does not count.
    """
    uid, home = os.geteuid(), os.environ.get("HOME")
    if not any(map(os.path.lexists, rule_files(uid, home))):
        return None, []
    from pidscope.containers.own_rules import load  # hardly any host has one

    loaded = load(rule_files(uid, home), uid)
    return loaded.rules, [f"no rule for containers: {line}" for line in loaded.faults]


def rule_files(uid: int, home: str | None) -> list[str]:
    """Return where rules for cgroup paths may be: of the host, and of a user other than root."""
    return ["/etc/pidscope/rules", *([f"{home}/.config/pidscope/rules"] if uid and home else [])]
