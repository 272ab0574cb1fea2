"""The language: its grammar, every refusal with its line and reason, and text both ways."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.errors import ScenarioError, UsageError
from pidscope.escape import escape
from pidscope.model.features import Features
from pidscope.model.fork import CLONE_PARENT, CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.simulated.calls import FLAGS, SIGNALS, SYSCTLS, is_name
from pidscope.simulated.play import Outcome
from pidscope.simulated.scenario import parse_bytes, parse_scenario, parse_step, read_scenario
from pidscope.simulated.steps import Step
from tests.unit.played import play

BOX = "init: clone NEWPID -> box\n"
COMMENTED = "# one\r\n\r\n  init:  fork   -> a  # two\r\n"


def resolve(text: str, call: str) -> tuple[str, tuple[object, ...]]:
    """The system call of the step ``call``, after those of ``text``."""
    _, name, args = play(text).resolve(parse_step(call))
    return name, args


# What is read


def test_a_step_has_its_parts() -> None:
    step = parse_step("sh: clone NEWPID|PARENT set_tid 1,7 bad_pidfd = EFAULT", 3)
    args = ("NEWPID|PARENT", "set_tid", "1,7", "bad_pidfd")
    assert step == Step(3, "sh", "clone", args, "", "EFAULT")


def test_comments_blanks_and_line_ends_of_dos() -> None:
    scenario = parse_scenario(COMMENTED + "a: comm a#b\n", "x")
    assert [str(step) for step in scenario.steps] == ["init: fork -> a", "a: comm a#b"]
    assert [step.line for step in scenario.steps] == [3, 4]


def test_repetition_numbers_the_names() -> None:
    scenario = parse_scenario("3 * init: fork -> w\nw2: getpid\n2 * init: getpid\n", "x")
    assert [step.name for step in scenario.steps] == ["w1", "w2", "w3", "", "", ""]


@pytest.mark.parametrize("line", ["cgroup a", "cgroup b in a pids.max 0", "sleep 0.25"])
def test_a_directive_is_a_step_without_an_actor(line: str) -> None:
    step = parse_step(line)
    assert (step.actor, str(step)) == ("", line)


REFUSED = {
    "fork": "'fork': expected 'ACTOR: CALL', 'cgroup' or 'sleep'",
    "init:": "what does init do?",
    "init: -> a": "no call ''",
    "2bad: fork": "'2bad' cannot be the name of a task",
    "EPERM: fork": "'EPERM' cannot be the name of a task",
    "init: spoon": "no call 'spoon' (clone, comm, exec,",
    "init: setsns init": "no call 'setsns' (setns)",
    "init: fork 1": "fork takes no arguments",
    "init: setpgid 1 2 3": "setpgid takes at most two arguments",
    "init: wait 1 2": "wait takes at most one argument",
    "init: kill": "kill needs a number, a name or -name",
    "init: kill 1 HUP": "kill: 'HUP' is not a signal (KILL, TERM or a number; none that stops)",
    "init: kill 1 19": "kill: '19' is not a signal (KILL, TERM or a number; none that stops)",
    "init: kill --init": "kill: '--init' is not a number, a name or -name",
    "init: kill 2147483648": "kill: '2147483648' is not a number, a name or -name",
    "init: exit 256": "exit: '256' is not an exit code (0 to 255)",
    "init: exit \u0661": "exit: '\u0661' is not an exit code (0 to 255)",
    "init: exec": "exec needs a comm (1 to 15 bytes, the unprintable ones as \\xNN)",
    "init: exec sixteen-letters-": "exec: 'sixteen-letters-' is not a comm",
    "init: comm a\\x00b": "comm: 'a\\\\x00b' is not a comm",
    "init: comm a\\b": "comm: 'a\\\\b' is not a comm",
    "init: comm \x1b[1m": "comm: '\\x1b[1m' is not a comm",
    "init: subreaper yes": "subreaper: 'yes' is not on or off",
    "init: unshare": "unshare needs NEWPID, and takes nothing else",
    "init: unshare NEWNS": "unshare needs NEWPID, and takes nothing else",
    "init: setns init kids": "setns: 'kids' is not 'children'",
    "init: sysctl pid_min 3": "sysctl: 'pid_min' is not a sysctl (pid_max, ns_last_pid,",
    "init: sysctl pid_max x": "sysctl: 'x' is not a number of 32 bits",
    "init: sysctl max_pid_namespaces": "sysctl max_pid_namespaces needs a number of 32 bits",
    "init: clone NEWPDI": "clone: no flag 'NEWPDI' (NEWPID, THREAD, PARENT, AUTOREAP)",
    "init: clone NEWPID|": "clone: no flag '' (NEWPID, THREAD, PARENT, AUTOREAP)",
    "init: clone set_tid": "clone: set_tid '' is not a number of 32 bits",
    "init: clone set_tid 1,x": "clone: set_tid 'x' is not a number of 32 bits",
    "init: clone bad_pidfd THREAD": "clone: 'THREAD' does not belong here",
    "init: fork ->": "expected one word behind '->', at the end",
    "init: fork -> a b": "expected one word behind '->', at the end",
    "init: fork = 3 -> a": "expected one word behind '=', at the end",
    "init: fork = 3 = 4": "expected one word behind '=', at the end",
    "init: fork -> 1a": "'1a' cannot be the name of a task",
    "init: setsid -> a": "setsid makes no task that could be a",
    "init: fork -> a = EAGAIN": "fork that gives EAGAIN makes no a",
    "init: exit = 0": "exit does not return, so it gives nothing",
    "init: fork = 3%": "'3%' is not a number, a name, an error or '?'",
    "init: fork = ??": "'??' is not a number, a name, an error or '?'",
    "x * init: fork": "'x' * is not 1 to 10000 times",
    "0 * init: fork": "'0' * is not 1 to 10000 times",
    "10001 * init: fork": "'10001' * is not 1 to 10000 times",
    "2 *": "'': expected 'ACTOR: CALL', 'cgroup' or 'sleep'",
    "2 * sleep 1": "only calls can be repeated",
    "cgroup": "'' cannot be the name of a cgroup",
    "cgroup a/b": "'a/b' cannot be the name of a cgroup",
    "cgroup a in": "'' cannot be the name of a cgroup",
    "cgroup a pids.max": "pids.max needs a number, 0 or more",
    "cgroup a pids.max -1": "pids.max needs a number, 0 or more",
    "cgroup a b": "cgroup: 'b' does not belong here",
    "sleep": "sleep needs seconds, like 10 or 0.25",
    "sleep -1": "sleep needs seconds, like 10 or 0.25",
    "sleep 1e9": "sleep needs seconds, like 10 or 0.25",
    # names
    "worker: fork": "no task named 'worker'",
    "init: kill worker": "no task named 'worker'",
    "init: setpgid init -worker": "no task named 'worker'",
    "init: setns worker children": "no task named 'worker'",
    "init: getppid = worker": "no task named 'worker'",
    "init: join web": "no cgroup named 'web'",
    "cgroup a in web": "no cgroup named 'web'",
    "cgroup twice": "there is a cgroup 'twice' already",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused_with_line_and_reason(line: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        parse_scenario(f"# web\ncgroup twice\n{line}\ninit: setsid\n", "web.scenario")
    assert str(raised.value).startswith(f"web.scenario:3: {REFUSED[line]}")
    assert raised.value.exit_code == 2


LONG_NAME = b"a" * 255
LONGEST_LINE = b"init: getpid ".ljust(4096, b"#")
# Half a million numbers, read again for each of the repetitions: it would be played for hours.
SLOW = b"10000 * init: clone set_tid " + b"1," * 499_999 + b"1 = EINVAL\n"
REFUSED_TEXTS = {
    "a comment where a comm is missing": (
        COMMENTED.encode() + b"a: comm #no\n",
        "x:4: comm needs a comm",
    ),
    "a last repetition with too long a name": (
        b"2 * init: fork -> " + LONG_NAME,
        "x:1: 'aaa.*…' cannot be the name",
    ),
    "a line that would be played for hours": (
        b"init: setsid\n" + SLOW,
        "x:2: the line has more than 4096 characters",
    ),
    "a line that is one longer than the longest": (
        LONGEST_LINE + b"#",
        "x:1: the line has more than",
    ),
    "too many steps": (b"10000 * init: getpid\n" * 11, "x:11: more than 100000 steps"),
    "no UTF-8": (b"init: setsid\ninit: \xff\n", "x:2: not UTF-8: byte 0xff"),
    "a program": (b"\x7fELF\x02\x01\x01\0\0\0", r"x:1: '\\x7fELF"),
    "too many bytes": (b"#" * 999_999 + b"\n" + b"#" * 999_999, "x:2: more than 1 MiB"),
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED_TEXTS.values(), ids=REFUSED_TEXTS)
def test_a_text_that_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(ScenarioError, match=f"^{reason}"):
        parse_bytes(raw, "x")


@pytest.mark.parametrize("raw", [b"init: fork -> " + LONG_NAME, LONGEST_LINE], ids=["name", "line"])
def test_what_is_just_not_too_long(raw: bytes) -> None:
    assert len(parse_bytes(raw, "x").steps) == 1


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "\x1bweb.scenario"
    path.write_text("init: setsid\ninit: oops\n")
    with pytest.raises(ScenarioError, match=r"/\\x1bweb\.scenario:2: no call 'oops'"):
        read_scenario(path)
    path.write_text("\ufeffinit: setsid\n")
    assert read_scenario(path).steps == (Step(1, "init", "setsid"),)
    with pytest.raises(UsageError, match=r"cannot read .*: Is a directory"):
        read_scenario(tmp_path)


# Text both ways

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(is_name)
numbers = st.integers(-(2**31), 2**31 - 1).map(str)
whos = st.one_of(numbers, names, names.map("-{}".format))
comms = st.binary(min_size=1, max_size=15).filter(lambda raw: 0 not in raw)
words_of_comms = comms.map(
    lambda raw: "".join(
        rf"\x{byte:02x}" if chr(byte) in " #=->\\" or byte > 126 or byte < 33 else chr(byte)
        for byte in raw
    )
)


def words(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """The first of these parts, as many as there may be."""
    return st.tuples(*parts).flatmap(
        lambda chosen: st.integers(0, len(chosen)).map(lambda length: chosen[:length])
    )


clones = st.builds(
    lambda flags, wanted, is_bad: (
        *(["|".join(flags)] if flags else []),
        *(["set_tid", ",".join(wanted)] if wanted else []),
        *(["bad_pidfd"] if is_bad else []),
    ),
    st.lists(st.sampled_from(FLAGS), max_size=3),
    st.lists(numbers, max_size=4),
    st.booleans(),
)
calls = st.one_of(
    st.tuples(st.sampled_from(["fork", "vfork", "setsid", "getpid", "gettid"]), st.just(())),
    st.tuples(st.just("clone"), clones),
    st.tuples(st.just("unshare"), st.just(("NEWPID",))),
    st.tuples(st.just("setns"), st.tuples(names)),
    st.tuples(st.just("setns"), st.tuples(names, st.just("children"))),
    st.tuples(st.sampled_from(["exec", "comm"]), st.tuples(words_of_comms)),
    st.tuples(st.sampled_from(["wait", "getpgid", "getsid"]), words(whos)),
    st.tuples(st.just("setpgid"), words(whos, whos)),
    st.tuples(st.just("kill"), st.tuples(whos, st.sampled_from([*SIGNALS, "0", "64"]))),
    st.tuples(st.just("subreaper"), st.tuples(st.sampled_from(["on", "off"]))),
    st.tuples(st.just("sysctl"), st.tuples(st.sampled_from(SYSCTLS), numbers)),
    st.tuples(st.just("join"), st.tuples(names)),
)
results = st.one_of(
    st.just(""), st.just("?"), numbers, names, st.sampled_from(sorted(errno.errorcode.values()))
)
steps = st.builds(
    lambda line, actor, call, result: Step(line, actor, *call, "", result),
    st.integers(1, 10**6),
    names,
    calls,
    results,
)


@given(steps)
def test_round_trip(step: Step) -> None:
    assert parse_step(str(step), step.line) == step


@given(st.sampled_from(["fork", "vfork", "clone"]), names, st.sampled_from(["", "?", "12", "a"]))
def test_round_trip_of_names(call: str, name: str, result: str) -> None:
    step = Step(1, "sh", call, (), name, result)
    assert parse_step(str(step)) == step


@given(comms)
def test_any_comm_can_be_written(comm: bytes) -> None:
    text = escape(comm).replace(" ", r"\x20").replace("#", r"\x23")
    text = "".join(rf"\x{ord(c):02x}" if c in "=->" else c for c in text)
    if not any(c.isspace() for c in text):
        assert resolve("", f"init: comm {text}") == ("set_comm", (comm,))


WORDS = """
init: kthreadd: init kthreadd fork clone NEWPID THREAD set_tid bad_pidfd unshare -> = ? * 2 0 -1
a b a: b: EPERM kill exit wait cgroup in pids.max sleep 1 setns children sysctl ns_last_pid
pid_max exec comm # \\x
"""
fragments = st.sampled_from([*WORDS.split(), "\n", "\ninit:", "-> a\na:"])


@given(st.one_of(st.text(), st.lists(fragments).map(" ".join)))
def test_any_text_is_played_or_refused(text: str) -> None:
    lines = text.count("\n") + 1
    try:
        play(text)
    except ScenarioError as refusal:
        assert 1 <= refusal.line_number <= lines
        assert str(refusal).isprintable()


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        parse_bytes(raw, "x")
    except ScenarioError as refusal:
        assert 1 <= refusal.line_number <= raw.count(b"\n") + 1
        assert str(refusal).isprintable()


# What is played

WRONG = {
    "init: setsid\ninit: setsid": "2: setsid gave EPERM",
    "init: setsid = 5": "1: setsid gave 1, expected 5",
    "init: fork -> a\na: setsid = EPERM": "2: setsid gave 3, expected EPERM",
    "init: getppid = init": "1: getppid gave 0, expected init (1 there)",
    BOX + "box: getppid = init": "2: getppid gave 0, expected init (without a number there)",
    BOX + "box: kill init 0": "2: init has no number there",
    BOX + "box: exit\nbox: fork": "3: box cannot act: it exited",
    BOX + "init: setns box\nbox: exit\ninit: wait = ?\ninit: setns box": (
        "5: box is released and lives nowhere"
    ),
    BOX + "box: exit\ninit: setns box children": "3: box shows no namespace for its children",
    "init: vfork -> sh\ninit: getpid": "2: init cannot act: it waits for its vfork child",
    BOX + "box: setns init = EINVAL\nbox: fork -> a\na: fork = ENOMEM": "4: fork gave 3, expected",
    "init: clone THREAD bad_pidfd = ?\ninit: clone bad_pidfd -> a": "2: clone gave EFAULT",
    "init: clone bad_pidfd -> a = ?\na: getpid": "2: no task named 'a'",
    "init: exit": "1: Attempted to kill init!",
    "kthreadd: setsid": "1: kthreadd is a kernel thread: it does not setsid",
    "sleep 999999999\n" * 10: "10: the clock ends",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_when_played(text: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        play(text)
    assert str(raised.value).startswith(f"web.scenario:{WRONG[text]}")
    assert raised.value.exit_code == 2


def test_without_a_result_a_call_must_succeed_unless_it_may_give_anything() -> None:
    play("init: setsid = ?\ninit: setsid = ?\ninit: setsid = EPERM")


@pytest.mark.parametrize(
    ("call", "name", "args"),
    [
        ("box: fork", "fork", ()),
        ("box: clone", "clone", (0, (), False)),
        ("box: clone THREAD|PARENT", "clone", (CLONE_THREAD | CLONE_PARENT, (), False)),
        ("box: clone NEWPID|NEWPID set_tid 1,7", "clone", (CLONE_NEWPID, (1, 7), False)),
        ("box: clone set_tid -5 bad_pidfd", "clone", (0, (-5,), True)),
        ("box: unshare NEWPID", "unshare", (CLONE_NEWPID,)),
        ("box: exec a\\x20b", "execve", (b"a b",)),
        ("box: comm é", "set_comm", ("é".encode(),)),
        ("box: exit", "exit", (0,)),
        ("box: exit_group 3", "exit_group", (3,)),
        ("box: wait", "wait4", (-1,)),
        ("box: wait a", "wait4", (2,)),
        ("init: wait -a", "wait4", (-4,)),
        ("box: kill a", "kill", (2, 15)),
        ("box: kill -a KILL", "kill", (-2, 9)),
        ("box: kill 0 0", "kill", (0, 0)),
        ("box: setpgid", "setpgid", (0, 0)),
        ("box: setpgid a", "setpgid", (2, 0)),
        ("box: setpgid a box", "setpgid", (2, 1)),
        ("init: setpgid a box", "setpgid", (4, 3)),
        ("box: getpgid", "getpgid", (0,)),
        ("box: getsid thread", "getsid", (3,)),
        ("box: subreaper on", "set_child_subreaper", (1,)),
        ("box: subreaper off", "set_child_subreaper", (0,)),
        ("box: sysctl pid_max", "read_pid_max", ()),
        ("box: sysctl ns_last_pid 7", "write_ns_last_pid", (7,)),
        ("box: sysctl max_pid_namespaces 0", "write_max_pid_namespaces", (0,)),
    ],
)
def test_resolved(call: str, name: str, args: tuple[object, ...]) -> None:
    assert resolve(BOX + "box: fork -> a\na: clone THREAD -> thread\n", call) == (name, args)


def test_a_namespace_is_that_of_a_task_or_of_its_children() -> None:
    played = play(BOX + "init: fork -> sh\nsh: unshare NEWPID\n")
    box, sh = played.names["box"], played.names["sh"]
    assert box.thread_pid is not None and sh.nsproxy is not None
    assert played.resolve(parse_step("init: setns box")).args == (box.thread_pid.numbers[1].ns,)
    call = played.resolve(parse_step("init: setns sh children"))
    assert call.args == (sh.nsproxy.pid_ns_for_children,)


def test_before_7_1_a_namespace_cannot_be_entered_before_it_has_an_init() -> None:
    text = "init: unshare NEWPID\ninit: setns init children\n"
    play(text)
    with pytest.raises(ScenarioError, match=r":2: init shows no namespace for its children"):
        play(text, Features(entered_before_init=False))


REAPED = BOX + "box: fork -> a\na: exit\nbox: wait = a\n"
# The leader was given the thread's number before it was released: exchange_tids().
TAKEN_OVER = BOX + "box: fork -> a\na: clone THREAD -> t\nt: exec sh\n"


@pytest.mark.parametrize(
    ("before", "call", "nr"),
    [
        (REAPED, "box: kill a", 2),
        (REAPED, "init: kill a", 4),
        (TAKEN_OVER, "box: kill a", 3),
        (TAKEN_OVER, "box: kill t", 2),
    ],
)
def test_who_is_released_has_the_last_number_it_had(before: str, call: str, nr: int) -> None:
    assert resolve(before, call) == ("kill", (nr, 15))


def test_outcomes() -> None:
    played = play(BOX + "box: fork -> a\n")
    steps = [
        "box: vfork -> b",
        "b: exit",
        "box: wait 2 = 0",
        "box: wait 77 = ?",
        "a: kill a KILL = ?",
    ]
    outcomes = [played.perform(parse_step(step)) for step in steps]
    refused = Outcome(None, errno.ECHILD)
    assert outcomes == [Outcome(3), Outcome(None), Outcome(0), refused, Outcome(None)]
    assert str(refused) == "ECHILD"


def test_sleep_moves_the_clock() -> None:
    assert play("sleep 1.25").kernel.now_ns == Kernel().now_ns + 1_250_000_000


def test_cgroups_hang_together_and_have_numbers_of_their_own() -> None:
    played = play("cgroup a pids.max 5\ncgroup b in a\ninit: fork -> sh\nsh: join b\n")
    b = played.cast.cgroups["b"]
    assert played.names["sh"].cgroup is b
    assert b.parent is not None and b.parent.parent is played.kernel.cgroup_root
    assert (b.parent.pids_max, b.pids_max) == (5, None)
    assert len({b.id, b.parent.id, b.parent.parent.id}) == 3
