"""For whom a task counts: RLIMIT_NPROC and user namespaces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pidscope.cli import main
from pidscope.host.proc import ProcFs
from pidscope.limits import read as reading
from pidscope.limits.numbers import has_field
from pidscope.limits.read import User
from pidscope.limits.user_namespaces import PROC_USER_INIT_INO, Charged, Made, charges
from tests.unit.commands.asked import Answer, needs_root, own_uid, take_for_initial, valid
from tests.unit.forker import FORK_UNTIL_REFUSED

HOST, OUTER, INNER = 1, 2, 3
MADE = {INNER: Made(OUTER, 0), OUTER: Made(HOST, 1000)}


def test_a_task_counts_outwards_for_those_who_made_its_namespaces() -> None:
    inside = Charged(INNER, 7)
    found, whole = charges(inside, MADE, HOST)
    assert found == [inside, Charged(OUTER, 0), Charged(HOST, 1000)] and whole
    assert charges(Charged(HOST, 7), {}, HOST) == ([Charged(HOST, 7)], True)


def test_a_chain_that_cannot_be_read_is_said_to_be_cut() -> None:
    inside = Charged(INNER, 7)
    found, whole = charges(inside, {INNER: Made(OUTER, 0)}, HOST)
    assert found == [inside, Charged(OUTER, 0)] and not whole
    _, whole = charges(inside, {INNER: Made(INNER, 0)}, HOST)  # a circle, of inums given out again
    assert not whole


# Becomes the user, and forks one child and, in a user namespace, three more; all wait for the end.
FAMILY = """
import os, subprocess, sys
uid = int(sys.argv[1])
os.setgroups([]); os.setgid(uid); os.setuid(uid)
script = "echo; read x; :"
inner = "cat & cat & echo; read x"
children = [
    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for command in (["sh", "-c", script], ["unshare", "-U", "sh", "-c", script + " " + script])
]
for child in children:
    child.stdout.readline()
print(children[1].pid, flush=True)
sys.stdin.read()
for child in children:
    child.kill()
    child.wait()
"""


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int, int]]:
    """A user's process, with a child, and one in a user namespace of its own; its uid and these.

    All other processes are root's, whether they can be read or not, and this namespace is taken for
    the initial one: from a container no count is certain.
    """
    real = reading.user_of

    def user_of(procfs: ProcFs, number: int) -> User | None:
        user = real(procfs, number)
        if user is None or user.user_ns is None:
            return User(0, 1, 0, PROC_USER_INIT_INO)
        return user

    monkeypatch.setattr(reading, "user_of", user_of)
    take_for_initial(monkeypatch)
    uid = own_uid()
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY, str(uid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8"},
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        inside = process.stdout.readline()
        yield uid, process.pid, int(inside)
        process.stdin.close()


def nproc(capsys: pytest.CaptureFixture[str], number: int) -> list[Answer]:
    assert main(["limits", "-J", "--in", f"pid:{number}"]) == 0
    bounds = valid(capsys.readouterr().out)["bounds"]
    return [it for it in bounds if it["name"] == "RLIMIT_NPROC"]


@needs_root
def test_tasks_in_a_user_namespace_count_for_its_maker(
    family: tuple[int, int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Observed on 6.18: 9 tasks were charged, and USED was 5, as root, without a word."""
    uid, process, inside = family
    [bound] = nproc(capsys, process)
    assert (bound["of"], bound["used"], bound["used_at_least"]) == (f"user {uid}", 3, False)
    overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
    own, outside = sorted(nproc(capsys, inside), key=lambda it: it["of"].endswith("outside"))
    # No uid is mapped there, and to the host it is the same user.
    assert own["of"] in (f"user {uid}", f"user {overflow}")
    assert (own["used"], own["used_at_least"]) == (1, False)
    assert (outside["of"], outside["used"]) == (f"user {uid} outside", 3)
    assert (outside["limit"], outside["room"], outside["room_least"]) == (None, None, 0)
    assert main(["limits", "--in", f"pid:{inside}"]) == 0
    said = " ".join(capsys.readouterr().err.split("\npidscope: "))
    assert "no file shows the limit" in said
    assert main(["limits", "-J", "--in", f"pid:{inside}"]) == 0
    notes = valid(capsys.readouterr().out)["notes"]  # what stands on standard error beside a table
    assert "pidscope: " + " ".join(notes) == said.strip()


@needs_root
def test_what_cannot_be_read_is_at_least(
    family: tuple[int, int, int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kernel that does not show the namespaces around one (before 4.9, or a nested reader)."""
    _, process, _ = family
    monkeypatch.setattr("pidscope.limits.user_namespaces._parent", lambda fd: None)
    monkeypatch.setattr(reading, "has_field", lambda struct, field: False)
    [bound] = nproc(capsys, process)
    assert (bound["used"], bound["used_at_least"]) == (2, True)
    assert main(["limits", "--in", f"pid:{process}"]) == 0
    [row] = [it for it in capsys.readouterr().out.splitlines() if it.startswith("RLIMIT_NPROC")]
    assert " >=2 " in row


@needs_root
@pytest.mark.parametrize(("without", "used", "sure"), [(True, 3, True), (None, 3, True)])
def test_before_user_namespaces_counted_a_task_counts_for_its_user(
    without: bool | None,
    used: int,
    sure: bool,
    family: tuple[int, int, int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``user_struct.processes``, up to 5.13: here both ways give the same."""
    _, process, _ = family
    monkeypatch.setattr(reading, "has_field", lambda struct, field: without)
    [bound] = nproc(capsys, process)
    assert (bound["used"], bound["used_at_least"]) == (used, not sure)


def test_this_kernel_has_the_field_or_not() -> None:
    if has_field("pid_namespace", "level"):
        assert has_field("user_struct", "processes") in (True, False)
    assert ProcFs().numbers()


# As FAMILY, with a limit of 7: on request it forks until the kernel refuses, and says how often.
FORKER = (
    """
import errno, os, resource, signal, subprocess, sys
uid = int(sys.argv[1])
read_end, write_end = os.pipe()
resource.setrlimit(resource.RLIMIT_NPROC, (7, 7))
os.setgroups([]); os.setgid(uid); os.setuid(uid)
inside = subprocess.Popen(
    ["unshare", "-U", "sh", "-c", f"cat <&{read_end} & cat <&{read_end} & echo; wait"],
    pass_fds=[read_end], stdout=subprocess.PIPE,
)
inside.stdout.readline()
"""
    + FORK_UNTIL_REFUSED
    + """
os.close(write_end)
inside.wait()
"""
)


@needs_root
@pytest.mark.skipif(has_field("user_struct", "processes") is not False, reason="before 5.14")
def test_the_kernel_counts_them_likewise(
    family: tuple[int, int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """So many more forks as the answer has, and then that errno, of this very kernel."""
    uid = own_uid()
    with subprocess.Popen(
        [sys.executable, "-c", FORKER, str(uid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        [bound] = nproc(capsys, process.pid)
        assert (bound["limit"], bound["used"], bound["room"]) == (7, 4, 3)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline().split() == ["3", "EAGAIN"]
