"""Scenario files: what is read can be written and read again, and its play ends or is refused."""

from __future__ import annotations

from pidscope.errors import ScenarioError
from pidscope.events import Event
from pidscope.model.kernel import Kernel
from pidscope.simulated.calls import CALLS, FLAGS, SYSCTLS
from pidscope.simulated.play import Play
from pidscope.simulated.scenario import Scenario, parse_bytes, parse_scenario
from pidscope.wire.decode import decode
from pidscope.wire.encode import encode
from pidscope_dev.fuzz.target import Target

_WRITTEN_MAX = 100
_PLAYED_MAX = 60  # steps, of those that one input has: they are what takes the time
_REPAIRS_MAX = 4


def check(raw: bytes) -> bool:
    """Read the bytes as a file of the user's, and play it."""
    lines = raw.count(b"\n") + 1
    try:
        scenario = parse_bytes(raw, "file")
    except ScenarioError as refusal:
        _check_refusal(refusal, lines)
        return False
    _check_written(scenario)
    try:
        _play(scenario)
    except ScenarioError as refusal:
        _check_refusal(refusal, lines)
    return bool(scenario.steps)


def _check_refusal(refusal: ScenarioError, lines: int) -> None:
    assert 1 <= refusal.line_number <= lines
    assert str(refusal).isprintable()
    assert len(str(refusal)) < 400, "too long for one line"


def _check_written(scenario: Scenario) -> None:
    """The text of the steps is a scenario of the same steps."""
    steps = scenario.steps[:_WRITTEN_MAX]
    text = "\n".join(map(str, steps))
    again = parse_scenario(text, "text").steps
    assert [step._replace(line=0) for step in again] == [step._replace(line=0) for step in steps]


def _play(scenario: Scenario) -> None:
    kernel = Kernel()
    kernel.listener = _check_event
    play = Play(kernel, scenario.steps[:_PLAYED_MAX], scenario.source)
    while play.step():
        pass


def _check_event(event: Event) -> None:
    """Every event of a play can be encoded."""
    assert decode(encode(event)).event == event


def repair(raw: bytes) -> bytes:
    """Leave out the lines that are refused, up to a few."""
    for _ in range(_REPAIRS_MAX):
        try:
            parse_bytes(raw, "file")
        except ScenarioError as refusal:
            lines = raw.split(b"\n")
            del lines[refusal.line_number - 1]
            raw = b"\n".join(lines)
        else:
            break
    return raw


_BOX = b"init: clone NEWPID -> box\nbox: setsid = 1\nbox: exec tini\n"
SCENARIO = Target(
    "scenario",
    check,
    seeds=(
        b"# a comment\n\n" + _BOX + b"3 * box: fork -> w\nw2: exit 3\nbox: wait = w2 # 3\n",
        b"cgroup web pids.max 3\ncgroup db in web\ninit: join db\ninit: fork\ninit: fork = ?\n",
        _BOX + b"init: setns box\ninit: fork -> in\nin: getppid = 0\nbox: kill -1 KILL\n",
        b"init: clone THREAD -> t\nt: exec fifteen\\x20letter\nt: gettid = 1\n",
        b"init: vfork -> v\nv: exit\n",
        _BOX + b"box: sysctl ns_last_pid 40\nbox: clone set_tid 7,9 -> c\nc: setpgid c c = ?\n",
        b"sleep 1.5\nkthreadd: fork -> kworker\nkworker: comm kworker/0:0\ninit: subreaper on\n",
        b"init: unshare NEWPID\ninit: fork -> one\none: fork -> two\none: exit_group 0\n",
        b"init: clone PARENT|THREAD bad_pidfd = EFAULT\n",
    ),
    words=tuple(
        word.encode()
        for word in (
            *(f" {call} " for call in CALLS),
            *(f" {word} " for word in (*FLAGS, *SYSCTLS, "set_tid", "bad_pidfd", "children")),
            *(f" {word} " for word in ("->", "=", "?", "KILL", "TERM", "EPERM", "ESRCH", "-1")),
            *(
                "\ninit: ",
                "\nbox: ",
                "\nkthreadd: ",
                "9 * ",
                "10001 * ",
                "\ncgroup a ",
                " in ",
                "\nsleep ",
            ),
            *(" pids.max ", "#", "\\", "\r\n", "\u2028", "\x1c", "\x85", "\ufeff", "\u0661", "|"),
        )
    ),
    repair=repair,
    max_bytes=640,
)
