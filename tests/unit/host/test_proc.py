from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pidscope.host.ns_chain as ns_chain_module
import pidscope.host.proc_parse as status_module
from pidscope.errors import HostError, ProcError
from pidscope.host.proc import PROC_PID_INIT_INO, ProcFs
from pidscope.host.proc_parse import (
    parse_boot_time,
    parse_boottime_offset,
    parse_forks,
    parse_is_kthread,
    parse_start_ticks,
    parse_status,
)
from pidscope.snapshot import Mount, Status
from tests import CHECKOUT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="run as root: it makes namespaces")

# Three namespaces, one in the other. Each process prints its numbers as system calls return them;
# the innermost has a thread. All end when standard input does.
NEST = """
import ctypes, json, os, sys, threading
libc = ctypes.CDLL(None, use_errno=True)

def report(level, outer_tid):
    facts = dict(level=level, outer_tid=outer_tid, tid=threading.get_native_id(), pid=os.getpid(),
                 ppid=os.getppid(), pgid=os.getpgrp(), sid=os.getsid(0),
                 host=int(os.readlink("/proc/thread-self").split("/")[2]),
                 ns=os.stat("/proc/self/ns/pid").st_ino)
    os.write(1, (json.dumps(facts) + "\\n").encode())

def descend(level, outer_tid):
    if level:
        os.setsid()
    report(level, outer_tid)
    if level == 3:
        thread = threading.Thread(target=lambda: (report(level, outer_tid), sys.stdin.read()))
        thread.start()
        os.write(1, b"{}\\n")
        thread.join()
        return
    if libc.unshare(0x20000000):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWPID)")
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        descend(level + 1, int(os.read(read_end, 20)))
        os._exit(0)
    os.write(write_end, str(child).encode())
    os.waitpid(child, 0)

descend(0, 0)
"""


@pytest.fixture
def nest() -> Iterator[list[dict[str, Any]]]:
    """What the tasks of three nested namespaces, alive, report about themselves."""
    with subprocess.Popen(
        [sys.executable, "-c", NEST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        assert all(lines), "the nest did not come up"
        yield [facts for facts in map(json.loads, lines) if facts]
        process.stdin.close()
        assert process.wait() == 0


def status_text(name: bytes = b"x", ns: str = "5\t1", pgid: str = "5\t1", ppid: int = 4) -> bytes:
    return (
        b"Name:\t"
        + name
        + b"\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t5\nNgid:\t0\nPid:\t5\n"
        + f"PPid:\t{ppid}\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGroups:\t0 \n".encode()
        + f"NStgid:\t{ns}\nNSpid:\t{ns}\nNSpgid:\t{pgid}\nNSsid:\t{pgid}\nKthread:\t0\n".encode()
    )


def link_ns(task: Path, target: str) -> None:
    (task / "ns" / "pid").unlink(missing_ok=True)
    (task / "ns" / "pid").symlink_to(target)


def fake_task(root: Path, number: int, status: bytes | None = None, ns: int = 77) -> Path:
    task = root / str(number)
    (task / "ns").mkdir(parents=True)
    (task / "task" / str(number)).mkdir(parents=True)
    link_ns(task, f"pid:[{ns}]")
    (task / "status").write_bytes(
        status_text(ns=str(number), pgid="0") if status is None else status
    )
    fields = " ".join(str(field) for field in range(4, 53))
    (task / "stat").write_text(f"{number} (a) R (b\n) S {fields}\n")
    return task


# --- parsing ---------------------------------------------------------------------------------

numbers = st.integers(0, 2**22)


@st.composite
def statuses(draw: st.DrawFn) -> tuple[Status, bytes]:
    depth = draw(st.integers(1, 5))
    levels = st.tuples(*[numbers] * depth)
    status = Status(
        name=draw(st.binary(max_size=64)).replace(b"\n", b"\\n"),
        state=draw(st.sampled_from("RSDTtZXI")),
        ppid=draw(numbers),
        tgid=draw(numbers),
        pid=draw(numbers),
        ns_tgid=draw(levels),
        ns_pid=draw(levels),
        ns_pgid=draw(levels),
        ns_sid=draw(levels),
    )
    groups = " ".join(map(str, draw(st.lists(numbers, max_size=3))))
    text = (
        f"\nState:\t{status.state} (whatever)\nTgid:\t{status.tgid}\nNgid:\t0\nPid:\t{status.pid}\n"
        f"PPid:\t{status.ppid}\nTracerPid:\t1\nGroups:\t{groups}\n"
    )
    for key, values in zip(("NStgid", "NSpid", "NSpgid", "NSsid"), status[-4:]):
        text += "\t".join([f"{key}:", *map(str, values)]) + "\n"
    return status, b"Name:\t" + status.name + text.encode()


def outcome(parse: Callable[[bytes, str], Status], text: bytes) -> Status | str:
    """The status, or the error's words."""
    try:
        return parse(text, "p")
    except ProcError as error:
        return str(error)


@given(statuses())
def test_parse_status_reads_what_the_kernel_writes(pair: tuple[Status, bytes]) -> None:
    status, data = pair
    assert parse_status(data, "p") == status


@given(statuses(), st.data())
def test_a_cut_status_is_an_error_or_the_same(pair: tuple[Status, bytes], data: Any) -> None:
    status, text = pair
    cut = data.draw(st.integers(0, len(text)))
    found = outcome(parse_status, text[:cut])
    assert found == status or isinstance(found, str)


@given(statuses(), st.data())
def test_a_damaged_status_is_a_typed_error_or_a_status(pair: Any, data: Any) -> None:
    text = pair[1]
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 5))
    damaged = text[:at] + data.draw(st.binary(max_size=5)) + text[at + length :]
    try:
        parsed = parse_status(damaged, "p")
    except ProcError as error:
        assert error.path == "p" and error.line_number >= 1
    else:
        assert len({len(values) for values in parsed[-4:]}) == 1
        assert all(number >= 0 for values in parsed[-4:] for number in values)


@given(statuses(), st.data())
def test_the_quick_way_never_differs(pair: tuple[Status, bytes], data: Any) -> None:
    """With lines moved, doubled, left out and damaged, so that some are forged or late."""
    lines = pair[1].splitlines(keepends=True)
    lines.insert(1, b"Umask:\t0022\n")
    for _ in range(data.draw(st.integers(0, 2))):
        line = lines[data.draw(st.integers(0, len(lines) - 1))]
        if data.draw(st.booleans()):
            lines.remove(line)
        lines.insert(data.draw(st.integers(0, len(lines))), line.replace(b"1", b"7"))
    text = b"".join(lines)
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.sampled_from([b"", b"", b"9", b"\t1", b"\n"])) + text[at:]
    assert outcome(parse_status, text) == outcome(status_module._any_status, text)


@pytest.mark.parametrize("line", [b"NStgid:\t9\t9", b"NSpid:\t9\t9", b"NSsid:\t9\t9", b"NSx:\t"])
@pytest.mark.parametrize("before", [b"State", b"Tgid", b"Pid", b"TracerPid", b"NStgid", b"NSsid"])
def test_of_two_lines_the_first_counts_either_way(line: bytes, before: bytes) -> None:
    for other in (line, b"State:\tZ (zombie)", b"Tgid:\t9", b"Pid:\t9", b"PPid:\t9"):
        text = status_text().replace(b"\n" + before, b"\n" + other + b"\n" + before, 1)
        assert len(text) > len(status_text())
        assert outcome(parse_status, text) == outcome(status_module._any_status, text)


@given(statuses())
def test_the_quick_way_is_the_usual_one(pair: tuple[Status, bytes]) -> None:
    status, text = pair
    assert status_module._usual_status(text) == status
    own = Path("/proc/self/status").read_bytes()
    assert status_module._usual_status(own) == status_module._any_status(own, "p")


@pytest.mark.parametrize(
    "parse", [parse_status, parse_start_ticks, parse_is_kthread, parse_boottime_offset]
)
@given(data=st.binary())
def test_any_bytes_are_a_typed_error(parse: Callable[[bytes, str], Any], data: bytes) -> None:
    with pytest.raises(ProcError):
        parse(data, "p")


@pytest.mark.parametrize(
    ("data", "line_number", "reason"),
    [
        (b"", 1, "no Name line"),
        (status_text().replace(b"State:\tS", b"State:\t4"), 3, "not a state letter"),
        (status_text().replace(b"PPid:\t4", b"PPid:\t-4"), 7, "not a number"),
        (status_text().replace(b"Tgid:\t5", b"Tgid:\t" + b"9" * 5000), 4, "not a number"),
        (status_text(ns="5\t1x"), 11, "not numbers"),
        (status_text(ns="5\t\t1"), 11, "not numbers"),
        (status_text(pgid="5"), 14, "differ in length"),
        (status_text().partition(b"NStgid")[0], 11, "no NS lines"),
        (status_text().partition(b"\nKthread")[0], 14, "the line is cut"),
    ],
)
def test_malformed_status_names_path_line_and_reason(
    data: bytes, line_number: int, reason: str
) -> None:
    with pytest.raises(ProcError) as caught:
        parse_status(data, "/proc/5/status")
    assert caught.value.path == "/proc/5/status"
    assert caught.value.line_number == line_number
    assert reason in caught.value.reason


def test_a_name_cannot_forge_a_line() -> None:
    assert parse_status(status_text(name=b"\\nPid:\t1"), "p").pid == 5


@given(st.binary(max_size=64), st.integers(0, 2**64 - 1))
def test_start_ticks_whatever_the_comm(comm: bytes, ticks: int) -> None:
    fields = " ".join(["S", *["0"] * 18, str(ticks), *["0"] * 30])
    assert parse_start_ticks(b"5 (" + comm + b") " + fields.encode() + b"\n", "p") == ticks


@given(st.binary(max_size=64), st.integers(0, 2**32 - 1))
def test_the_flag_of_a_kernel_thread_whatever_the_comm(comm: bytes, flags: int) -> None:
    stat = b"5 (" + comm + b") S 0 0 0 0 -1 " + str(flags).encode() + b" 0 0\n"
    assert parse_is_kthread(stat, "p") == bool(flags & 0x00200000)


@given(st.integers(-(2**33), 2**33), st.integers(0, 999_999_999))
def test_the_boottime_offset_as_the_kernel_prints_it(seconds: int, nanoseconds: int) -> None:
    text = f"monotonic           5         6\nboottime   {seconds:10} {nanoseconds:9}\n"
    assert parse_boottime_offset(text.encode(), "p") == seconds * 10**9 + nanoseconds


@pytest.mark.parametrize(("parse", "key"), [(parse_boot_time, "btime"), (parse_forks, "processes")])
def test_proc_stat_counts_in_64_bits(parse: Callable[[bytes, str], int], key: str) -> None:
    """A thousand forks a second need eleven digits after four months."""
    assert parse(f"cpu  1 2\n{key} {2**64 - 1}\n".encode(), "p") == 2**64 - 1


START = "5 (a) S " + "0 " * 18  # stat up to the start


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (parse_boottime_offset, "boottime", "p:"),
        (parse_boottime_offset, "boottime 1", "p:"),
        (parse_boottime_offset, "boottime 1 -2", "p:"),
        (parse_boottime_offset, "boottime --1 1", "p:"),
        (parse_boottime_offset, "boottime - 1", "p:"),
        (parse_boottime_offset, "7 1 1", "p:"),
        # int() of more than 4300 digits raises ValueError.
        (parse_start_ticks, START + "9" * 21 + " 0\n", "no start time"),
        (parse_start_ticks, START + "9" * 5000 + " 0\n", "no start time"),
        (parse_boot_time, f"cpu  1 2\nbtime {10**20}\n", "not a number"),
        (parse_forks, f"cpu  1 2\nprocesses {10**20}\n", "not a number"),
    ],
)
def test_a_malformed_number_is_a_typed_error(
    parse: Callable[[bytes, str], int], text: str, reason: str
) -> None:
    with pytest.raises(ProcError, match=reason):
        parse(text.encode(), "p")


# --- a root made of files --------------------------------------------------------------------


@pytest.fixture
def one_process(tmp_path: Path) -> ProcFs:
    """A root with process 7, whose thread 8 vanished after it was listed."""
    fake_task(tmp_path, 7)
    (tmp_path / "7" / "task" / "8").mkdir()
    (tmp_path / "sys").mkdir()
    (tmp_path / "self").symlink_to("7")
    (tmp_path / "stat").write_text("cpu  1 2\n" * 1000 + "btime 1700000000\nprocesses 4\n")
    (tmp_path / "loadavg").write_text("0.00 0.00 0.00 1/2 345\n")
    return ProcFs(tmp_path)


@pytest.mark.parametrize(
    ("read", "of", "answer"),
    [
        (ProcFs.numbers, [], [7]),
        (ProcFs.threads, [7], [7, 8]),
        (ProcFs.start_ticks, [7], 22),
        (ProcFs.boot_time, [], 1700000000),
        (ProcFs.forks, [], 4),
        (ProcFs.last_pid, [], 345),
        (ProcFs.boot_id, [], None),
        (ProcFs.mount, [], Mount(77, False)),
    ],
)
def test_a_fake_root_is_read_like_a_real_one(
    one_process: ProcFs, read: Callable[..., Any], of: list[int], answer: Any
) -> None:
    assert read(one_process, *of) == answer


def test_the_tasks_of_a_fake_root_are_read_like_real_ones(one_process: ProcFs) -> None:
    reading = one_process.read(7)
    assert reading is not None
    assert (reading.number, reading.start_ticks, reading.ns) == (7, 22, 77)
    assert one_process.snapshot().tasks == (reading,)


def test_a_snapshot_opens_nothing_that_was_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_task(tmp_path, 1)
    fake_task(tmp_path, 7)
    fake_task(tmp_path, 8, status_text(ns="8\t1"), ns=78)
    opened, linked = Mock(wraps=os.open), Mock(wraps=os.readlink)
    monkeypatch.setattr("pidscope.host.proc_files.os.open", opened)
    monkeypatch.setattr("pidscope.host.proc_files.os.readlink", linked)
    monkeypatch.setattr(ProcFs, "ns_chain", lambda self, number: [(77, 0), (78, 77)])
    snapshot = ProcFs(tmp_path).snapshot(threads=False, starts=False)
    paths = [call.args[0].replace(f"{tmp_path}/", "") for call in opened.call_args_list]
    assert paths == ["self/mountinfo", "1", "status", "7", "status", "8", "status"]
    links = [call.args[0] for call in linked.call_args_list]
    assert links == [f"{tmp_path}/1/ns/pid", "ns/pid"]
    assert [(task.ns, task.start_ticks) for task in snapshot.tasks] == [
        (77, None), (77, None), (78, None)
    ]  # fmt: skip
    assert not snapshot.starts


def test_without_starts_one_that_vanished_is_not_taken_for_one_that_may_not_be_read(
    tmp_path: Path,
) -> None:
    """Reading ns/pid fails with EACCES for both (``proc_ns_readlink()``, fs/proc/namespaces.c)."""
    fake_task(tmp_path, 1)
    for number in (8, 9):
        task = fake_task(tmp_path, number, status_text(ns=f"{number}\t1"))
        (task / "ns" / "pid").unlink()
    (tmp_path / "9" / "stat").unlink()
    tasks = ProcFs(tmp_path).snapshot(threads=False, starts=False).tasks
    assert [(task.number, task.ns) for task in tasks] == [(1, 77), (8, None)]


def test_the_cgroup_of_each_process_whole_and_of_no_thread(tmp_path: Path) -> None:
    hierarchies = "".join(f"{at}:c{at}:/{'x' * 3000}\n" for at in range(9, 0, -1))
    for number, paths in ((7, hierarchies + "0::/a\n"), (8, hierarchies), (9, "0::/b\n")):
        (fake_task(tmp_path, number) / "cgroup").write_text(paths)
    text = status_text(ns="10", pgid="0").replace(b"NStgid:\t10", b"NStgid:\t9")
    thread = fake_task(tmp_path, 10, text)
    (thread / "cgroup").write_text("0::/thread\n")
    (tmp_path / "9" / "task" / "10").mkdir()
    fake_task(tmp_path, 11)  # gone before its file was opened
    cgroups = ProcFs(tmp_path).snapshot(cgroups=True).cgroups
    assert cgroups == {
        7: (hierarchies + "0::/a\n").encode(), 8: hierarchies.encode(), 9: b"0::/b\n"
    }  # fmt: skip
    assert ProcFs(tmp_path).snapshot().cgroups is None


def test_whether_cgroups_are_shown_whole_is_the_readers_namespace(tmp_path: Path) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    assert not ProcFs(tmp_path).sees_cgroups_whole()
    own = Path("/proc/self/ns/cgroup").stat().st_ino
    assert ProcFs().sees_cgroups_whole() == (own == 0xEFFFFFFB)


def test_the_hosts_root_is_that_of_process_1_or_else_ones_own(tmp_path: Path) -> None:
    assert ProcFs(tmp_path).host_root() == ""
    (tmp_path / "1/root").mkdir(parents=True)
    assert ProcFs(tmp_path).host_root() == f"{tmp_path}/1/root"


@pytest.mark.parametrize("before", [b"", b"NSsid::\t0\n"])
def test_many_groups_make_a_status_longer_than_a_page(before: bytes, tmp_path: Path) -> None:
    """A line before them with a name that only begins like the last one's ends no reading.

    Found by scripts/fuzz: no kernel prints such a line, but all of the file counts.
    """
    groups = before + b"Groups:\t" + b"1000000 " * 65536
    fake_task(tmp_path, 7, status_text().replace(b"Groups:\t0 ", groups))
    status = ProcFs(tmp_path).read_status(7)
    assert status is not None and status.ns_sid == (5, 1)


def test_what_is_malformed_is_named_by_its_path(tmp_path: Path) -> None:
    task = fake_task(tmp_path, 7, b"Name:\tx\n")
    with pytest.raises(ProcError, match=str(task / "status")):
        ProcFs(tmp_path).read(7)
    link_ns(task, "net:[1]")
    with pytest.raises(ProcError, match="not a PID namespace"):
        ProcFs(tmp_path).pid_ns(7)


def test_an_empty_link_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pidscope.host.proc_files.os.readlink", lambda path, dir_fd=None: "")
    assert ProcFs().pid_ns(os.getpid()) is None


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ("", "not a mounted proc"),
        ("stat", "in which this process has no number"),
        ("stat self", "in which this process has no number"),
    ],
    ids=["no proc", "no link to itself", "a link to what is not there"],
)
def test_a_mount_that_tells_nothing_of_its_reader(tmp_path: Path, files: str, reason: str) -> None:
    if "stat" in files:
        (tmp_path / "stat").write_text("btime 1\n")
    if "self" in files:
        (tmp_path / "self").symlink_to("7")
    with pytest.raises(HostError, match=reason) as caught:
        ProcFs(tmp_path).mount()
    assert caught.value.hint or not files


def test_no_proc_at_all(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot list"):
        ProcFs(tmp_path / "nowhere").numbers()


# --- the /proc of a namespace around the reader's ----------------------------------------------


def status_of_30(ppid: int) -> bytes:
    return status_text(ns="30\t5\t1", pgid="0\t0\t0", ppid=ppid)


@pytest.fixture
def outer(tmp_path: Path) -> ProcFs:
    """In 70: 1, and 20, the init of 71; in that 30, the init of 72; in that 31, which is 2 there.

    As these are files, the kernel reports the parent of none to this process.
    """
    fake_task(tmp_path, 1, status_text(ns="1", pgid="0", ppid=0), ns=70)
    fake_task(tmp_path, 20, status_text(ns="20\t1", ppid=1), ns=71)
    fake_task(tmp_path, 30, status_of_30(ppid=20), ns=72)
    fake_task(tmp_path, 31, status_text(ns="31\t6\t2", pgid="0\t0\t0", ppid=30), ns=72)
    (tmp_path / "self").symlink_to("20")
    return ProcFs(tmp_path)


def test_a_mount_of_an_outer_namespace(outer: ProcFs) -> None:
    assert outer.mount() == Mount(70, False, 71)


def test_the_initial_namespace_is_known_by_its_kernel_threads(
    outer: ProcFs, tmp_path: Path
) -> None:
    (tmp_path / "1/ns/pid").unlink()
    assert outer.mount() == Mount(None, None, 71)
    fake_task(tmp_path, 2)
    assert outer.mount() == Mount(None, None, 71)
    (tmp_path / "2" / "stat").write_text("2 (kthreadd) S 0 0 0 0 -1 2129984 " + "0 " * 40)
    assert outer.mount() == Mount(PROC_PID_INIT_INO, True, 71)
    assert outer.snapshot(threads=False).ns_parents[PROC_PID_INIT_INO] == 0


@pytest.mark.parametrize(("number", "depth"), [(31, 3), (30, 3), (20, 2), (1, 1)])
def test_ancestors_show_the_parents_that_the_kernel_does_not(
    outer: ProcFs, number: int, depth: int
) -> None:
    assert outer.ns_chain(number) == [(72, 71), (71, 70), (70, 0)][-depth:]
    assert outer.snapshot().ns_parents == {72: 71, 71: 70, 70: 0}


@pytest.mark.parametrize("ppid", [1, 0])
def test_a_chain_is_not_known_if_its_init_came_from_outside(
    outer: ProcFs, tmp_path: Path, ppid: int
) -> None:
    (tmp_path / "30" / "status").write_bytes(status_of_30(ppid))
    assert outer.ns_chain(31) == []


def test_a_chain_is_not_known_if_a_namespace_may_not_be_read(outer: ProcFs, tmp_path: Path) -> None:
    for number in ("1", "20"):
        (tmp_path / number / "ns/pid").unlink()
        assert outer.ns_chain(20) == []


def test_a_task_that_was_given_a_parents_number_meanwhile_is_no_ancestor(
    outer: ProcFs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ns_chain_module.open_directory

    def too_late(path: str) -> int | None:
        if path.endswith("/20"):  # was released, and 30 is another's child now
            link_ns(tmp_path / "20", "pid:[73]")
            (tmp_path / "30" / "status").write_bytes(status_of_30(ppid=1))
        return opened(path)

    monkeypatch.setattr(ns_chain_module, "open_directory", too_late)
    assert outer.ns_chain(30) == []


# --- a time namespace, made of files -------------------------------------------------------------


def time_root(root: Path, offset: str, of_children: str = "time") -> ProcFs:
    (root / "self" / "ns").mkdir(parents=True)
    for name in {"time", of_children}:
        (root / "self" / "ns" / name).touch()
    if of_children == "time":
        os.link(root / "self" / "ns" / "time", root / "self" / "ns" / "time_for_children")
    (root / "self" / "timens_offsets").write_text(f"monotonic 9 9\nboottime {offset}\n")
    (root / "stat").write_text("btime 1\n")
    return ProcFs(root)


def test_the_offset_of_ones_own_time_namespace(tmp_path: Path) -> None:
    assert ProcFs(tmp_path).boottime_offset_ns() == 0  # a kernel without
    assert time_root(tmp_path, "-3 5").boottime_offset_ns() == -2_999_999_995


def test_an_offset_that_is_only_the_childrens_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="left its time namespace") as caught:
        time_root(tmp_path, "7 0", of_children="time_for_children").boottime_offset_ns()
    assert caught.value.hint


# --- this kernel -----------------------------------------------------------------------------


def test_this_process() -> None:
    proc, pid = ProcFs(), os.getpid()
    status = proc.read_status(pid)
    assert status is not None
    assert status == status._replace(
        ppid=os.getppid(), tgid=pid, pid=pid, ns_tgid=(pid,), ns_pid=(pid,),
        ns_pgid=(os.getpgrp(),), ns_sid=(os.getsid(0),),
    )  # fmt: skip
    assert proc.pid_ns(pid) == Path("/proc/self/ns/pid").stat().st_ino == proc.mount().ns
    assert proc.ns_chain(pid)[0][1] == 0
    assert proc.mount().initial == (proc.mount().ns == PROC_PID_INIT_INO)


def test_a_thread_is_read_by_its_own_number() -> None:
    proc, pid = ProcFs(), os.getpid()
    with ThreadPoolExecutor(1) as pool:
        tid = pool.submit(threading.get_native_id).result()
        status = proc.read_status(tid)
        assert status is not None
        assert (status.pid, status.tgid) == (tid, pid)
        assert tid in proc.threads(pid)
        assert tid not in proc.numbers()
        tasks = {task.number for task in proc.snapshot().tasks}
        assert {tid, pid} <= tasks
        assert tid not in {task.number for task in proc.snapshot(threads=False).tasks}


@pytest.mark.parametrize(
    ("read", "nothing"),
    [
        (ProcFs.read_status, None),
        (ProcFs.start_ticks, None),
        (ProcFs.pid_ns, None),
        (ProcFs.ns_chain, []),
        (ProcFs.read, None),
        (ProcFs.threads, []),
    ],
)
def test_the_vanished_is_none(read: Callable[[ProcFs, int], Any], nothing: Any) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert read(ProcFs(), child.pid) == nothing


def test_a_zombie_shows_everything() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    reading = ProcFs().read(child.pid)
    child.wait()
    assert reading is not None
    assert reading.status.state == "Z"
    assert reading.ns == ProcFs().mount().ns
    assert reading.start_ticks is not None


def test_no_descriptor_is_left_open() -> None:
    before = {fd.name for fd in Path("/proc/self/fd").iterdir()}
    proc = ProcFs()
    proc.snapshot()
    proc.ns_chain(os.getpid())
    proc.mount()
    assert {fd.name for fd in Path("/proc/self/fd").iterdir()} == before


def test_boot() -> None:
    proc = ProcFs()
    assert proc.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert proc.boot_time() > 0
    assert proc.last_pid() is not None


@needs_root
def test_nested_tasks_are_read_as_they_report(nest: list[dict[str, Any]]) -> None:
    proc = ProcFs()
    outer = {facts["level"]: facts["ns"] for facts in nest}
    for facts in nest:
        status = proc.read_status(facts["host"])
        assert status is not None
        assert len(status.ns_pid) == facts["level"] + 1
        innermost = [levels[-1] for levels in status[-4:]]
        assert innermost == [facts[key] for key in ("pid", "tid", "pgid", "sid")]
        assert proc.pid_ns(facts["host"]) == facts["ns"]
        assert proc.ns_chain(facts["host"])[0][1] == outer.get(facts["level"] - 1, 0)
        if facts["level"]:
            assert facts["ppid"] == 0
            assert facts["tid"] != facts["pid"] or status.ns_pid[-2] == facts["outer_tid"]


@needs_root
def test_snapshot_has_every_namespace_and_its_parent(nest: list[dict[str, Any]]) -> None:
    snapshot = ProcFs().snapshot()
    inums = [facts["ns"] for facts in nest][:4]
    assert [snapshot.ns_parents[inum] for inum in inums] == [0, *inums[:3]]
    homes = {task.number: task.ns for task in snapshot.tasks}
    assert [homes[facts["host"]] for facts in nest] == [facts["ns"] for facts in nest]


def as_another(code: str, *arguments: str) -> Any:
    """Run ``code``, which sets ``answer``, in a process that can become another user first."""
    program = (
        "import ctypes, json, os, sys\n"
        "from pathlib import Path\n"
        "from pidscope.errors import HostError\n"
        "from pidscope.host.proc import ProcFs\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def check(result):\n"
        "    if result: raise OSError(ctypes.get_errno(), 'not allowed')\n"
        "def become_nobody():\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "def mount_proc(where, options):\n"
        "    check(libc.mount(b'none', b'/', None, 0x44000, None))\n"  # MS_REC | MS_PRIVATE
        "    check(libc.mount(b'proc', where.encode(), b'proc', 0, options))\n"
        "def verdict(root):\n"
        "    try: return list(ProcFs(Path(root)).mount())\n"
        "    except HostError as error: return str(error)\n"
        + code
        + "\nprint(json.dumps(answer))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        cwd=CHECKOUT,
        timeout=60,
    ).stdout
    return json.loads(output)


@needs_root
def test_user_nobody_reads_all_tasks_but_not_the_namespaces_of_others(
    nest: list[dict[str, Any]],
) -> None:
    readings, without_starts, own, shown = as_another(
        "become_nobody()\n"
        "proc = ProcFs()\n"
        "answer = [[[t.number, len(t.status.ns_pid), t.start_ticks, t.ns, proc.pid_ns(t.number)]\n"
        "           for t in proc.snapshot(starts=starts).tasks] for starts in (True, False)]\n"
        "answer += [os.getpid(), proc._shown_ns()]"
    )
    by_number = {number: found for number, *found in readings}
    for facts in nest:
        depth, ticks, ns, link = by_number[facts["host"]]
        assert depth == facts["level"] + 1
        assert link is None
        assert ns == (None if facts["level"] else shown)
        assert ticks == ProcFs().start_ticks(facts["host"])
    assert by_number[own][2:] == [ProcFs().mount().ns] * 2
    others = {number: (depth, ns) for number, depth, _, ns, _ in without_starts}
    for facts in nest:
        assert others[facts["host"]] == (facts["level"] + 1, by_number[facts["host"]][2])


@needs_root
@pytest.mark.parametrize("hidepid", ["1", "2", "4"])
def test_hidepid_hides_and_is_no_error(hidepid: str) -> None:
    code = (
        "check(libc.unshare(0x20000))\n"  # CLONE_NEWNS
        "mount_proc('/proc', b'hidepid=' + sys.argv[1].encode())\n"
        "become_nobody()\n"
        "proc = ProcFs()\n"
        "answer = [proc.sees_all(), [t.number for t in proc.snapshot().tasks], os.getpid()]"
    )
    sees_all, shown, own = as_another(code, hidepid)
    assert not sees_all
    assert own in shown
    assert os.getpid() not in shown
    assert ProcFs().sees_all()


@needs_root
def test_a_mount_is_good_in_its_namespace_and_inside(tmp_path: Path) -> None:
    code = (
        "check(libc.unshare(0x20020000))\n"  # CLONE_NEWPID | CLONE_NEWNS
        "up, down = os.pipe(), os.pipe()\n"
        "if not os.fork():\n"
        "    mount_proc(sys.argv[1], None)\n"
        "    own = os.stat(sys.argv[1] + '/self/ns/pid').st_ino\n"
        "    inside = [own, verdict(sys.argv[1]), verdict('/proc')]\n"
        "    os.write(up[1], json.dumps(inside).encode())\n"
        "    os.read(down[0], 1)\n"
        "    os._exit(0)\n"
        "inside = json.loads(os.read(up[0], 4096))\n"
        "chain = ProcFs(Path(sys.argv[1])).ns_chain(1)\n"
        "answer = [*inside, verdict(sys.argv[1]), verdict('/proc'), chain]\n"
        "os.write(down[1], b'.')\n"
        "os.wait()"
    )
    own, inside_own, inside_outer, outside_inner, outside_own, chain = as_another(
        code, str(tmp_path)
    )
    here = ProcFs().mount()
    assert inside_own == [own, False, None]
    assert inside_outer == [here.ns, here.initial, own]
    assert "in which this process has no number" in outside_inner
    assert outside_own == list(here)
    assert chain == [[own, 0]]


INSIDE = (
    "check(libc.unshare(0x20000000))\n"  # CLONE_NEWPID
    "child = os.fork()\n"
    "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
)


@needs_root
def test_from_inside_all_parents_are_known_that_are_from_outside(
    nest: list[dict[str, Any]],
) -> None:
    code = "answer = sorted(ProcFs().snapshot().ns_parents.items())"
    answer = {inum: parent for inum, parent in as_another(INSIDE + code)}
    chain = [facts["ns"] for facts in nest][:4]
    assert [answer[inum] for inum in chain] == [0, *chain[:3]]
    outside = ProcFs().snapshot().ns_parents
    assert {inum: answer[inum] for inum in outside} == outside


@needs_root
def test_from_inside_user_nobody_knows_the_initial_namespace_and_no_more() -> None:
    code = (
        "become_nobody()\n"
        "proc = ProcFs()\n"
        "answer = [list(proc.mount()), sorted(proc.snapshot().ns_parents.items())]"
    )
    (ns, initial, inside), parents = as_another(INSIDE + code)
    here = ProcFs().mount()
    if here.initial:
        assert (ns, initial) == (here.ns, True)
        assert dict(parents) == {here.ns: 0, inside: here.ns}
    else:
        assert (ns, initial) == (None, None)


@needs_root
def test_the_number_of_a_child_in_an_outer_namespace() -> None:
    code = (
        "import subprocess\n"
        "child = subprocess.Popen(['readlink', '/proc/self'], stdout=subprocess.PIPE)\n"
        "os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)\n"
        "answer = [child.pid, ProcFs().number_of(child.pid), int(child.communicate()[0])]"
    )
    own, outer, shown = as_another(INSIDE + code)
    assert own != outer == shown
    assert ProcFs().number_of(os.getppid()) == os.getppid()


# No whole number of ticks, and one that makes most starts negative.
@needs_root
@pytest.mark.parametrize("offset_ns", [86_400_123_456_789, -5_000_000_000])
def test_a_time_namespace_does_not_shift_what_is_read(offset_ns: int) -> None:
    code = (
        "check(libc.unshare(0x80))\n"  # CLONE_NEWTIME
        "seconds, nanoseconds = divmod(int(sys.argv[1]), 10**9)\n"
        "Path('/proc/self/timens_offsets').write_text(f'boottime {seconds} {nanoseconds}')\n"
        "child = os.fork()\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "from pidscope.host.ticks import ticks_since_boot\n"
        "from pidscope.host.time_namespace import offsets_of_reader\n"
        "proc = ProcFs()\n"
        "clock_ns, offset = offsets_of_reader(proc)\n"
        "tick = 10**9 // os.sysconf('SC_CLK_TCK')\n"
        "starts = {n: proc.start_ticks(n) for n in proc.numbers()}\n"
        "answer = [clock_ns,\n"
        "          {n: ticks_since_boot(t, tick, offset) for n, t in starts.items() if t}]"
    )
    read_offset, starts = as_another(code, str(offset_ns))
    proc = ProcFs()
    assert (proc.boottime_offset_ns(), read_offset) == (0, offset_ns)
    for number in (1, os.getpid()):
        first, last = starts[str(number)]
        ticks = proc.start_ticks(number)
        assert ticks is not None and first <= ticks <= last <= first + 1


def test_a_cgroup_is_read_up_to_the_unified_hierarchy(tmp_path: Path) -> None:
    """Behind long paths of v1 it is not within one read."""
    lines = [f"{number}:c{number}:/{'x' * 900}\n" for number in range(9, 0, -1)]
    text = "".join([*lines, "0::/docker/1\n"]).encode()
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "cgroup").write_bytes(text)
    assert ProcFs(tmp_path).read_cgroup(5) == text
    assert ProcFs(tmp_path).read_cgroup(6) is None
