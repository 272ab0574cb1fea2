"""What watch and verify print about real containers, by runc and by crun, while these run.

The containers fork as often as they are asked to, and answer when they have: the watch ends with
the command that asked them, so it must show all that they did and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pidscope_dev.containers.runtime import NAMES, Bundle, Runtime, read_line

from pidscope.commands.watch_owners import NamespaceOwners
from pidscope.events import Event, TaskExecuted
from pidscope.host.proc import ProcFs
from pidscope.query.fork_counts import ByNamespace
from pidscope.render.fork_counts import rows_json
from pidscope.session.session import Session
from pidscope.sources.watch import LiveHost

from .conftest import VALIDATOR, pidscope, valid
from .test_containers import CONTAINERS, TIME_LIMIT_S, inum, numbers, said

pytestmark = pytest.mark.matrix
CGROUPS = Path("/sys/fs/cgroup")
FORK = """
/bin/busybox mkfifo /tmp/go /tmp/done; echo ready
while read n </tmp/go; do
    i=0; while [ $i -lt $n ]; do : & i=$((i + 1)); done; wait; echo done >/tmp/done
done"""
# Two containers at once: $0 forks in the first and $1 in the second, by their directories $2, $3.
ASK = 'echo "$0" >"$2/go"; echo "$1" >"$3/go"; read said <"$2/done"; read said <"$3/done"'
WAIT = "echo ready; exec sleep 1000000"
Answer = dict[str, Any]


class Running(NamedTuple):
    """A container that forks on request."""

    id: str
    init: int
    ns: int
    tmp: Path
    cgroup: Path


def number_of(name: str) -> str:
    return hashlib.sha256(f"watched {name}".encode()).hexdigest()


@pytest.fixture(scope="module", params=NAMES)
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def one(runtime: Runtime) -> Iterator[Running]:
    yield from running(runtime, "one")


@pytest.fixture(scope="module")
def two(runtime: Runtime) -> Iterator[Running]:
    yield from running(runtime, "two")


def running(runtime: Runtime, name: str) -> Iterator[Running]:
    bundle = Bundle(number_of(name), f"docker/{number_of(name)}", FORK)
    with runtime.running(bundle) as (init, output):
        assert read_line(output, name) == "ready\n"
        tmp = runtime.directory / bundle.id[:12] / "rootfs" / "tmp"
        yield Running(bundle.id, init, inum(init), tmp, CGROUPS / bundle.cgroup)


def watched(*arguments: str) -> list[Answer]:
    """The lines of a watch; its head states that it is complete."""
    done = subprocess.run(
        pidscope("watch", "-J", "--all", *arguments),
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIME_LIMIT_S,
    )
    lines = valid(done.stdout.splitlines())
    assert lines[0]["probes"] in ("fentry", "kprobe") and lines[0]["complete"]
    return lines[1:]


def asked(one: Running, two: Running) -> list[str]:
    return ["--", "sh", "-c", ASK, "23", "29", str(one.tmp), str(two.tmp)]


def test_the_births_in_a_container_and_no_others(one: Running, two: Running) -> None:
    births = watched("--in", f"id:{one.id[:12]}", "--type", "birth,thread", *asked(one, two))
    assert len(births) == 23
    inner = []
    for birth in births:
        outermost, innermost = birth["pid"]["numbers"]
        assert (birth["tid"], birth["by"], birth["pid"]["ns"]) == (outermost, one.init, one.ns)
        inner.append(innermost)
    assert inner == list(range(inner[0], inner[0] + 23))  # no other process took a number there


def test_forks_are_counted_by_container(one: Running, two: Running) -> None:
    [counts] = watched("--by", "where", *asked(one, two))
    rows = {row["container"]["id"]: row for row in counts["rows"] if row["container"]}
    for container, forks in ((one, 23), (two, 29)):
        row = rows[container.id]
        assert (row["ns"], row["init"], row["level"]) == (container.ns, container.init, 1)
        assert (row["births"], row["processes"], row["failed_forks"]) == (forks, forks, 0)
    assert set(rows) == {one.id, two.id}


def test_who_is_moved_is_in_the_other_container(
    runtime: Runtime, one: Running, two: Running
) -> None:
    moved = runtime.execute(one.id, "/bin/sleep", "1000000")
    assert container_of(moved) == [one.id, one.id]
    move = ["sh", "-c", 'echo "$0" >"$1"', str(moved), str(two.cgroup / "cgroup.procs")]
    [event] = watched("--type", "moved", "--", *move)
    assert (event["tid"], event["cgroup_id"]) == (moved, two.cgroup.stat().st_ino)
    assert container_of(moved) == [two.id, one.id]
    os.kill(moved, signal.SIGKILL)


def container_of(number: int) -> list[str | None]:
    """The container of a process, and the one that owns its namespace, as ps prints them."""
    [process] = [it for it in said("ps", "-J")["processes"] if it["pid"] == number]
    assert process["levels"][1]["pid"] == numbers(number)[1]
    return [it and it["id"] for it in (process["container"], process["levels"][1]["container"])]


class Counting:
    """A watch that counts by namespace, drained when a test calls for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.births = ByNamespace()
        self.host = LiveHost(ProcFs(), "auto")
        self.owners = NamespaceOwners(self.host)

    def listen(self, event: Event, session: Session) -> None:
        self.events.append(event)
        if session.table is not None:
            self.births.add(event, session.table)
            self.owners.observe(event, session)

    def row(self, init: int) -> Answer:
        """The row of a namespace by its number 1, at the end."""
        self.owners.end()
        [row] = [row for row in rows_json(self.births, self.owners.of) if row["init"] == init]
        return row


def test_one_that_came_and_went_during_a_watch_keeps_its_name(runtime: Runtime) -> None:
    counting, number = Counting(), number_of("brief")
    with counting.host.open(counting.listen, judged=False, steps=False) as session:
        counting.owners.begin()
        with runtime.running(Bundle(number, f"docker/{number}", WAIT)) as (init, output):
            assert read_line(output, "brief") == "ready\n"
            ns = inum(init)
            session.pump()  # as a watch does ten times a second
        session.pump()
        assert not Path("/proc", str(init)).exists()
        row = counting.row(init)
    assert (row["ns"], row["processes"]) == (ns, 1)  # threads are the runtime's affair
    assert row["container"]["id"] == number
    assert not [it for it in said("ns", "-J")["namespaces"] if number in json.dumps(it)]


def test_one_whose_first_process_is_moved_into_it_after_birth_has_its_name() -> None:
    counting, number = Counting(), number_of("moved")
    cgroup = CGROUPS / "docker" / number
    cgroup.mkdir(parents=True)
    with counting.host.open(counting.listen, judged=False, steps=False) as session:
        counting.owners.begin()
        command = ["unshare", "--pid", "--fork", "sh", "-c", f"echo; read go; {WAIT}"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as outside:
            assert read_line(outside.stdout, "moved") == "\n"
            children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text()
            init = int(children)
            session.pump()  # observed in no container
            (cgroup / "cgroup.procs").write_text(children)
            outside.stdin.write(b"\n")
            deadline = time.monotonic() + TIME_LIMIT_S
            while not any(
                isinstance(it, TaskExecuted) and it.comm == b"sleep" for it in counting.events
            ):
                assert time.monotonic() < deadline, "it did not execute"
                session.pump()
            os.kill(init, signal.SIGKILL)
            outside.wait(TIME_LIMIT_S)
        session.pump()
        row = counting.row(init)
    cgroup.rmdir()
    assert row["container"]["id"] == number


@pytest.mark.parametrize("name", NAMES)
def test_verify_is_exact_while_containers_come_and_go(name: str) -> None:
    done = subprocess.run(
        pidscope("verify", "-J", "--", sys.executable, CONTAINERS, "--runtime", name),
        stdin=subprocess.DEVNULL,  # they are removed as soon as all are there
        stdout=subprocess.PIPE,
        check=False,
        timeout=TIME_LIMIT_S,
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    VALIDATOR.validate(summary)
    assert (done.returncode, summary["cmd_status"], summary["complete"]) == (0, 0, True)
    silent = ("missing", "ghost", "wrong", "lost", "repairs", "ungrammatical", "unjudged")
    assert {name: summary[name] for name in silent} == dict.fromkeys(silent, 0)
    # one, two, outer, inner and gone; the others have another's. crun in a container first tries to
    # clone into a cgroup that takes no task, and the namespace is made before that fails.
    counts = summary["cmd_counts"]
    assert counts["namespaces"] - counts["failed_forks"] == 5
