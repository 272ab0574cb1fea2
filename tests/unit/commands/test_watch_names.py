"""The names, and the comms of the first process, of containers that a watch saw begin and end."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import pidscope.commands.watch_names as names_module
from pidscope.commands.watch_names import ContainerNames
from pidscope.commands.watch_owners import NamespaceOwners
from pidscope.containers.container import Chain, Container
from pidscope.errors import HostError
from pidscope.events import TaskExecuted, TaskExited, TaskRenamed
from pidscope.query.fork_counts import ByNamespace, First
from pidscope.table.table import Table
from tests.unit.commands.test_watch_owners import HOST, NEW, ONE, SESSION, TWO, World, birth

SERVICE = Container("systemd", "", unit="docker.service")


class Engine:
    """Lists its containers from some question on."""

    def __init__(self, from_question: int = 1) -> None:
        self.questions = 0
        self._from = from_question

    def ask(self, chains: Mapping[int, Chain]) -> Mapping[int, Chain]:
        self.questions += 1
        known = self.questions >= self._from
        return {
            number: tuple(
                it._replace(name=f"name-{it.id[0]}") if known and it.id else it for it in chain
            )
            for number, chain in chains.items()
        }


def settled(names: ContainerNames) -> None:
    """Wait until it has nothing more to ask for."""
    thread = names._thread
    if thread is not None:
        thread.join()


def test_a_name_is_asked_for_while_the_container_runs() -> None:
    """It lived for two seconds, and was shown by its id though the engine answered."""
    engine, world = Engine(), World()
    names = ContainerNames(engine.ask, pause_s=0)
    owners = NamespaceOwners(world, names)  # type: ignore[arg-type]
    owners.begin()
    world.chains[300, 3000] = (ONE,)
    owners.observe(birth(300, NEW, 1), SESSION)
    settled(names)
    world.chains.clear()
    owners.observe(TaskExited(0, 300, 300, 300, 0), SESSION)
    owners.end()
    assert owners.of(NEW, First(300, 3000), is_current=True) == ONE._replace(name="name-1")
    assert engine.questions == 1


def test_an_engine_that_lists_it_late_is_asked_again_but_not_for_ever() -> None:
    """dockerd lists a container once its start has returned, after the first exec."""
    late, never = Engine(from_question=3), Engine(from_question=1000)
    for engine, questions in ((late, 3), (never, names_module._MOST_TIMES)):
        names = ContainerNames(engine.ask, pause_s=0)
        names.want((ONE,))
        settled(names)
        assert engine.questions == questions
    assert names.of((ONE,)) == (ONE,)
    names.want((ONE,))
    assert never.questions == names_module._MOST_TIMES


def test_several_are_asked_for_at_once_and_what_has_a_name_is_not() -> None:
    engine = Engine()
    names = ContainerNames(engine.ask, pause_s=0)
    for chain in ((), (SERVICE,), (ONE._replace(name="x"),), (TWO._replace(pod="x"),)):
        names.want(chain)
    assert names._thread is None
    names.want((SERVICE, ONE))
    settled(names)
    names.want((TWO,))
    settled(names)
    assert names.of((TWO,)) == (TWO._replace(name="name-2"),)
    assert names.of((SERVICE, ONE))[1].name == "name-1"


def test_a_failure_costs_the_names_alone() -> None:
    def ask(chains: Mapping[int, Chain]) -> Mapping[int, Chain]:
        raise HostError("no /proc here")

    names = ContainerNames(ask, pause_s=0)
    names.want((ONE,))
    settled(names)
    names.stop()
    assert names.of((ONE,)) == (ONE,)


def test_so_many_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "MAX_ROWS", 1)
    engine = Engine()
    names = ContainerNames(engine.ask, pause_s=0)
    names.want((ONE,))
    names.want((TWO,))
    settled(names)
    assert names.of((TWO,)) == (TWO,)


def test_the_comm_of_a_number_1_follows_its_exec() -> None:
    """It stayed ``runc:[1:CHILD]``, its name at birth."""
    counts, table = ByNamespace(), Table(HOST, 1)
    for event in (
        birth(300, NEW, 1),
        TaskRenamed(0, 300, 300, b"runc:[2:INIT]"),
        TaskExecuted(0, 300, 300, 300, b"nginx"),
        TaskExecuted(0, 301, 301, 301, b"other"),
    ):
        counts.add(event, table)
        counts.observe(event)
    [row] = counts.rows()
    assert row.comm == b"nginx"
    # Its number is another's now, which is in no namespace that was counted.
    again = birth(300, 99)._replace(birth=birth(300, 99).birth._replace(start_ns=9))  # type: ignore[union-attr]
    for event in (again, TaskExecuted(0, 300, 300, 300, b"later")):
        counts.observe(event)
    assert [row.comm for row in counts.rows()] == [b"nginx"]
