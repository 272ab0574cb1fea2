"""Namespaces in which no task lives: util-linux 2.41's lsns lists them, ps and ns did not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pidscope.host.kept_namespaces as kept_module
from pidscope.cli import main
from pidscope.host.kept_namespaces import kept_namespaces
from pidscope.host.listns import listed_chains
from pidscope.host.proc import ProcFs
from pidscope.host.proc_parse import unmangle
from tests.unit.commands.asked import Answer, needs_root, scenario, valid

# Makes a namespace whose init ends, keeps it by the means that is named, and says its inum.
KEEPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
means, where = sys.argv[1:]
if means == "nested":
    assert libc.unshare(0x20000000) == 0
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    file = os.open("/proc/self/ns/pid_for_children", os.O_RDONLY)
    print(os.fstat(file).st_ino, flush=True)
    sys.stdin.read()
    sys.exit()
assert libc.unshare(0x20000000) == 0
child = os.fork()
if child == 0:
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
file = os.open(f"/proc/{child}/ns/pid", os.O_RDONLY)
inum = os.fstat(file).st_ino
os.waitpid(child, 0)
own = os.open("/proc/self/ns/pid", os.O_RDONLY)
if means == "descriptor":
    assert libc.setns(own, 0x20000000) == 0
if means == "children":
    os.close(file)
print(inum, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def keeper(means: str, where: str = "") -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER, means, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


def own_inum() -> int:
    inum = ProcFs().pid_ns(os.getpid())
    assert inum is not None
    return inum


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    assert main([*arguments, "-J"]) == 0
    return valid(capsys.readouterr().out)


@needs_root
@pytest.mark.parametrize("means", ["descriptor", "children"])
def test_what_keeps_a_namespace_shows_it(means: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A descriptor, or a process whose children would be born there (``unshare --pid``)."""
    with keeper(means) as inum:
        answer = document(capsys, "ns", "--kept")
        assert answer["kept_known"] is True
        [it] = [it for it in answer["namespaces"] if it["ns"] == inum]
        assert (it["parent"], it["init"], it["processes"]) == (own_inum(), None, 0)
        assert it["dying"] is None
        capsys.readouterr()
        # It is a namespace, and no process has a number in it.
        assert main(["lookup", "17", "--in", f"ns:{inum}"]) != 0
        said = capsys.readouterr().err
        assert "no PID namespace" not in said and f"pid:[{inum}]" in said
        assert document(capsys, "ps", "--in", f"pid:[{inum}]")["processes"] == []
    # It has gone with its keeper: since 6.14 from a work queue, so somewhat later.
    assert inum not in kept_namespaces("/proc", [os.getpid()], {own_inum()}, True).parents


@needs_root
def test_a_bind_mount_keeps_a_namespace(tmp_path: Path) -> None:
    """In a mount namespace of the test's own, which no other sees."""
    place = tmp_path / "a b#c"
    place.touch()
    with keeper("descriptor") as inum:
        script = """
import ctypes, os, sys
from pidscope.host.kept_namespaces import kept_namespaces
import pidscope.host.listns as listns
place, link, own = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mount(link.encode(), place.encode(), None, 4096, None) == 0, ctypes.get_errno()
listns.listed_chains = lambda: None
print(kept_namespaces("/proc", [], {int(own)}, True))
"""
        link = next(
            f"/proc/{pid}/fd/{fd}"
            for pid in ProcFs().numbers()
            for fd in kept_module._listing(f"/proc/{pid}/fd")
            if kept_module._link(f"/proc/{pid}/fd/{fd}") == f"pid:[{inum}]"
        )
        mounted = [sys.executable, "-c", script, str(place), link, str(own_inum())]
        said = subprocess.run(
            ["unshare", "--mount", *mounted], capture_output=True, text=True, check=True
        ).stdout
    assert said == f"Kept(parents={{{inum}: {own_inum()}}}, all_seen=True)\n"


@needs_root
def test_listns_shows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 6.19; before, the links are all that there is."""
    numbers, known = ProcFs().numbers(), set(ProcFs().snapshot(threads=False).ns_parents)
    with keeper("descriptor") as inum:
        numbers = ProcFs().numbers()
        listed = listed_chains()
        if listed is not None:
            assert [inum, own_inum()] in [chain[:2] for chain in listed]
        assert kept_namespaces("/proc", numbers, known, True).parents.get(inum) == own_inum()
        monkeypatch.setattr("pidscope.host.listns.listed_chains", lambda: None)
        assert kept_namespaces("/proc", numbers, known, True).parents.get(inum) == own_inum()


@needs_root
def test_the_search_is_bounded_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_FEW_LINKS", 3)
    monkeypatch.setattr("pidscope.host.listns.listed_chains", lambda: None)
    assert document(capsys, "ns")["kept_known"] is False
    assert document(capsys, "ns", "--kept")["kept_known"] is True
    assert main(["ns"]) == 0
    assert "a namespace that only a descriptor keeps may be missing" in capsys.readouterr().err


def test_what_is_no_namespace_is_not_opened(tmp_path: Path) -> None:
    """A process may put a FIFO, or a device, behind a name that was a namespace's link."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    device = Path("/proc/self/ns/pid").stat().st_dev
    assert kept_module._open_namespace(str(fifo), device, "/proc") is None
    assert kept_module._open_namespace(str(tmp_path / "gone"), device, "/proc") is None
    fd = kept_module._open_namespace("/proc/self/ns/pid", device, "/proc")
    assert fd is not None
    os.close(fd)


def test_only_what_is_inside_a_known_namespace_is_taken() -> None:
    """A reader in a container may hold a descriptor of the host's namespace."""
    chains = [[5, 4, 1], [9], [8, 9], [1]]
    assert kept_module._below({1}, chains) == {5: 4, 4: 1}


def test_mount_points_are_unescaped() -> None:
    assert unmangle(rb"/a\040b\043\134c") == b"/a b#\\c"


def test_in_the_model_where_the_children_of_a_task_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--source", scenario(tmp_path, "init: fork -> sh", "sh: unshare NEWPID"))
    found = document(capsys, "ns", *source)["namespaces"]
    assert [(it["level"], it["processes"]) for it in found] == [(0, 3), (1, 0)]
    inum = found[1]["ns"]
    assert document(capsys, "ps", "--in", f"ns:{inum}", *source)["processes"] == []
    assert main(["ps", "--in", "ns:5", *source]) == 1


def test_a_release_only_decides_whether_to_ask() -> None:
    asked = [kept_module._may_have_listns(it) for it in ("6.18.44-x", "6.19.1", "7.3-rc1", "x")]
    assert asked == [False, True, True, False]
