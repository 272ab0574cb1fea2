"""Real containers, by runc and by crun: what pidscope prints about them, against what was started.

These tests read the kernel's view by plain means: NSpid, the link of a namespace, the cgroup. The
runtimes come with ``scripts/vm --oci``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pidscope_dev.containers.runtime import read_line

from tests import CHECKOUT

from .conftest import VALIDATOR, pidscope

CONTAINERS = str(CHECKOUT / "scripts" / "containers")
TIME_LIMIT_S = 240.0  # ten times what anything here has taken, emulated
HOST_NS = Path("/proc/self/ns/pid").stat().st_ino
Answer = dict[str, Any]


class Held(NamedTuple):
    """Containers that run, as scripts/containers describes them, and what pidscope prints."""

    facts: Answer
    tree: Answer
    processes: dict[int, Answer]


def said(*arguments: str) -> Answer:
    done = subprocess.run(
        pidscope(*arguments), capture_output=True, check=True, timeout=TIME_LIMIT_S
    )
    answer: Answer = json.loads(done.stdout)
    VALIDATOR.validate(answer)
    return answer


@pytest.fixture(scope="module", params=["runc", pytest.param("crun", marks=pytest.mark.matrix)])
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    command = [sys.executable, CONTAINERS, "--runtime", request.param]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as holder:
        try:
            line = read_line(holder.stdout, "scripts/containers", TIME_LIMIT_S)
            assert line, "the containers did not come up"
            tree, listed = said("ns", "-J"), said("ps", "-J")
            assert tree["containers_known"] and listed["containers_known"]
            processes = {process["pid"]: process for process in listed["processes"]}
            yield Held(json.loads(line), tree, processes)
        finally:
            holder.stdin.close()
            try:
                status = holder.wait(TIME_LIMIT_S)
            finally:
                holder.kill()  # or Popen would wait for it for ever
        assert status == 0


def members(number: str) -> list[int]:
    """The host's PIDs of the processes whose cgroup ends with the container's own."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                text = (process / "cgroup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # In cgroup v1 a container in a container may have its own path in some only.
            deepest = max(text.splitlines(), key=len).removesuffix("/container")
            if deepest.endswith((number, f"{number}.scope")):
                found.append(int(process.name))
    return found


def numbers(process: int) -> list[int]:
    status = Path(f"/proc/{process}/status").read_text()
    return [int(it) for it in status.partition("\nNSpid:\t")[2].partition("\n")[0].split()]


def inum(process: int) -> int:
    return Path(f"/proc/{process}/ns/pid").stat().st_ino


def ids(process: Answer) -> list[str | None]:
    """The container that owns the namespace at each level."""
    return [level["container"] and level["container"]["id"] for level in process["levels"]]


def namespace(held: Held, ns: int) -> Answer:
    [found] = [entry for entry in held.tree["namespaces"] if entry["ns"] == ns]
    return found


def test_two_containers_have_the_same_seventeen(held: Held) -> None:
    for name in ("one", "two"):
        fact = held.facts[name]
        [seventeen] = [it for it in members(fact["id"]) if numbers(it)[1:] == [17]]
        process = held.processes[seventeen]
        assert process["container"]["id"] == fact["id"]
        assert process["container"]["runtime"] == "docker"
        assert ids(process) == [None, fact["id"]]
        assert process["levels"][1]["pid"] == 17
        entry = namespace(held, inum(seventeen))
        assert (entry["init"], entry["container"]["id"]) == (fact["init"], fact["id"])
    assert inum(held.facts["one"]["init"]) != inum(held.facts["two"]["init"])


def test_a_container_in_a_container(held: Held) -> None:
    outer, inner = held.facts["outer"], held.facts["inner"]
    inside = members(inner["id"])
    [seventeen] = [it for it in inside if numbers(it)[2:] == [17]]
    assert held.processes[seventeen]["container"]["id"] == inner["id"]
    assert ids(held.processes[seventeen]) == [None, outer["id"], inner["id"]]
    entry = namespace(held, inum(seventeen))
    assert entry["parent"] == inum(outer["init"])
    assert entry["container"]["id"] == inner["id"]
    assert namespace(held, entry["parent"])["container"]["id"] == outer["id"]


def test_one_that_was_executed_in_a_container_has_joined_it(held: Held) -> None:
    process = held.processes[held.facts["executed"]]
    assert process["joined"]
    assert process["container"]["id"] == held.facts["one"]["id"]
    assert ids(process) == [None, held.facts["one"]["id"]]
    assert process["levels"][1]["pid"] == numbers(process["pid"])[1]


def test_one_that_has_anothers_namespace(held: Held) -> None:
    one, shared = held.facts["one"], held.facts["shared"]
    entry = namespace(held, inum(shared["init"]))
    assert entry["container"]["id"] == one["id"]
    assert [it["id"] for it in entry["shared"]] == [shared["id"]]
    process = held.processes[shared["init"]]
    assert process["container"]["id"] == shared["id"]
    assert process["container"]["pod_uid"] == shared["cgroup"].split("/")[2].removeprefix("pod")
    assert ids(process) == [None, one["id"]]


def test_one_that_has_the_hosts_namespace(held: Held) -> None:
    host = held.facts["host"]
    assert inum(host["init"]) == HOST_NS
    entry = namespace(held, HOST_NS)
    assert entry["container"] is None
    assert host["id"] in [it["id"] for it in entry["shared"]]
    process = held.processes[host["init"]]
    assert (process["container"]["runtime"], process["container"]["id"]) == ("podman", host["id"])
    assert ids(process) == [None]


def test_every_member_and_nobody_else(held: Held) -> None:
    for name in ("one", "two", "outer", "inner", "shared", "host"):
        number = held.facts[name]["id"]
        told = [
            pid for pid, process in held.processes.items()
            if process["container"] and process["container"]["id"] == number
        ]  # fmt: skip
        assert sorted(told) == sorted(members(number))
        assert told


def test_of_one_that_was_gone_before_anyone_looked_nothing_lives(held: Held) -> None:
    """Until it is reaped, its init is there as a zombie, and pidscope shows it as one."""
    number = held.facts["gone"]["id"]
    told = [it for it in held.processes.values() if number in json.dumps(it)]
    assert {process["state"] for process in told} <= {"Z"}
    named = [it for it in held.tree["namespaces"] if number in json.dumps(it)]
    assert all(entry["processes"] == entry["zombies"] for entry in named)


def test_a_container_is_where_it_says(held: Held) -> None:
    """``--in`` by the first digits of an id; a note reports the container that shares."""
    number = held.facts["one"]["id"][:12]
    done = subprocess.run(
        pidscope("ps", "--in", f"id:{number}", "-n", "-o", "PID"),
        capture_output=True, check=True, text=True, timeout=TIME_LIMIT_S,
    )  # fmt: skip
    ns = inum(held.facts["one"]["init"])
    expected = [
        pid for pid, it in held.processes.items() if ns in [at["ns"] for at in it["levels"]]
    ]
    assert sorted(map(int, done.stdout.split())) == sorted(expected)
    assert held.facts["shared"]["id"][:12] in done.stderr
