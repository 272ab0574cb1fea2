"""Carrying a guest's output, with the test in the guest's place."""

import contextlib
import itertools
import os
import selectors
import socket
from unittest import mock

import pytest
from pidscope_dev.vm import qemu, session
from pidscope_dev.vm.errors import BootError, TimeLimitError, VmError
from pidscope_dev.vm.stream import Stream

TOKEN = b"0123456789abcdef" * 2
LIMITS = session.Limits(10)


class Guest:
    """The guest's ends of a session's channels, and the session at the others."""

    def __init__(self, stack):
        pairs = {name: socket.socketpair() for name in {*qemu.CHANNELS, *session.LOGS}}
        for end in itertools.chain(*pairs.values()):
            stack.enter_context(end)
        self.caller = {name: pair[0] for name, pair in pairs.items()}
        self._guest = {name: pair[1] for name, pair in pairs.items()}

    def write(self, **output):
        for channel, data in output.items():
            self._guest[channel].sendall(data)

    def close(self):
        for end in self._guest.values():
            end.close()

    def session(self, limits=LIMITS):
        return session.Session(self.caller, TOKEN, limits)


@pytest.fixture
def guest():
    with contextlib.ExitStack() as stack:
        yield Guest(stack)


def test_output_and_status_come_back(guest, capfdbinary):
    guest.write(status=b"up\nstatus 7\n", out=b"one\r\n\0\xff" + TOKEN, err=b"two" + TOKEN)
    assert guest.session().run() == 7
    assert capfdbinary.readouterr() == (b"one\r\n\0\xff", b"two")


def lost(guest, **output):
    """How a session fails whose guest ends after this output."""
    guest.write(**output)
    guest.close()
    with pytest.raises(VmError) as raised:
        guest.session().run()
    return raised.value


def test_a_status_without_all_output_is_not_the_end(guest, capfdbinary):
    error = lost(guest, status=b"up\nstatus 0\n", out=b"half" + TOKEN[:5])
    assert "lost while CMD ran" in str(error)
    assert capfdbinary.readouterr().out == b"half" + TOKEN[:5]


def test_a_panic_is_named(guest):
    error = lost(guest, console=b"x\r\n[1.0] Kernel panic - not syncing: why\r\n[1.1] end\r\n")
    assert isinstance(error, BootError)
    first, *rest = str(error).splitlines()
    assert first.endswith("lost before CMD was started: Kernel panic - not syncing: why")
    assert rest[-1] == "  console: [1.1] end"
    assert error.exit_status == 125


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            {"status": b"up\n", "console": b"Kernel panic - not syncing: sysrq\r\n"},
            "lost while CMD ran",
        ),
        ({"console": b"a power cut\r\n"}, "lost before CMD was started"),
        ({"qemu": b"qemu: no memory\n"}, "qemu: no memory"),
    ],
    ids=["a panic while CMD runs", "no panic", "what qemu prints"],
)
def test_only_a_panic_before_cmd_is_a_matter_of_booting(guest, output, reason):
    error = lost(guest, **output)
    assert reason in str(error)
    assert not isinstance(error, BootError)


@pytest.mark.parametrize(("panics", "boots"), [(0, 1), (1, 2), (2, 2)])
def test_a_panic_at_boot_is_reported_and_booted_once_more(monkeypatch, capsys, panics, boots):
    panic = BootError("lost before CMD was started: Kernel panic\n  console: the end")
    once = mock.Mock(side_effect=[*[panic] * panics, 7])
    monkeypatch.setattr(session, "_run", once)
    if panics == 2:
        with pytest.raises(BootError):
            session.run("machine", b"initramfs", "token", LIMITS)
    else:
        assert session.run("machine", b"initramfs", "token", LIMITS) == 7
    assert once.call_args_list == [mock.call("machine", b"initramfs", "token", LIMITS)] * boots
    note = "scripts/vm: lost before CMD was started: Kernel panic; booting once more\n"
    assert capsys.readouterr().err == (note if panics else "")


def test_what_else_goes_wrong_is_not_tried_again(monkeypatch):
    once = mock.Mock(side_effect=VmError("lost while CMD ran"))
    monkeypatch.setattr(session, "_run", once)
    with pytest.raises(VmError):
        session.run("machine", b"initramfs", "token", LIMITS)
    assert once.call_count == 1


def test_the_time_limit_is_its_own_error(guest):
    guest.write(status=b"up\n")
    with pytest.raises(TimeLimitError, match=r"time limit of 0.05 s passed while CMD ran"):
        guest.session(session.Limits(0.05)).run()


class Clock:
    """A guest's own clock: the guest writes at given times, and nothing waits for real."""

    def __init__(self, monkeypatch, guest, writes):
        self.now = 0.0
        self._guest = guest
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
            self._guest.write(**{channel: data})
        else:
            self.now += timeout


def test_a_slow_guest_that_progresses_is_not_idle(guest, monkeypatch, capfdbinary):
    dots = [(99.0 * n, "out", b".") for n in range(1, 30)]
    end = [(2960.0, "out", TOKEN), (2960.0, "err", TOKEN), (2960.0, "status", b"status 5\n")]
    clock = Clock(monkeypatch, guest, [(90.0, "status", b"up\n"), *dots, *end])
    assert guest.session(session.Limits(3000, idle=100)).run() == 5
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
    up = [] if last[1] == "console" else [(60.0, "status", b"up\n")]
    clock = Clock(monkeypatch, guest, [*up, last])
    with pytest.raises(TimeLimitError, match=passed) as raised:
        guest.session(session.Limits(total, idle=100)).run()
    assert clock.now == ended
    assert raised.value.exit_status == 124


def test_a_reader_that_is_gone_ends_it(guest):
    reading, writing = os.pipe()
    os.close(reading)
    running = guest.session()
    guest.write(out=b"data")
    with open(writing, "wb", buffering=0) as gone, pytest.raises(BrokenPipeError):
        running._streams["out"].target = gone.fileno()
        running.run()


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
