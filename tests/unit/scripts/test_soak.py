"""The witness of scripts/soak sees verdicts that are given too early, and bugs are told."""

import os
import signal
from pathlib import Path

import pytest
from pidscope_dev.soak.load import stopped_again_and_again
from pidscope_dev.soak.run import STRESSES
from pidscope_dev.soak.witness import Witness
from pidscope_dev.workload.main import WORKLOADS

from pidscope.session.session import Session
from pidscope.verify.verdicts import Judgement, Verdict
from tests.unit.stepped_kernel import never
from tests.unit.watched import Watch


@pytest.fixture
def w():
    return Watch(seed=3, acts=40)


@pytest.fixture
def witness(w):
    return Witness(w.session.world)


def lose_some(w):
    w.world.lose = lambda event: True
    w.end(w.fork(w.kernel.init))
    w.world.lose = never


def test_losses_that_are_heeded_are_no_wrong(w, witness):
    for _ in range(3):
        lose_some(w)
        witness.judge()
        witness.judge()
        assert witness.finished and witness.wrongs == []
    assert witness.session.starts == 3 and witness.lost == w.session.world.lost > 0


def test_a_verdict_while_suspect_is_told(w, witness, monkeypatch):
    witness.judge()
    monkeypatch.setattr(Session, "_doubt", lambda session: None)
    lose_some(w)
    witness.judge()
    assert witness.wrongs and "judged while suspect" in witness.wrongs[0]


def test_a_bug_is_told_and_not_kept(witness):
    witness.judge()
    pids = witness.session.table.root.pids
    del pids[max(number for number, pid in pids.items() if pid.task is not None)]
    witness.judge()
    assert [wrong.split()[0] for wrong in witness.wrongs] == ["MISSING"]
    assert witness.bugs == [] and witness.disagreed and not witness.good


def test_every_stress_is_made_of_workloads():
    known = {workload.name for workload in WORKLOADS} | {"all"}
    for stress in STRESSES.values():
        assert stress.load and {workload[0] for workload in stress.load} <= known
        assert not (stress.loses and stress.outlives)


def test_a_judgement_of_a_suspect_table_is_no_verdict(witness):
    witness.add(Judgement(1, Verdict.UNJUDGED, "suspect"))
    assert witness.wrongs == [] and witness.compared == 0


def test_who_stops_the_collector_continues_it_when_told_to_end():
    """A stopper that ended between SIGSTOP and SIGCONT left a soak hanging for good."""
    collector = os.fork()
    if collector == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
        with stopped_again_and_again(stopped_s=3600, running_s=0.0):
            signal.sigwait([signal.SIGCONT])  # it lives until it was stopped, however late that is
        os._exit(0)
    _, status = os.waitpid(collector, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    (stopper,) = Path(f"/proc/{collector}/task/{collector}/children").read_text().split()
    signal.signal(signal.SIGALRM, lambda number, frame: os.kill(collector, signal.SIGKILL))
    signal.alarm(60)  # else the fault would hang this test, too
    os.kill(int(stopper), signal.SIGTERM)
    _, status = os.waitpid(collector, 0)
    signal.alarm(0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
