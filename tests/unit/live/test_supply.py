"""When something is compiled, and when not; and the order in which probe modes are tried."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pidscope.errors import HostError
from pidscope.live import compiler, session, supply
from pidscope.live.cache import Cache
from pidscope.live.compiled import ITERATORS, Code, Compiled
from pidscope.live.compiler import Job
from pidscope.live.count_job import Form as Counting
from pidscope.live.count_job import count_job
from pidscope.live.kept_programs import KeptPrograms
from pidscope.live.life_job import Form, life_job
from pidscope.live.refused import ModeRefused, Refused
from pidscope.live.supply import Supply
from pidscope.wire.hooks import WAYS, Hook
from tests.unit.live.test_offsets import FakeBtf


class Kernel:
    """A kernel whose refusals the test chooses, and what was tried and compiled on it."""

    def __init__(self, patch: pytest.MonkeyPatch, base: Path) -> None:
        self.refusing: dict[str, int] = {}  # modes, and the errno
        self.tried: list[str] = []
        self.compiled: list[list[str]] = []
        self.notes: list[str] = []
        self.cache = Cache(str(base), self.notes.append)
        patch.setattr(supply, "read_btf", FakeBtf)
        patch.setattr(supply, "attach", self.attach)
        patch.setattr(compiler, "compile_jobs", self.compile)

    def supply(self) -> Supply:
        """What one process has."""
        return Supply(KeptPrograms(self.cache), self.notes.append)

    def attach(self, hook: Hook, mode: str, name: str, code: bytes, btf_id: int) -> Any:
        self.tried.append(mode)
        number = self.refusing.get(mode, 0)
        if number:
            raise OSError(number, os.strerror(number))
        return open(os.devnull)

    def compile(self, jobs: Sequence[Job]) -> list[Compiled]:
        self.compiled.append([job.mode for job in jobs])
        return [
            Compiled(
                [], {name: Code(bytes(8), btf_id, []) for name, btf_id in job.programs.items()}, {}
            )
            for job in jobs
        ]

    def open_best(self, failing: Sequence[str] = ()) -> str:
        """Open as `watch` does; what attaches but fails later is ``failing``."""
        made = self.supply()

        def open_in(way: str) -> Any:
            made.programs(way, False)
            if way in failing:
                raise Refused("attach_pid: attached, but told nothing when it was tried")
            return way

        return str(session.open_best(open_in, made))


def _compiled(job: Job) -> Compiled:
    codes = {name: Code(bytes(8), btf_id, []) for name, btf_id in job.programs.items()}
    return Compiled([], codes, {})


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    return Kernel(monkeypatch, tmp_path)


def test_programs_and_the_iterator_are_compiled_together_and_once(kernel: Kernel) -> None:
    first = kernel.supply()
    made = [first.programs("fentry", True), first.iterator(), first.listing()]
    assert kernel.compiled == [["fentry", *ITERATORS]]
    assert kernel.notes == ["compiling for this kernel, once"]
    again = kernel.supply()
    assert [again.programs("fentry", True), again.iterator(), again.listing()] == made
    again.programs("kprobe", True)
    assert kernel.compiled[1:] == [["kprobe"]]


def test_the_iterator_alone_needs_no_mode(kernel: Kernel) -> None:
    kernel.refusing = dict.fromkeys(WAYS, errno.EPERM)
    kernel.supply().iterator()
    assert kernel.compiled == [[*ITERATORS]] and kernel.tried == []


def test_a_life_stream_is_compiled_alone_and_once_for_each_form(kernel: Kernel) -> None:
    """Each form has its own name, and what this kernel lacks is told where it attaches."""
    form = Form("tracepoint", False, True, False, True, 1 << 16)
    forms = [
        form,
        *(form._replace(**{flag: True}) for flag in ("births", "execs")),
        *(form._replace(**{flag: False}) for flag in ("threads", "slots")),
        *(form._replace(way="kprobe"), form._replace(lives=256)),
    ]
    first, again = kernel.supply(), kernel.supply()
    made = [first.others(it.name, partial(life_job, it)) for it in forms]
    assert kernel.compiled == [["lives"]] * len(forms) and kernel.tried == []
    assert [again.others(it.name, partial(life_job, it)) for it in forms] == made
    assert kernel.compiled == [["lives"]] * len(forms)
    assert [*made[1].codes] == ["tp_sched_process_exit", "tp_task_newtask"]


def test_what_counts_is_compiled_once_for_each_key_and_mode(kernel: Kernel) -> None:
    """Failed forks are counted by the return of a function alone, which tracepoints lack."""
    forms = [Counting(way, by_namespace) for way in WAYS for by_namespace in (False, True)]
    first, again = kernel.supply(), kernel.supply()
    made = {it: first.others(it.name, partial(count_job, it)) for it in forms}
    assert kernel.compiled == [["counts"]] * len(forms)
    assert [again.others(it.name, partial(count_job, it)) for it in forms] == [*made.values()]
    assert kernel.compiled == [["counts"]] * len(forms)
    births, inits = ["tp_task_newtask"], ["tp_sched_process_exec", "tp_sched_process_exit"]
    for form, compiled in made.items():
        failures = [] if form.way == "tracepoint" else ["leave_copy_process"]
        assert [*compiled.codes] == births + (inits if form.by_namespace else []) + failures


def test_what_counts_is_not_compiled_for_a_mode_that_is_refused(kernel: Kernel) -> None:
    kernel.refusing = {"fentry": errno.EPERM}
    form = Counting("fentry", False)
    with pytest.raises(ModeRefused, match="attach_pid"):
        kernel.supply().others(form.name, partial(count_job, form))
    assert kernel.compiled == []


def test_a_mode_that_is_refused_is_not_compiled(kernel: Kernel) -> None:
    kernel.refusing = {"fentry": errno.EPERM}
    with pytest.raises(ModeRefused, match=r"attach_pid: EPERM \(Operation not permitted\)"):
        kernel.supply().programs("fentry", False)
    assert kernel.compiled == []


def test_where_nothing_can_be_kept_the_note_tells_why(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pidscope").touch()
    kernel.supply().programs("fentry", False)
    why = "it is a symbolic link, or no directory"
    assert kernel.notes[-1] == f"compiling for this kernel; nothing is kept: {why}"
    notes: list[str] = []
    Supply(None, notes.append).programs("fentry", False)
    assert notes == ["compiling for this kernel"]


def test_the_mode_that_worked_is_tried_first(kernel: Kernel) -> None:
    kernel.refusing = {"fentry": errno.EPERM, "kprobe": errno.ENOENT}
    assert kernel.open_best() == "tracepoint"
    assert kernel.tried == ["fentry", "kprobe", "tracepoint"]
    assert kernel.compiled == [["tracepoint", *ITERATORS]]
    assert kernel.open_best() == "tracepoint"
    assert len(kernel.tried) == 3 and len(kernel.compiled) == 1


def test_a_remembered_mode_that_fails_is_found_anew(kernel: Kernel) -> None:
    kernel.refusing = {"fentry": errno.EPERM}
    assert kernel.open_best() == "kprobe"
    kernel.refusing = {}
    assert kernel.open_best() == "kprobe"
    assert kernel.open_best(failing=["kprobe"]) == "fentry"
    assert kernel.open_best() == "fentry"


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE])
def test_what_fails_for_the_moment_is_not_remembered(kernel: Kernel, number: int) -> None:
    """Or a host that can prove would watch by tracepoints until it boots again."""
    kernel.refusing = {"fentry": number}
    assert kernel.open_best() == "kprobe"
    kernel.refusing = {}
    assert kernel.open_best() == "fentry"


def test_nor_is_a_hook_that_stays_silent(kernel: Kernel) -> None:
    assert kernel.open_best(failing=["fentry"]) == "kprobe"
    assert kernel.open_best() == "fentry"


def test_every_refusal_is_named(kernel: Kernel) -> None:
    kernel.refusing = dict.fromkeys(WAYS, errno.EPERM)
    with pytest.raises(HostError) as caught:
        kernel.open_best()
    assert all(f"{way}: " in str(caught.value) for way in WAYS)
