"""Carrying a guest's output, with the test in the guest's place."""

import contextlib
import os
import selectors
import socket

import pytest
from pidscope_dev.vm import qemu, session
from pidscope_dev.vm.errors import BootError, TimeLimitError, VmError
from pidscope_dev.vm.stream import Stream

TOKEN = b"0123456789abcdef" * 2
LIMITS = session.Limits(10)


@pytest.fixture
def guest():
    """The guest's ends of a session's channels, and the session."""
    pairs = {name: socket.socketpair() for name in {*qemu.CHANNELS, *session.LOGS}}
    with contextlib.ExitStack() as stack:
        for pair in pairs.values():
            for end in pair:
                stack.enter_context(end)
        ours = {name: pair[0] for name, pair in pairs.items()}
        yield {name: pair[1] for name, pair in pairs.items()}, ours


def close(guest):
    for end in guest.values():
        end.close()


def test_output_and_status_come_back(guest, capfdbinary):
    theirs, ours = guest
    theirs["status"].sendall(b"up\nstatus 7\n")
    theirs["out"].sendall(b"one\r\n\0\xff" + TOKEN)
    theirs["err"].sendall(b"two" + TOKEN)
    assert session.Session(ours, TOKEN, LIMITS).run() == 7
    assert capfdbinary.readouterr() == (b"one\r\n\0\xff", b"two")


def test_a_status_without_all_output_is_not_the_end(guest, capfdbinary):
    theirs, ours = guest
    theirs["status"].sendall(b"up\nstatus 0\n")
    theirs["out"].sendall(b"half" + TOKEN[:5])
    close(theirs)
    with pytest.raises(VmError, match="lost while CMD ran"):
        session.Session(ours, TOKEN, LIMITS).run()
    assert capfdbinary.readouterr().out == b"half" + TOKEN[:5]


def test_a_panic_is_named(guest):
    theirs, ours = guest
    theirs["console"].sendall(b"x\r\n[1.0] Kernel panic - not syncing: why\r\n[1.1] end\r\n")
    close(theirs)
    with pytest.raises(BootError) as raised:
        session.Session(ours, TOKEN, LIMITS).run()
    first, *rest = str(raised.value).splitlines()
    assert first.endswith("lost before CMD was started: Kernel panic - not syncing: why")
    assert rest[-1] == "  console: [1.1] end"
    assert raised.value.exit_status == 125


@pytest.mark.parametrize(
    ("status", "console"),
    [(b"up\n", b"Kernel panic - not syncing: sysrq\r\n"), (b"", b"a power cut\r\n")],
)
def test_only_a_panic_before_cmd_is_a_matter_of_booting(guest, status, console):
    theirs, ours = guest
    theirs["status"].sendall(status)
    theirs["console"].sendall(console)
    close(theirs)
    with pytest.raises(VmError) as raised:
        session.Session(ours, TOKEN, LIMITS).run()
    assert not isinstance(raised.value, BootError)


@pytest.mark.parametrize(("panics", "boots"), [(0, 1), (1, 2), (2, 2)])
def test_a_panic_at_boot_is_told_and_booted_once_more(monkeypatch, capsys, panics, boots):
    calls = []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) <= panics:
            raise BootError("lost before CMD was started: Kernel panic\n  console: the end")
        return 7

    monkeypatch.setattr(session, "_run", once)
    if panics == 2:
        with pytest.raises(BootError):
            session.run("machine", b"initramfs", "token", LIMITS)
    else:
        assert session.run("machine", b"initramfs", "token", LIMITS) == 7
    assert calls == [("machine", b"initramfs", "token", LIMITS)] * boots
    said = capsys.readouterr().err
    told = "scripts/vm: lost before CMD was started: Kernel panic; booting once more\n"
    assert said == (told if panics else "")


def test_what_else_goes_wrong_is_not_tried_again(monkeypatch):
    def once(*_arguments):
        calls.append(1)
        raise VmError("lost while CMD ran")

    calls = []
    monkeypatch.setattr(session, "_run", once)
    with pytest.raises(VmError):
        session.run("machine", b"initramfs", "token", LIMITS)
    assert len(calls) == 1


def test_what_qemu_says_is_told(guest):
    theirs, ours = guest
    theirs["qemu"].sendall(b"qemu: no memory\n")
    close(theirs)
    with pytest.raises(VmError, match="qemu: no memory"):
        session.Session(ours, TOKEN, LIMITS).run()


def test_the_time_limit_is_its_own_error(guest):
    theirs, ours = guest
    theirs["status"].sendall(b"up\n")
    with pytest.raises(TimeLimitError, match=r"time limit of 0.05 s passed while CMD ran"):
        session.Session(ours, TOKEN, session.Limits(0.05)).run()


class Guest:
    """A guest with its own clock: it writes at given times, and nothing waits for real."""

    def __init__(self, monkeypatch, ends, writes):
        self.now = 0.0
        self._ends = ends
        self._writes = list(writes)  # (time, channel, bytes), in order
        real_select = selectors.PollSelector.select

        def select(selector, timeout):
            return real_select(selector, 0) or self.wait(timeout) or real_select(selector, 0)

        monkeypatch.setattr(selectors.PollSelector, "select", select)
        monkeypatch.setattr(session.time, "monotonic", lambda: self.now)

    def wait(self, timeout):
        """Go on to the guest's next output, or to the end of the timeout if that is earlier."""
        if self._writes and self._writes[0][0] <= self.now + timeout:
            self.now, channel, data = self._writes.pop(0)
            self._ends[channel].sendall(data)
        else:
            self.now += timeout


def test_a_slow_guest_that_progresses_is_not_idle(guest, monkeypatch, capfdbinary):
    theirs, ours = guest
    dots = [(99.0 * n, "out", b".") for n in range(1, 30)]
    end = [(2960.0, "out", TOKEN), (2960.0, "err", TOKEN), (2960.0, "status", b"status 5\n")]
    clock = Guest(monkeypatch, theirs, [(90.0, "status", b"up\n"), *dots, *end])
    assert session.Session(ours, TOKEN, session.Limits(3000, idle=100)).run() == 5
    assert capfdbinary.readouterr().out == b"." * 29
    assert clock.now == 2960.0


@pytest.mark.parametrize(
    ("last", "total", "ended", "passed"),
    [
        ((150.0, "out", b"."), 3000, 250.0, "idle limit of 100 s passed without output while CMD"),
        ((150.0, "err", b"x"), 3000, 250.0, "idle limit of 100 s passed without output while CMD"),
        ((90.0, "console", b"y"), 3000, 100.0, "idle limit of 100 s passed without output before"),
        ((150.0, "out", b"."), 200, 200.0, "time limit of 200 s passed while CMD ran"),
    ],
)
def test_a_guest_is_ended_at_the_limit_that_is_nearer(
    guest, monkeypatch, last, total, ended, passed
):
    theirs, ours = guest
    up = [] if last[1] == "console" else [(60.0, "status", b"up\n")]
    clock = Guest(monkeypatch, theirs, [*up, last])
    with pytest.raises(TimeLimitError, match=passed) as raised:
        session.Session(ours, TOKEN, session.Limits(total, idle=100)).run()
    assert clock.now == ended
    assert raised.value.exit_status == 124


def test_a_reader_that_is_gone_ends_it(guest):
    theirs, ours = guest
    reading, writing = os.pipe()
    os.close(reading)
    running = session.Session(ours, TOKEN, LIMITS)
    running._streams["out"].target = writing
    theirs["out"].sendall(b"data")
    try:
        with pytest.raises(BrokenPipeError):
            running.run()
    finally:
        os.close(writing)


@pytest.mark.parametrize("cut", range(len(TOKEN) + 1))
def test_the_token_is_found_however_it_is_cut(cut):
    stream = Stream(TOKEN, 1)
    stream.feed(b"data" + TOKEN[:cut])
    assert stream.ready == b"data"
    if cut < len(TOKEN):
        stream.feed(TOKEN[cut:])
    assert stream.ready == b"data"
    assert not stream.done


def test_a_beginning_of_the_token_in_the_data_goes_out():
    stream = Stream(TOKEN, 1)
    stream.feed(TOKEN[:9])
    assert stream.ready == b""
    stream.feed(b"!")
    assert stream.ready == TOKEN[:9] + b"!"
