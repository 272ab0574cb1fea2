from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pidscope.containers.docker import MAX_BYTES, NoAnswer, NoEngine, ask_names, parse_answer

# A loaded machine is no fault of what is tested.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
LONG_S = 60.0  # no test waits for it
PATIENCE_S = 20.0  # of a peer; whoever waits for it is told another reason than the deadline

Serve = Callable[[Callable[[socket.socket], object]], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Let ``behave`` serve one connection; the path of the socket."""
    path = str(tmp_path / "s")
    with contextlib.ExitStack() as kept:

        def start(behave: Callable[[socket.socket], object]) -> str:
            listener = kept.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            listener.listen()

            def run() -> None:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(PATIENCE_S)
                    behave(connection)

            thread = threading.Thread(target=run)
            thread.start()
            kept.callback(thread.join)
            return path

        yield start


def request(connection: socket.socket) -> bytes:
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        asked += connection.recv(4096)
    return asked


def answering(answer: bytes) -> Callable[[socket.socket], object]:
    def behave(connection: socket.socket) -> None:
        assert request(connection).startswith(b"GET /containers/json HTTP/1.0\r\n")
        connection.sendall(answer)

    return behave


def listed(*entries: Any) -> bytes:
    return HEAD + json.dumps(list(entries)).encode()


def test_names_by_id(serve: Serve) -> None:
    entries = [
        {"Id": ID, "Names": ["/db/alias", "/web"], "Created": 17, "SizeRw": 1.5},
        {"Id": OTHER, "Names": ["postgres_1.a-b"], "Labels": {}},
    ]
    path = serve(answering(listed(*entries)))
    assert ask_names(path, LONG_S) == {ID: "web", OTHER: "postgres_1.a-b"}


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NoEngine):
        ask_names(str(tmp_path / "none"), LONG_S)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
        with pytest.raises(NoEngine):
            ask_names(str(tmp_path / "dead"), LONG_S)
    (tmp_path / "file").touch()
    with pytest.raises(NoEngine):
        ask_names(str(tmp_path / "file"), LONG_S)


def test_however_late_it_is_nobody_is_told_of_who_is_not_there(tmp_path: Path) -> None:
    for late_s in (0.0, -1.0):
        with pytest.raises(NoEngine):
            ask_names(str(tmp_path / "none"), late_s)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / f"there{late_s}"))
            listener.listen()
            with pytest.raises(NoAnswer, match="in time"):
                ask_names(str(tmp_path / f"there{late_s}"), late_s)


@pytest.mark.parametrize("path", ["x" * 200, "a\0b", ""])
def test_what_is_no_path_of_a_socket(path: str) -> None:
    with pytest.raises(NoAnswer):
        ask_names(path, LONG_S)


def test_one_that_accepts_and_says_nothing(serve: Serve) -> None:
    path = serve(lambda connection: (request(connection), connection.recv(1)))
    with pytest.raises(NoAnswer, match="in time"):
        ask_names(path, 0.05)


def test_one_that_never_accepts(tmp_path: Path) -> None:
    """The kernel connects as many as its backlog holds, and answers EAGAIN to the next."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        with pytest.raises(NoAnswer, match="in time"):
            ask_names(path, 0.05)
        with contextlib.ExitStack() as waiting:
            for _ in range(2):
                one = waiting.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    one.connect(path)
            with pytest.raises(NoAnswer):
                ask_names(path, 0.05)


def test_one_that_drips(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time, the whole is not: a second has passed whenever somebody looks.

    The drip ends, so that a fault is another reason and no hang.
    """
    clock = itertools.count()
    monkeypatch.setattr("pidscope.containers.docker.time.monotonic", lambda: float(next(clock)))

    def drip(connection: socket.socket) -> None:
        request(connection)
        for _ in range(100_000):
            connection.sendall(b" ")

    with pytest.raises(NoAnswer, match="in time"):
        ask_names(serve(drip), LONG_S)


def test_one_that_answers_a_hundred_megabytes(serve: Serve) -> None:
    sent = [0]

    def flood(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(HEAD + b"[")
        for _ in range(100):
            connection.sendall(b" " * (1 << 20))
            sent[0] += 1

    with pytest.raises(NoAnswer, match="longer than 8 MiB"):
        ask_names(serve(flood), LONG_S)
    assert sent[0] <= (MAX_BYTES >> 20) + 1  # and what the socket holds


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n[]", "not HTTP"),
        (b"HTTP/1.0 200 OK\r\n", "not HTTP"),
        (HEAD.replace(b"200", b"500") + b"[]", "not HTTP"),
        (HEAD.replace(b"200", b"2000") + b"[]", "not HTTP"),
        (HEAD, "not JSON"),
        (HEAD + b"[", "not JSON"),
        (HEAD + b"\xff\xfe", "not JSON"),
        (HEAD + b"[" * 1_000_000, "not JSON"),
        (HEAD + b'{"message": "no"}', "not a list"),
        (HEAD + b"null", "not a list"),
    ],
)
def test_junk_has_a_reason(serve: Serve, answer: bytes, reason: str) -> None:
    with pytest.raises(NoAnswer, match=reason):
        ask_names(serve(answering(answer)), LONG_S)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"Id": ID},
        {"Id": 7, "Names": ["/web"]},
        {"Id": ID, "Names": None},
        {"Id": ID, "Names": []},
        {"Id": ID, "Names": [7, None, {}]},
        {"Id": ID, "Names": "/web"},
        {"Id": ID[:12], "Names": ["/web"]},
        {"Id": ID.upper(), "Names": ["/web"]},
        {"Id": ID, "Names": ["/\x1b[2Jweb"]},
        {"Id": ID, "Names": ["/web\n"]},
        {"Id": ID, "Names": ["/\ud800"]},
        {"Id": ID, "Names": ["/" + "x" * 256]},
        {"Id": ID, "Names": ["/../etc"]},
    ],
)
def test_an_entry_that_no_engine_makes_names_nobody(entry: Any) -> None:
    good = {"Id": OTHER, "Names": ["/good"]}
    assert parse_answer(listed(entry, good)) == {OTHER: "good"}


def test_a_number_of_a_million_digits_is_not_made() -> None:
    """Python before 3.11 takes a minute for it; later ones raise."""
    entry = b'{"Created": ' + b"9" * 1_000_000 + b', "Id": "' + ID.encode() + b'", "Names": ["/a"]}'
    assert parse_answer(HEAD + b"[" + entry + b"]") == {ID: "a"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ID),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["Id", "Names"]) | st.text(), inner)
    ),
)


@steady
@given(st.one_of(st.binary(), json_values.map(lambda value: HEAD + json.dumps(value).encode())))
@example(HEAD + b"[]")
def test_any_answer_is_names_or_a_reason(answer: bytes) -> None:
    try:
        names = parse_answer(answer)
    except NoAnswer as reason:
        assert str(reason).isprintable()
        return
    for number, name in names.items():
        assert len(number) == 64 and name.isprintable() and name.isascii()
