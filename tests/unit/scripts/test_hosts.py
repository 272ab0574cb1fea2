"""No number is given out that is not of the namespace asked for: a share of ``scripts/hosts``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pidscope_dev.hosts import ask as asking
from pidscope_dev.hosts import main as hosts

from pidscope.containers.container import Chain
from pidscope.query import membership, where, witnesses
from pidscope.query.witnesses import Question, Verdict

SEEDS = range(150)


def test_no_number_of_another_namespace_is_given_out() -> None:
    judged = hosts.judge(SEEDS)
    assert judged.faults == []
    # The questions were worth asking: most are answered, and some have no answer.
    refused = sum(judged.counts[it] for it in ("AmbiguousError", "UsageError", "HostError"))
    assert judged.counts["translated"] > 3000
    assert 0 < refused < judged.counts["translated"] / 5


def oldest(question: Question) -> Verdict:
    """The age alone, as it was before."""
    found = [it for it in question.members if it.ns is not None]
    return Verdict(min(found, key=lambda it: question.started(it.number) or 0).ns)


def most(question: Question) -> Verdict:
    spaces = Counter(it.ns for it in question.members)
    return Verdict(spaces.most_common(1)[0][0])


def first(question: Question) -> Verdict:
    firsts = [it.ns for it in question.members if it.inner == 1]
    return Verdict(firsts[0] if firsts else question.members[0].ns)


def users_first(found: list[Chain]) -> tuple[list[Chain], list[Chain]]:
    users = [chain for chain in found if chain[-1].uid is not None]
    return (users or found), []


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [
        (membership, "judge", oldest),
        (membership, "judge", most),
        (membership, "judge", first),
        (witnesses, "MONITORED", frozenset({"docker", "libvirt", "nspawn"})),
        (asking, "expect_own", lambda place: None),
        (where, "roots_first", users_first),
    ],
    ids=["oldest", "most", "number 1", "monitors everywhere", "host's numbers", "users' names"],
)
def test_a_planted_fault_is_found(
    module: Any, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault)
    assert any(hosts.judge(range(at, at + 10)).faults for at in range(0, 400, 10))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert hosts.main(["--hosts", "2", "--jobs", "1"]) == 0
    assert "0 faults" in capsys.readouterr().out
