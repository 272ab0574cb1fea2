"""Why something cannot be measured here."""

from __future__ import annotations


class Unable(Exception):
    """This host does not allow it, or lacks what it needs."""
