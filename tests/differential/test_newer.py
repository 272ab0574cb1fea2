"""What only newer kernels do, step by step: model == kernel, whether this one does it or not."""

from __future__ import annotations

import pytest
from pidscope_dev.differential.hunt import parse_steps, replay
from pidscope_dev.differential.theatre import Theatre

from pidscope.model.features import Features
from pidscope.model.kernel import Kernel
from pidscope.simulated.play import Play
from pidscope.simulated.scenario import parse_scenario

WORLD = "init: clone NEWPID -> one\n"

AUTOREAP = """
one: clone AUTOREAP -> it
one: wait = ECHILD        # no signal is to be sent to the parent: an ordinary wait passes it over
it: fork -> orphan
it: exit 3                # leaves no zombie; its child is the init's, and does not inherit
one: wait = 0
orphan: exit
one: wait = orphan
one: clone AUTOREAP -> prog
prog: exec prog           # from now on it is waited for, but still leaves no zombie
one: wait = 0
prog: clone THREAD -> thread
prog: exit                # the leader alone: a zombie until the thread has ended
one: wait = 0
thread: exit
one: wait = ECHILD
one: clone AUTOREAP|THREAD = EINVAL
one: clone AUTOREAP|PARENT = EINVAL
one: fork -> mid
mid: clone AUTOREAP|NEWPID -> box
box: clone PARENT = EINVAL
mid: clone AUTOREAP -> deaf
deaf: clone PARENT = EINVAL  # its sibling would not reap itself
mid: exit
"""

BEFORE_INIT = """
one: fork -> maker
one: fork -> guest
maker: unshare NEWPID
guest: setns maker children
guest: fork -> first
first: getpid = 1         # though another made the namespace
first: getppid = 0
maker: fork -> second
second: getpid = 2
second: getppid = 0
second: fork -> third
second: exit
third: getppid = 1        # its reaper is number 1; the second's zombie is the maker's
maker: wait = 5
first: exit
maker: fork = ENOMEM
guest: fork = ENOMEM
"""


def _played(text: str, features: Features) -> None:
    scenario = parse_scenario(WORLD + text, "newer")
    play = Play(Kernel(features), scenario.steps, scenario.source)
    while play.step():  # raises for a result that is not the one that is written there
        pass


def test_a_child_that_reaps_itself(theatre: Theatre, features: Features) -> None:
    """CLONE_AUTOREAP, since 7.1."""
    text = AUTOREAP if features.autoreap else "one: clone AUTOREAP = EINVAL\none: wait = ECHILD\n"
    _played(text, features)
    assert replay(theatre, features, parse_steps(text)) is None


def test_a_namespace_is_entered_before_it_has_an_init(theatre: Theatre, features: Features) -> None:
    """Since 7.1 its link can be read at once: the child of one that enters becomes number 1."""
    if not features.entered_before_init:
        pytest.skip("this kernel does not show it")
    _played(BEFORE_INIT, features)
    assert replay(theatre, features, parse_steps(BEFORE_INIT)) is None
