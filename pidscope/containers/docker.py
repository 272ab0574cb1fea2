"""What Docker or Podman says of its containers, read over the engine's socket.

The process that listens there may be dead, slow or hostile, and must not delay a listing: there is
one deadline for connecting, asking and the whole answer, however slowly it arrives, and a limit to
its size; names that the engines themselves would refuse are ignored. Of a socket that a user made
the process must be that user's (SO_PEERCRED: who listened). The request is HTTP/1.0: the
answer then ends with the connection and is not chunked, so nothing else of HTTP has to be parsed.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from typing import Any, NamedTuple

TIMEOUT_S = 0.15
_LEAST_S = 0.001
MAX_BYTES = 8 << 20  # an engine sends 2 to 4 KiB for each container
_ALL = "/containers/json"
_PODS = "/v4.0.0/libpod/containers/json"  # Podman 4 and 5; Docker knows no such path
_STATUS = re.compile(rb"HTTP/1\.[01] 200 ")
_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"/?([a-zA-Z0-9][a-zA-Z0-9_.-]{0,254})")
_MAX_PID = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h


class NoAnswer(Exception):
    """The engine gave no names; the text is the reason."""


class NoEngine(NoAnswer):
    """No process listens there."""


class Engine(NamedTuple):
    """Where an engine listens, and the only user whose process may answer; None: any."""

    path: str
    uid: int | None = None


def ask_names(engine: Engine | str, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Return the name of each running container of an engine (or its socket's path), by id.

    Raises:
        NoEngine: no process listens there. NoAnswer: no list of containers came in time.
    """
    return parse_answer(_ask(engine, _ALL, timeout_s))


def ask_stopped(engine: Engine | str, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Return the name of each container that does not run, by id; raises as `ask_names`."""
    body = _body(_ask(engine, f"{_ALL}?all=1", timeout_s))
    running = {"running", "paused", "restarting"}
    stopped = [it for it in body if isinstance(it, dict) and it.get("State") not in running]
    return dict(filter(None, map(_named, stopped)))


def ask_pods(engine: Engine | str, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Return the name of the pod of each running container in one, by id; raises as `ask_names`.

    Podman's own list has them, the one that it has in common with Docker has not.
    """
    found = {}
    for it in _body(_ask(engine, _PODS, timeout_s)):
        named = _named(it)
        pod = it.get("PodName") if named else None
        if named and isinstance(pod, str) and _NAME.fullmatch(pod):
            found[named[0]] = pod
    return found


def ask_pid(engine: Engine | str, container_id: str, timeout_s: float = TIMEOUT_S) -> int | None:
    """Return State.Pid of a container, None if the engine says none; raises as `ask_names`.

    It is the PID of its first process, in the engine's own PID namespace.
    """
    if not _ID.fullmatch(container_id):
        return None
    return parse_pid(_ask(engine, f"/containers/{container_id}/json", timeout_s))


def parse_answer(answer: bytes) -> dict[str, str]:
    """Return the names by id in an HTTP answer; raise NoAnswer for anything else."""
    return dict(filter(None, map(_named, _body(answer))))


def parse_pid(answer: bytes) -> int | None:
    """Return State.Pid in an HTTP answer; raise NoAnswer for what is no JSON."""
    found = _json(answer)
    state = found.get("State") if isinstance(found, dict) else None
    pid = state.get("Pid") if isinstance(state, dict) else None
    return pid if isinstance(pid, int) and 0 < pid <= _MAX_PID else None


def _body(answer: bytes) -> list[Any]:
    listed = _json(answer)
    if not isinstance(listed, list):
        raise NoAnswer("its answer is not a list")
    return listed


def _json(answer: bytes) -> Any:
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank or not _STATUS.match(head):
        raise NoAnswer("its answer is not HTTP, or an error")
    try:
        # Making a number of a million digits would take long.
        return json.loads(body, parse_int=_small, parse_float=len, parse_constant=len)
    except (ValueError, RecursionError) as error:
        raise NoAnswer("its answer is not JSON") from error


def _small(digits: str) -> int:
    """Return a number that may be a PID; -1: it is none."""
    return int(digits) if len(digits) <= len(str(_MAX_PID)) else -1


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


def _ask(engine: Engine | str, what: str, timeout_s: float) -> bytes:
    engine = Engine(engine) if isinstance(engine, str) else engine
    request = f"GET {what} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    return _exchange(engine, request, time.monotonic() + timeout_s)


def _exchange(engine: Engine, request: bytes, deadline: float) -> bytes:
    """Ask, and return all that was answered until the other side closed."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            # Even after the deadline: connect() fails at once if no process listens.
            connection.settimeout(max(_LEAST_S, deadline - time.monotonic()))
            connection.connect(engine.path)
            _expect_peer(connection, engine.uid)
            connection.settimeout(_left(deadline))
            connection.sendall(request)
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


def _expect_peer(connection: socket.socket, uid: int | None) -> None:
    """Raise NoAnswer if another user than ``uid`` listens (``struct ucred``)."""
    if uid is not None:
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        if struct.unpack("3i", credentials)[1] != uid:
            raise NoAnswer("another user's process listens there")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left
