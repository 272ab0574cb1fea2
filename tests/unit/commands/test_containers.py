"""``ps`` and ``ns`` on a host with containers: a /proc made of files, an engine that answers."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from pidscope.commands import lookup, ns, ps
from tests.unit.commands.asked import Answer, run, valid
from tests.unit.commands.fake_host import HOST, UID, FakeHost, fake_host

WEB, POD, MADE = 71, 72, 73  # inums
A, B, C, D = (digit * 64 for digit in "abcd")
POD_PATH = f"/kubepods/burstable/pod{UID}"
Ask = Callable[..., Answer]


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = fake_host(tmp_path, monkeypatch)
    fake.add(20, WEB, f"/system.slice/docker-{A}.scope", 1)
    fake.add(21, WEB, f"/system.slice/docker-{A}.scope", 17, ppid=20)
    fake.add(30, POD, f"{POD_PATH}/{B}", 1)
    fake.add(31, POD, f"{POD_PATH}/{C}", 7)
    fake.add(40, HOST, f"/docker/{D}")
    fake.add(41, MADE, f"/docker/{D}", 1, ppid=40)
    fake.add(50, HOST, "/system.slice/nginx.service")
    return fake


@pytest.fixture
def engine(proc: FakeHost) -> Iterator[FakeHost]:
    """Docker's socket, which names all four; and the kubelet's link, which names one."""
    run = proc.host / "run"
    run.mkdir()
    (proc.host / "var/log/containers").mkdir(parents=True)
    (proc.host / "var/log/containers" / f"shop-0_prod_cart-{C}.log").touch()
    listed = [{"Id": number, "Names": [f"/n{number[0]}"]} for number in (A, B, C, D)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run / "docker.sock"))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        answer = b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(listed).encode()
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield proc
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], proc: FakeHost) -> Ask:
    """A command's valid document; what it holds, by ``ns`` or ``pid``."""

    def ask(command: Any, *arguments: str) -> Answer:
        assert run(command, "-J", "--proc", str(proc.root), *arguments) == 0
        document = valid(capsys.readouterr().out)
        for name, key in (("namespaces", "ns"), ("processes", "pid")):
            document.update({entry[key]: entry for entry in document.get(name, [])})
        return document

    return ask


def call(container: Answer | None) -> str | None:
    return container and (container["name"] or container["unit"] or container["id"][:1])


def test_whose_each_namespace_is(engine: FakeHost, ask: Ask) -> None:
    tree = ask(ns)
    assert not tree["containers_known"]  # one of MADE is not certain
    owners = {inum: call(tree[inum]["container"]) for inum in (HOST, WEB, POD, MADE)}
    # The pod's first has no log, so no name; MADE is by a process of one that has the host's, or
    # the process that has the host's is a monitor: nothing shows which.
    assert owners == {HOST: None, WEB: "na", POD: "nb", MADE: None}
    assert [call(shared) for shared in tree[HOST]["shared"]] == ["nd"]
    assert [call(shared) for shared in tree[MADE]["shared"]] == ["nd"]
    assert tree[WEB]["shared"] == []
    [shared] = tree[POD]["shared"]
    named = [shared[key] for key in ("pod_namespace", "pod", "container_name", "pod_uid")]
    assert named == ["prod", "shop-0", "cart", UID]


def test_each_level_of_a_process(engine: FakeHost, ask: Ask) -> None:
    found = {
        it["pid"]: (call(it["container"]), [call(level["container"]) for level in it["levels"]])
        for it in ask(ps)["processes"]
    }
    expected = {
        1: (None, [None]),
        50: ("nginx.service", [None]),
        21: ("na", [None, "na"]),
        40: ("nd", [None]),
        41: ("nd", [None, None]),
    }
    assert {number: found[number] for number in expected} == expected


def test_the_text(engine: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ns, "-n", "-o", "NS,CONTAINER", "--proc", str(engine.root)) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        [str(HOST), "- +nd"], [str(WEB), "na"], [str(POD), "nb +prod/shop-0/cart"],
        [str(MADE), "? +nd"],
    ]  # fmt: skip
    assert run(ps, "-n", "-o", "PID,CONTAINER,NSCONTAINER", "--proc", str(engine.root)) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    expected = {"1": ["-", "-"], "21": ["na", "-", "na"], "41": ["nd", "-", "?"]}
    assert {number: rows[number] for number in expected} == expected
    columns = ("-n", "-o", "NUMBER,CONTAINER,NSCONTAINER")
    assert run(lookup, *columns, "--proc", str(engine.root), "1", "21", "41") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0]: line.split()[1:] for line in lines} == expected


def test_without_an_engine_there_are_ids(
    proc: FakeHost, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = ask(ns)
    assert [tree[WEB]["container"][it] for it in ("runtime", "id", "name")] == ["docker", A, None]
    assert [shared["id"] for shared in tree[POD]["shared"]] == [C]
    assert capsys.readouterr().err == ""


def test_an_engine_that_is_silent_is_told_of(
    proc: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    (proc.host / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(proc.host / "run" / "docker.sock"))
        listener.listen()
        assert run(ns, "--proc", str(proc.root)) == 0
        out, err = capsys.readouterr()
        assert run(ns, "-J", "--proc", str(proc.root)) == 0
        notes = valid(capsys.readouterr().out)["notes"]
    assert A[:12] in out
    silent = "containers are shown by their ids: /run/docker.sock: it did not answer in time"
    assert silent in err.replace("\npidscope:", "")
    assert silent in notes


def test_inside_a_cgroup_namespace_none_is_not_said(
    proc: FakeHost, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is seen of this container is ``/``, and of others the way out to them."""
    proc.see_cgroups(4026531999)
    for number in (1, 5, 20, 21):
        (proc.root / str(number) / "cgroup").write_text("0::/\n")
    (proc.root / "30" / "cgroup").write_text(f"0::/../{B}\n")
    assert not ask(ps)["containers_known"]
    capsys.readouterr()
    assert run(ns, "-o", "NS,CONTAINER", "-n", "--proc", str(proc.root)) == 0
    out, err = capsys.readouterr()
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows[str(WEB)] == "?" and rows[str(POD)].startswith(B[:12])
    assert "only the containers in it are known" in err


def test_a_host_without_containers_imports_and_asks_nothing(tmp_path: Path) -> None:
    code = """
import sys
from pidscope.cli import main
assert main(["ns", "--proc", sys.argv[1]]) == 0
unwanted = {"names", "docker", "kubelet"}
modules = {"json", *(f"pidscope.containers.{name}" for name in unwanted)}
print(sorted(modules & sys.modules.keys()))
"""
    FakeHost(tmp_path)
    bare = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(bare, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_who_else_has_a_number_is_told_with_the_container(
    proc: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    proc.add(17, HOST, "/system.slice/nginx.service")
    proc.add(32, POD, f"{POD_PATH}/{C}", 17)
    assert run(lookup, "17", "--proc", str(proc.root)) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-3:-1] == [
        f"pidscope: 17 in pid:[{WEB}] is 21 x, docker container {A[:12]}",
        f"pidscope: 17 in pid:[{POD}] is 32 x, oci container {C[:12]}",
    ]
