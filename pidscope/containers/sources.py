"""Where the names of containers were found. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Sources(NamedTuple):
    """The file, socket or command line that has the name of a container, and its first process.

    None: none has.
    """

    name: str | None = None
    first: str | None = None
