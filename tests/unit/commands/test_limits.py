from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.cli import main
from pidscope.commands.limits import _hints
from pidscope.errors import ProcError
from pidscope.host.cgroup import (
    CgroupMount,
    Hierarchy,
    directories,
    parse_amount,
    parse_cgroup_mounts,
    parse_max_events,
    parse_pids_hierarchy,
)
from pidscope.host.proc import ProcFs
from pidscope.limits import read as forking
from pidscope.limits.bounds import Bound, Everyone, numbers_in_use
from pidscope.limits.read import fork_facts
from pidscope.limits.tasks_limit import MAX
from pidscope.query.process import processes
from pidscope.simulated.stage import set_stage
from tests.unit.commands.asked import (
    Answer,
    await_state,
    needs_root,
    only_child,
    own_uid,
    printable,
    tasks_of,
    valid,
)
from tests.unit.commands.fake_host import HOST, FakeHost, fake_host
from tests.unit.commands.test_containers import D
from tests.unit.forker import FORK_UNTIL_REFUSED

BOMB = "simulated:fork-bomb"


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    assert main(["limits", "-J", *arguments]) == 0
    return valid(capsys.readouterr().out)


def text(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["limits", *arguments]) == 0
    told = capsys.readouterr().out
    printable(told)
    return told


# --- a simulated kernel ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["containers", "nested", "session", "random:3", "random:8"])
def test_what_tasks_show_is_all_that_is_taken(name: str) -> None:
    """The numbers of /proc are those of the allocator, held ones too."""
    stage = set_stage(name)
    world = stage.world
    held = 0
    for _ in range(min(stage.steps, 400)):
        world.step()
        everyone = tasks_of(stage)
        tasks = list(world.kernel.tasks())
        for ns in {level for task in tasks for level in task.thread_pid.numbers[-1].ns.outwards()}:  # type: ignore[union-attr]
            assert numbers_in_use(everyone, ns.inum) == set(ns.allocator.pids)
        held += len(world.kernel.init_pid_ns.allocator.pids) - len(tasks)
    assert held or name not in ("session", "random:3")


# --- the files ------------------------------------------------------------------------------------


def test_the_hierarchy_with_the_pids_controller() -> None:
    found = {
        b"9:name=systemd:/\n8:cpu,pids:/a:b (deleted)\n0::/x\n": Hierarchy(1, b"/a:b"),
        b"1:name=pidsx:/y\n0::/x\xff\n": Hierarchy(2, b"/x\xff"),
        b"3:cpu:/\n": None,
    }
    assert {data: parse_pids_hierarchy(data, "f") for data in found} == found
    with pytest.raises(ProcError, match="f:2: not a cgroup"):
        parse_pids_hierarchy(b"0::/\nhello\n", "f")


def test_the_mount_that_shows_most_comes_first() -> None:
    lines = (
        b"31 23 0:28 /in/ner /c\\040d rw - cgroup cgroup rw,pids\n"
        b"30 23 0:28 / /sys/pids rw shared:5 - cgroup cgroup rw,cpu,pids\n"
        b"32 23 0:29 / /sys/unified rw - cgroup2 cgroup2 rw\n"
        b"33 23 0:30 / /sys/cpu rw - cgroup cgroup rw,cpu\nnonsense\n"
    )
    assert parse_cgroup_mounts(lines, 1) == [(b"/", b"/sys/pids"), (b"/in/ner", b"/c d")]
    assert parse_cgroup_mounts(lines, 2) == [(b"/", b"/sys/unified")]


def test_directories_go_upwards_as_far_as_the_mount_does() -> None:
    root, inner = CgroupMount(b"/", b"/m"), CgroupMount(b"/a", b"/m")
    assert directories(b"/a/b", root) == [(b"/a/b", b"/m/a/b"), (b"/a", b"/m/a"), (b"/", b"/m")]
    assert directories(b"/a/b", inner) == [(b"/a/b", b"/m/b"), (b"/a", b"/m")]
    assert directories(b"/ab", inner) == directories(b"/../x", root) == []


_LINES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.builds(b"%d:%b:/%b".__mod__, st.tuples(st.integers(0, 9), st.binary(), st.binary())),
        st.builds(
            b"1 2 0:3 /%b /%b rw - %b x rw,%b".__mod__,
            st.tuples(*[st.binary()] * 2, st.sampled_from([b"cgroup", b"cgroup2"]), st.binary()),
        ),
    )
)


@given(_LINES)
def test_whatever_the_bytes_are_there_is_an_answer_or_a_typed_error(lines: list[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    with contextlib.suppress(ProcError):
        hierarchy = parse_pids_hierarchy(data, "f")
        for mount in parse_cgroup_mounts(data, 1) + parse_cgroup_mounts(data, 2):
            for path, directory in directories(b"/" if hierarchy is None else hierarchy[1], mount):
                assert b".." not in path.removeprefix(mount.root).split(b"/")
                assert directory.startswith(mount.point.rstrip(b"/"))
    parse_max_events(data)
    parse_amount(data)


def test_what_the_files_hold() -> None:
    amounts = {b"12\n": 12, b"max\n": None, b"": None, b"-1": None, b"9" * 5000: None}
    assert {data: parse_amount(data) for data in amounts} == amounts
    assert [parse_max_events(data) for data in (b"max 7\n", b"")] == [7, None]


# --- this host ------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A cgroup hierarchy of ordinary files, which a mountinfo can name."""
    box = tmp_path / "cg" / "box" / "x\x1b y"
    box.mkdir(parents=True)
    for directory, most, current in ((box, "max", 2), (box.parent, "5", 4)):
        (directory / "pids.max").write_text(f"{most}\n")
        (directory / "pids.current").write_text(f"{current}\n")
        (directory / "pids.events").write_text("max 3\n")
    return tmp_path


@pytest.mark.parametrize("whole", [True, False])
def test_cgroups_are_read_upwards(tree: Path, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, text in (
        ("7/cgroup", "0::/box/x\x1b y\n"),
        ("self/mountinfo", f"1 2 0:3 / {tree}/cg rw - cgroup2 cgroup2 rw\n"),
    ):
        (tree / path).parent.mkdir()
        (tree / path).write_text(text)
    monkeypatch.setattr(ProcFs, "sees_cgroups_whole", lambda procfs: whole)
    cgroups, known = forking._cgroups(ProcFs(tree), 7)
    assert known is whole
    assert [(it.of, it.max, it.current, it.peak, it.events, it.events_local) for it in cgroups] == [
        ("/box/x\\x1b y", MAX, 2, None, 3, None),
        ("/box", 5, 4, None, 3, None),
    ]
    (tree / "7" / "cgroup").write_text("0::/elsewhere\n")
    assert forking._cgroups(ProcFs(tree), 7) == ([], False)


def test_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    answer = document(capsys)
    ns = Path("/proc/self/ns/pid").stat().st_ino
    assert (answer["process"]["pid"], answer["process"]["ns"]) == (os.getpid(), ns)
    limits = {(it["name"], it["of"]): it["limit"] for it in answer["bounds"]}
    sysctls = Path("/proc/sys/kernel")
    assert ("RLIMIT_NPROC", f"user {os.getuid()}") in limits
    assert limits["threads-max", "this host"] == int((sysctls / "threads-max").read_text())
    assert limits["pid_max", f"pid:[{ns}]"] == int((sysctls / "pid_max").read_text())


NPROC = f"""
import errno, os, resource, signal, sys
uid = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NPROC, (7, 7))
os.setgroups([]); os.setgid(uid); os.setuid(uid)
{FORK_UNTIL_REFUSED}"""


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: it becomes another user")
def test_rlimit_nproc_of_a_user(capsys: pytest.CaptureFixture[str]) -> None:
    """As many forks as it says, and then that errno: of this very kernel."""
    uid = own_uid()
    command = [sys.executable, "-c", NPROC, str(uid)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        told = document(capsys, "--in", f"pid:{process.pid}")["next_fork"]
        assert (told["name"], told["of"], told["room"]) == ("RLIMIT_NPROC", f"user {uid}", 6)
        forked, _ = process.communicate("go\n")
        assert forked.split() == [str(told["room"]), told["errno"]]


@needs_root
def test_an_init_that_is_exiting_takes_nobody() -> None:
    """Its zombie's parent is outside, so it waits in zap_pid_ns_processes()."""
    procfs = ProcFs()
    command = ["unshare", "--pid", "--fork", "--kill-child", "sleep", "600"]
    child = os.posix_spawn("/usr/bin/unshare", command, dict(os.environ))
    try:
        deep = only_child(child)
        chain = procfs.snapshot()
        everyone = Everyone(processes(chain, boot_time=0, ticks_per_second=100), {}, True, True)
        facts = fork_facts(procfs, child, everyone)
        assert facts is not None and facts.adding is True and facts.diverted is True
        os.kill(child, signal.SIGSTOP)
        await_state(child, "T")  # it will not wait for its child
        os.kill(deep, signal.SIGKILL)
        await_state(deep, "Z")
        facts = fork_facts(procfs, child, everyone)
        assert facts is not None and facts.adding is False
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A /proc in which a container has the host's PID namespace, and a cgroup with a limit."""
    fake = fake_host(tmp_path, monkeypatch)
    for number, ppid in ((41, 40), (40, 1)):
        fake.add(number, HOST, f"/docker/{D}", ppid=ppid)
    cgroup = tmp_path / "cg" / "docker" / D
    cgroup.mkdir(parents=True)
    (cgroup / "pids.max").write_text("9\n")
    (cgroup / "pids.current").write_text("2\n")
    (tmp_path / "5" / "mountinfo").write_text(f"1 2 0:3 / {tmp_path}/cg rw - cgroup2 c rw\n")
    for status in tmp_path.glob("[0-9]*/status"):
        with status.open("a") as file:
            file.write("Uid:\t0\t0\t0\t0\nThreads:\t1\nCapInh:\t0\nCapEff:\t0\n")
    return fake


def test_a_container_without_a_namespace_means_its_first_process(
    host: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = document(capsys, "--proc", str(host.root), "--in", f"id:{D[:12]}")
    assert answer["process"]["pid"] == 40
    told = answer["next_fork"]
    assert (told["name"], told["of"], told["room"]) == ("pids.max", f"/docker/{D}", 7)
    assert told["certain"] is False
    text(capsys, "--proc", str(host.root), "--in", "pid:1")


def test_in_text_ids_are_as_short_as_they_are_shown_elsewhere(
    host: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    said = text(capsys, "--proc", str(host.root), "--in", f"id:{D[:12]}")
    assert said.count(f"/docker/{D[:12]}…") == 3  # the sentence, the bound, its counters
    assert D not in said


def test_who_has_vanished_has_no_facts() -> None:
    assert fork_facts(ProcFs(), 2**22, Everyone([], {}, True, True)) is None


@pytest.mark.parametrize("name", ["pid_max", "number 1"])
def test_a_namespace_that_may_not_be_read_is_not_said_to_be_another_users(name: str) -> None:
    """Seen as root: a task that has exited, and a process 1 that nobody may look into."""
    unknown = Bound(name, "pid:[?]", None, None, None, 0, "EAGAIN")
    assert _hints([unknown]) == [f"{name} of pid:[?]: which namespace that is cannot be read"]
