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
from hypothesis import example, given
from hypothesis import strategies as st

from pidscope.containers.docker import MAX_BYTES, NoAnswer, NoEngine, ask_names, parse_answer

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
LONG_S = 60.0  # no test waits for it
PATIENCE_S = 20.0  # of a peer; a reader that waits for it gets another reason than the deadline
IN_TIME = "did not answer in time"

Serve = Callable[[Callable[[socket.socket], object]], str]


@contextlib.contextmanager
def listening(path: str, backlog: int = 128) -> Iterator[socket.socket]:
    """A socket on which connections can be accepted."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(backlog)
        yield listener


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function: ``behave`` serves one connection, at the path that is returned."""
    path = str(tmp_path / "s")
    with contextlib.ExitStack() as kept:

        def start(behave: Callable[[socket.socket], object]) -> str:
            listener = kept.enter_context(listening(path))

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


def expect_no_answer(path: str, reason: str | None, timeout_s: float = LONG_S) -> None:
    """The engine gives no names, for that reason; None: any."""
    with pytest.raises(NoAnswer, match=reason):
        ask_names(path, timeout_s)


def expect_no_engine(path: str, timeout_s: float = LONG_S) -> None:
    with pytest.raises(NoEngine):
        ask_names(path, timeout_s)


def test_names_by_id(serve: Serve) -> None:
    entries = [
        {"Id": ID, "Names": ["/db/alias", "/web"], "Created": 17, "SizeRw": 1.5},
        {"Id": OTHER, "Names": ["postgres_1.a-b"], "Labels": {}},
    ]
    path = serve(answering(listed(*entries)))
    assert ask_names(path, LONG_S) == {ID: "web", OTHER: "postgres_1.a-b"}


def test_no_process_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
        (tmp_path / "file").touch()
        for name in ("none", "dead", "file"):
            expect_no_engine(str(tmp_path / name))


@pytest.mark.parametrize("late_s", [0.0, -1.0])
def test_after_the_deadline_too_an_engine_that_is_not_there_is_kept_apart(
    tmp_path: Path, late_s: float
) -> None:
    expect_no_engine(str(tmp_path / "none"), late_s)
    with listening(str(tmp_path / "there")):
        expect_no_answer(str(tmp_path / "there"), IN_TIME, late_s)


@pytest.mark.parametrize("path", ["x" * 200, "a\0b", ""])
def test_what_is_no_path_of_a_socket(path: str) -> None:
    expect_no_answer(path, None)


def test_one_that_accepts_and_sends_nothing(serve: Serve) -> None:
    path = serve(lambda connection: (request(connection), connection.recv(1)))
    expect_no_answer(path, IN_TIME, 0.05)


def test_one_that_never_accepts(tmp_path: Path) -> None:
    """The kernel connects as many as its backlog holds, and answers EAGAIN to the next."""
    path = str(tmp_path / "s")
    with listening(path, backlog=0), contextlib.ExitStack() as waiting:
        expect_no_answer(path, IN_TIME, 0.05)
        for _ in range(2):
            one = waiting.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(path)
        expect_no_answer(path, None, 0.05)


def test_one_that_drips(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time, the whole is not: the clock goes on by a second at each look.

    The drip ends, so that a fault is another reason and no hang.
    """
    clock = itertools.count()
    monkeypatch.setattr("pidscope.containers.docker.time.monotonic", lambda: float(next(clock)))

    def drip(connection: socket.socket) -> None:
        request(connection)
        for _ in range(100_000):
            connection.sendall(b" ")

    expect_no_answer(serve(drip), IN_TIME)


def test_one_that_answers_a_hundred_megabytes(serve: Serve) -> None:
    sent = [0]

    def flood(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(HEAD + b"[")
        for _ in range(100):
            connection.sendall(b" " * (1 << 20))
            sent[0] += 1

    expect_no_answer(serve(flood), "longer than 8 MiB")
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
    expect_no_answer(serve(answering(answer)), reason)


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
def test_an_entry_that_no_engine_makes_names_no_container(entry: Any) -> None:
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


@given(st.one_of(st.binary(), json_values.map(lambda value: HEAD + json.dumps(value).encode())))
@example(HEAD + b"[]")
def test_any_answer_is_names_or_a_reason(answer: bytes) -> None:
    try:
        names = parse_answer(answer)
    except NoAnswer as reason:
        assert str(reason).isprintable()
        return
    assert all(len(number) == 64 for number in names)
    assert all(name.isprintable() and name.isascii() for name in names.values())
