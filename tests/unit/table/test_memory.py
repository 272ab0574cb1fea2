"""Memory is bounded by the living: nothing is kept of who has ended, however many they were."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pidscope.events import Event
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from pidscope.session.session import Session
from pidscope.simulated.hooks import runs
from pidscope.simulated.world import SimulatedWorld
from pidscope.verify.grammar import Grammar
from pidscope.verify.verdicts import Tally
from pidscope.wire.hooks import FUNCTION_HOOKS
from tests.unit.acting import container, fork

ROUNDS = 100
LIVES = 8  # in a round
SLACK_BLOCKS = 300  # of memory: caches of the interpreter, a free list; less than one a life


def live(shell: TaskStruct) -> None:
    """Eight lives: threads, an exec by one, a session that outlives its leader, a container."""
    process = fork(shell)
    fork(process, CLONE_THREAD)
    execs = fork(process, CLONE_THREAD)
    call(execs, "execve", b"new")
    leader = fork(shell)
    call(leader, "setsid")
    member, init = fork(leader), container(shell)
    fork(fork(init))
    for task in (execs, leader, init, member):
        call(task, "exit_group", 0)
    with suppress(ChildProcessError):
        while call(shell, "wait4"):
            pass


def subreaper(kernel: Kernel) -> TaskStruct:
    shell = fork(kernel.init)
    call(shell, "set_child_subreaper", 1)
    return shell


def watched_rounds(rounds: int) -> Iterator[tuple[Session, int]]:
    """The session, and how many blocks of memory are in use, after each so many rounds."""
    kernel = Kernel()
    session = Session(SimulatedWorld(kernel, lambda: False))
    session.begin()
    shell = subreaper(kernel)
    while True:
        for _ in range(rounds):
            live(shell)
            session.pump()
        session.check_all(Tally())
        gc.collect()
        yield session, sys.getallocatedblocks()


def test_nothing_is_kept_of_lives_that_have_ended() -> None:
    rounds = watched_rounds(ROUNDS)
    next(rounds)
    session, before = next(rounds)
    births = session.stream.births
    session, after = next(rounds)
    assert session.stream.births - births >= LIVES * ROUNDS
    assert session.faults.count({}) == 0 and session.starts == 1
    assert after - before < SLACK_BLOCKS


def test_nothing_is_kept_of_tables_that_were_repaired() -> None:
    rounds = watched_rounds(1)
    session, _ = next(rounds)
    for _ in range(10):
        session.begin()
    _, before = next(rounds)
    for _ in range(SLACK_BLOCKS):
        session.begin()
    _, after = next(rounds)
    assert session.starts > SLACK_BLOCKS and after - before < SLACK_BLOCKS


@pytest.mark.parametrize(
    "unseen", ["", *(hook.name for hook in FUNCTION_HOOKS if not hook.makes_state)]
)
def test_the_grammar_knows_the_living_alone(unseen: str) -> None:
    """Also where a hook is not there, whose record would have told of an end."""
    grammar = Grammar(lambda name: name != unseen)
    kernel = Kernel()

    def read(event: Event) -> None:
        if runs(event)[0] != unseen:
            grammar.add(event)

    kernel.listener = read
    shell, sizes = subreaper(kernel), []
    for _ in range(ROUNDS):
        live(shell)
        known = (known for known in vars(grammar).values() if isinstance(known, (dict, set)))
        sizes.append(sum(map(len, known)))
    assert sizes[-1] == sizes[0]
