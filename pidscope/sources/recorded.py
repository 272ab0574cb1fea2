"""The recording of this host, as it is asked about the past."""

from __future__ import annotations

from pidscope.errors import NotKnown
from pidscope.history.ask import Recorded
from pidscope.query.words import Where


def open_recorded(where: Where) -> Recorded:
    """Open what was recorded, for the numbers of one PID namespace.

    Raises:
        NotKnown: nothing was recorded.
    """
    raise NotKnown(f"nothing was recorded on this host that knows numbers of '{where.word}'")
