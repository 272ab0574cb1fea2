"""What engines say of containers: the first process, and those that do not run."""

from __future__ import annotations

import pytest

from pidscope.containers.container import Container
from pidscope.errors import AmbiguousError, NotFound
from pidscope.query.named import is_in_pod, without_sandboxes
from pidscope.query.place import Place
from pidscope.query.process import oldest
from pidscope.query.where import resolve
from pidscope.query.words import parse_where
from tests.unit.query.test_where import HOST, WEB, A, scene, task


def test_the_engines_word_decides() -> None:
    """Docker's State.Pid, where number 1 and the oldest process disagree."""
    here = scene(
        task(40, ns=HOST, ticks=5),
        task(41, 1, ns=A, ticks=10),
        containers={40: (WEB,), 41: (WEB,)},
    )
    with pytest.raises(AmbiguousError, match="is not certain"):
        resolve(parse_where("web"), here)
    assert resolve(parse_where("web"), here._replace(said={(WEB,): 41})) == Place(A, (WEB,))
    hosts = resolve(parse_where("web"), here._replace(said={(WEB,): 40}))
    assert hosts == Place(HOST, (WEB,), with_host=True)


def test_a_stopped_container_exists() -> None:
    """``docker ps -a``: exited."""
    here = scene(task(1, ns=HOST), containers={1: ()})._replace(stopped=lambda: [WEB])
    for word in ("web", "/web", "id:3f2a91"):
        with pytest.raises(NotFound) as caught:
            resolve(parse_where(word), here)
        assert str(caught.value) == "docker container web exists, but does not run"
    with pytest.raises(NotFound, match="no process"):
        resolve(parse_where("other"), here)


def test_a_pod_of_podmans() -> None:
    """``podman pod create --name shop``: its infra container is the sandbox."""
    infra = Container("podman", "a" * 64, "0123456789ab-infra", "shop", "b" * 64)
    web = Container("podman", "c" * 64, "web", "shop", "b" * 64)
    assert is_in_pod(web, ("shop",)) and is_in_pod(web, ("b" * 64,))
    chains = [(infra,), (web,)]
    assert without_sandboxes(chains, dict.fromkeys(chains, 1)) == [(web,)]


def test_the_first_process_of_a_container_is_no_monitor() -> None:
    here = scene(task(40, ns=HOST, ticks=5), task(41, 1, ns=A, ticks=10))
    around = {40: (WEB,), 41: (WEB,)}
    assert oldest(here.snapshot, around, (WEB,), A) == 41
    assert oldest(here.snapshot, around, (WEB,), None) == 40
