"""The life stream by tracepoints and the full stream, both of random puppets: the same lives.

By function hooks the same test runs in test_lives_functions.py; many more by scripts/lives.
"""

from __future__ import annotations

from pidscope_dev.lives.puppets import play

from .lived import PUPPETS, check_puppets


def test_lives_of_random_puppets_equal_those_of_the_full_stream() -> None:
    check_puppets(play(PUPPETS, ways=["tracepoint"]))
