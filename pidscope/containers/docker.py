"""The names that Docker or Podman gives its containers, read over the engine's socket.

The process that listens there may be dead, slow or hostile, and must not delay a listing: there is
one deadline for connecting, asking and the whole answer, however slowly it arrives, and a limit to
its size; names that the engines themselves would refuse are ignored. The request is HTTP/1.0: the
answer then ends with the connection and is not chunked, so nothing else of HTTP has to be parsed.
"""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any

TIMEOUT_S = 0.15
_LEAST_S = 0.001
MAX_BYTES = 8 << 20  # an engine sends 2 to 4 KiB for each container
_REQUEST = b"GET /containers/json HTTP/1.0\r\nHost: localhost\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] 200 ")
_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"/?([a-zA-Z0-9][a-zA-Z0-9_.-]{0,254})")


class NoAnswer(Exception):
    """The engine gave no names; the text is the reason."""


class NoEngine(NoAnswer):
    """No process listens there."""


def ask_names(path: str, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Return the name of each running container of the engine that listens at ``path``, by id.

    Raises:
        NoEngine: no process listens there. NoAnswer: no list of containers came in time.
    """
    return parse_answer(_exchange(path, time.monotonic() + timeout_s))


def parse_answer(answer: bytes) -> dict[str, str]:
    """Return the names by id in an HTTP answer; raise NoAnswer for anything else."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank or not _STATUS.match(head):
        raise NoAnswer("its answer is not HTTP, or an error")
    try:
        # Numbers are of no use here, and making one of a million digits would take long.
        listed = json.loads(body, parse_int=len, parse_float=len, parse_constant=len)
    except (ValueError, RecursionError) as error:
        raise NoAnswer("its answer is not JSON") from error
    if not isinstance(listed, list):
        raise NoAnswer("its answer is not a list")
    return dict(filter(None, map(_named, listed)))


def _named(entry: Any) -> tuple[str, str] | None:
    """Return id and name; None: it has none that an engine gives."""
    number, names = (
        (entry.get("Id"), entry.get("Names")) if isinstance(entry, dict) else (None, None)
    )
    if not isinstance(number, str) or not _ID.fullmatch(number) or not isinstance(names, list):
        return None
    # The other names are those by which linked containers know this one: /other/alias.
    matches = (_NAME.fullmatch(name) for name in names if isinstance(name, str))
    return next(((number, match[1]) for match in matches if match), None)


def _exchange(path: str, deadline: float) -> bytes:
    """Ask, and return all that was answered until the other side closed."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            # Even after the deadline: connect() fails at once if no process listens.
            connection.settimeout(max(_LEAST_S, deadline - time.monotonic()))
            connection.connect(path)
            connection.settimeout(_left(deadline))
            connection.sendall(_REQUEST)
            answer = bytearray()
            while len(answer) <= MAX_BYTES:
                connection.settimeout(_left(deadline))
                part = connection.recv(1 << 16)
                if not part:
                    return bytes(answer)
                answer += part
    except socket.timeout as error:
        raise NoAnswer("it did not answer in time") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoEngine("no process listens there") from error
    except (OSError, ValueError) as error:  # ValueError: no path of a socket
        raise NoAnswer(getattr(error, "strerror", None) or str(error)) from error
    raise NoAnswer(f"its answer is longer than {MAX_BYTES >> 20} MiB")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left
