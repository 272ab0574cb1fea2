"""One output stream of CMD on its way from the guest to the caller."""

from __future__ import annotations

import os

# A pipe that poll calls writable takes PIPE_BUF bytes without blocking, however slow its reader is.
PIECE = 4096


class Stream:
    """Carries bytes to one of the caller's descriptors, up to the token that ends the stream."""

    def __init__(self, token: bytes, target: int) -> None:
        """Carry to the descriptor ``target``."""
        self.target = target
        self._token = token
        self._pending = b""
        self._complete = False
        self._over = False

    @property
    def done(self) -> bool:
        """Whether the token has come and everything before it is written."""
        return self._complete and not self._pending

    @property
    def ready(self) -> bytes:
        """What can be written now: all but what may be a beginning of the token."""
        return self._pending[: len(self._pending) - self._held()]

    def feed(self, data: bytes) -> None:
        """Take what came from the guest; nothing means that no more will come."""
        self._pending += data
        if self._pending.endswith(self._token):
            self._pending = self._pending[: -len(self._token)]
            self._complete = True
        self._over = self._over or not data

    def write(self) -> None:
        """Write one piece of what is ready. Raises OSError, such as BrokenPipeError."""
        try:
            written = os.write(self.target, self.ready[:PIECE])
        except BlockingIOError:
            return
        self._pending = self._pending[written:]

    def _held(self) -> int:
        if self._complete or self._over:
            return 0
        lengths = range(min(len(self._token) - 1, len(self._pending)), 0, -1)
        return next((n for n in lengths if self._pending.endswith(self._token[:n])), 0)
