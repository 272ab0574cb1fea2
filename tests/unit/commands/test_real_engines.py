"""Hosts as real engines left them in a guest: the cgroups and files that were observed there.

Each has the containers of scripts/engines: `engine-one` with a process 17 and one that was executed
in it, `engine-shared` in its PID namespace, and `engine-host` with the host's. The kernel was 6.1,
systemd 252.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from pidscope.errors import UsageError
from tests.unit.commands.test_places import HOST, ONE, Asker, Host, ask, host

__all__ = ["ask", "host"]  # fixtures

A, B, C = (digit * 64 for digit in "abc")
TASK = "run/containerd/io.containerd.runtime.v2.task"
STORED = "var/lib/containers/storage/overlay-containers/containers.json"


class Engine(NamedTuple):
    """The cgroups of the three containers and of what was executed; files below the host's root.

    ``words`` are those of the first and of the one with the host's namespace; ``name``: what `ns`
    shows of the first.
    """

    one: str
    executed: str
    shared: str
    on_host: str
    words: tuple[str, str] = ("engine-one", "engine-host")
    name: str = "engine-one"
    files: Mapping[str, object] = {}


def stored(**names: str) -> list[dict[str, object]]:
    return [{"id": number, "names": [name], "layer": "1"} for name, number in names.items()]


def docker(number: str) -> str:
    return f"/system.slice/docker-{number}.scope"


def libpod(number: str) -> str:
    return f"/machine.slice/libpod-{number}.scope"


ENGINES = {
    "Docker 20.10, v2, without its socket": Engine(
        docker(A), docker(A), docker(B), docker(C), (A, C), A,
        {f"{TASK}/moby/{A}/init.pid": 386, f"{TASK}/moby/{C}/init.pid": 696},
    ),
    "Podman 4.3 with crun 1.8, v2": Engine(
        f"{libpod(A)}/container", libpod(A), libpod(B), libpod(C),
        files={STORED: stored(**{"engine-one": A, "engine-shared": B, "engine-host": C})},
    ),
    "containerd 1.6 with ctr, v2": Engine(
        "/default/engine-one", "/default/engine-one", "/default/engine-shared",
        "/default/engine-host", files={f"{TASK}/default/engine-one/init.pid": 386},
    ),
    "LXC 5.0, v2": Engine(
        "/lxc.payload.engine-one", "/lxc.payload.engine-one/.lxc", "/lxc.payload.engine-shared",
        "/lxc.payload.engine-host",
    ),
}  # fmt: skip


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest, host: Host) -> Engine:
    made = ENGINES[request.param]
    for path, what in made.files.items():
        file = host.host / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(what if isinstance(what, str) else json.dumps(what))
    host.put(17, HOST, "/system.slice/cron.service")
    host.put(386, ONE, made.one, 1)
    host.put(425, ONE, made.one, 17, ppid=386)
    host.put(589, ONE, made.executed, 18)
    host.put(630, ONE, made.shared, 24)
    host.put(696, HOST, made.on_host)
    return made


def test_17_in_it_is_its_own(engine: Engine, ask: Asker) -> None:
    assert ask.quiet("17", "--in", engine.words[0]).split()[0] == "425"
    assert ask.quiet("425", "--to", engine.words[0]).split()[0] == "17"


def test_one_with_the_hosts_namespace_has_no_17(engine: Engine, ask: Asker) -> None:
    refused = ask.refusal("-q", "17", "--in", engine.words[1])
    assert (type(refused), refused.exit_code) == (UsageError, 2)
    assert "has no PID namespace of its own" in str(refused)


def test_the_namespace_is_of_the_first_and_shared_by_the_second(engine: Engine, ask: Asker) -> None:
    assert ask.tree() == {HOST: None, ONE: engine.name}
    listed = {it["ns"]: it for it in ask.document["namespaces"]}
    assert listed[ONE]["init"] == 386
    assert len(listed[ONE]["shared"]) == len(listed[HOST]["shared"]) == 1
