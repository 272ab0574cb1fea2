"""What `scripts/fuzz` gives to millions of inputs, given to some that hypothesis makes."""

import importlib.util
import random
import re
import tempfile

import pidscope_dev.fuzz.main as fuzz_main
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pidscope_dev.fuzz.campaign import Result
from pidscope_dev.fuzz.mutate import mutated
from pidscope_dev.fuzz.registry import TARGETS

import pidscope.containers.docker
import pidscope.containers.rules
import pidscope.escape
import pidscope.history.logs.audit
import pidscope.history.logs.journal
import pidscope.history.logs.line
import pidscope.host.btf
import pidscope.host.proc
import pidscope.host.proc_files
import pidscope.host.proc_parse
import pidscope.live.compiled
import pidscope.simulated.calls
import pidscope.simulated.steps
import pidscope.wire.decode
from pidscope.containers.forms import Rule
from pidscope.containers.rules import Rules, built_in
from pidscope.events import PidNumbers
from tests.unit.bounded import bounded_time

BUILT_IN = built_in()

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@each_target
def test_seeds_are_accepted_and_stay_so_when_repaired(target):
    for seed in target.seeds:
        assert len(seed) <= target.max_bytes
        assert target.check(seed)
        assert target.check(target.repair(seed))


@each_target
def test_any_bytes(target):
    @settings(max_examples=100)
    @given(st.binary(max_size=300))
    def check(data):
        target.check(data)
        target.check(target.repair(data))

    check()


@each_target
def test_edited_seeds(target):
    @settings(max_examples=150)
    @given(st.sampled_from(target.seeds), st.data())
    def check(data, drawn):
        target.check(mutated(target, data, lambda n: drawn.draw(st.integers(0, n - 1))))

    check()


def inputs(target, count):
    """So many edited seeds, the same every time."""
    choose = random.Random(1).randrange
    for _ in range(count):
        yield mutated(target, target.seeds[choose(len(target.seeds))], choose)


@each_target
def test_many_edits_are_accepted_and_many_are_refused(target):
    """Or the fuzzer would prove nothing of what lies behind the first check of form."""
    accepted = sum(map(target.check, inputs(target, 500)))
    assert 50 < accepted < 490


@each_target
def test_long_inputs_take_no_longer_than_their_length(target):
    """64 KiB of one piece: if time grew with the square, Python would need minutes."""
    for piece in (*target.seeds, *target.words, target.seeds[0][:9]):
        data = (target.seeds[0] + piece * ((1 << 16) // len(piece)))[: 1 << 16]
        with bounded_time():
            target.check(data)


# Planted faults


def without_a_bound(value, digits=0):
    return value.isdigit()


def without_a_length(word):
    return pidscope.escape.unescape(word)


def without_the_bare_id():
    return Rules(BUILT_IN.marked[:-1])


def with_a_rule_before(runtime: str, form: str):
    return lambda: Rules((("", Rule(runtime, form, "", "", "", True)), *BUILT_IN.marked))


def any_level(values, start, level, width, ns):
    return PidNumbers(values[start : start + level + 1], ns)


FAULTS = {
    "wire": [
        (pidscope.wire.decode, "_numbers", any_level),
        (pidscope.wire.decode, "_comm", lambda raw: raw.rstrip(b"\0")),
        (pidscope.wire.decode, "to_pid_type", lambda value: value),
    ],
    "btf": [
        (pidscope.host.btf, "_MAX_DEPTH", 2),
        (pidscope.host.btf, "_STRUCTS", {4}),
    ],
    "compiled": [
        (pidscope.live.compiled, "_refers_to_map", lambda code, at: True),
        (pidscope.live.compiled, "_ILL_FORMED", (ValueError,)),
    ],
    "status": [(pidscope.host.proc_parse, "_is_number", without_a_bound)],
    "stat": [(pidscope.host.proc_parse, "_is_number", without_a_bound)],
    "proc-stat": [(pidscope.host.proc_parse, "_is_number", without_a_bound)],
    "procfs": [
        (pidscope.host.proc, "parse_start_ticks", lambda data, path: int(data.split()[21])),
        (pidscope.host.proc_files, "_has_line", lambda data, key: True),
    ],
    "escape": [
        (pidscope.escape, "_ESCAPED", re.compile(r"\\(?:\\|x([0-9A-Fa-f]{2}))|[^\\]+")),
        (pidscope.escape, "_STATUS_ESCAPED", re.compile(rb"\\([n])")),
    ],
    "cgroup": [
        (pidscope.containers.rules, "built_in", without_the_bare_id),
        (pidscope.containers.rules, "built_in", with_a_rule_before("containerd", "docker/{id}")),
        (pidscope.containers.rules, "built_in", with_a_rule_before("lxc", "{name}")),
    ],
    "engine": [
        (pidscope.containers.docker, "_NAME", re.compile(r"/?(.{1,255})")),
        (pidscope.containers.docker, "_STATUS", re.compile(rb"HTTP/1\.[01] 200")),
    ],
    "audit": [
        (
            pidscope.history.logs.audit,
            "_FIELD",
            re.compile(rb"(?:p|pp|op)id=(\d{1,7})(?= |\Z)"),
        ),
        (pidscope.history.logs.audit, "_HEAD", re.compile(rb".*type=.*audit\((\d+)\.(\d+):.*\):")),
    ],
    "journal": [
        (pidscope.history.logs.journal, "_NUMBER", re.compile(rb"_PID\W+(\d{1,7})")),
        (pidscope.history.logs.line, "MAX_NUMBER", 9_999_999),
    ],
    "scenario": [
        (pidscope.simulated.calls, "comm_bytes", without_a_length),
        (pidscope.simulated.steps, "quote", repr),
    ],
}


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, faults in FAULTS.items() for at in range(len(faults))]
)
def test_a_planted_fault_is_found(monkeypatch, name, at):
    """Whatever is raised but the documented error is a finding."""
    owner, attribute, fault = FAULTS[name][at]
    monkeypatch.setattr(owner, attribute, fault)
    with pytest.raises(Exception):  # noqa: B017
        for data in inputs(TARGETS[name], 20_000):
            TARGETS[name].check(data)


def test_every_target_has_a_planted_fault():
    assert set(FAULTS) == set(TARGETS)


# The script


@pytest.mark.parametrize(
    ("data", "said"), [(TARGETS["wire"].seeds[0], "accepted\n"), (b"\xff", "refused\n")]
)
def test_an_input_can_be_read_again(tmp_path, capsys, data, said):
    path = tmp_path / "input"
    path.write_bytes(data)
    assert fuzz_main.main(["--target", "wire", "--replay", str(path)]) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(("found", "code"), [("", 0), ("too slow", 1)])
def test_a_finding_is_told_and_its_input_kept(monkeypatch, capsys, tmp_path, found, code):
    def run(target, inputs, seed, crashers):
        if found:
            (crashers / "wire-timeout-1").write_bytes(b"x")
        return Result(target.name, inputs, 0.5, 0.25, 58, 45, found, b"cov: 1\n === Timeout: 10s\n")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "atheris")
    monkeypatch.setattr(fuzz_main, "run", run)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert fuzz_main.main(["--target", "wire", "--inputs", "23", "--seed", "7"]) == code
    said = capsys.readouterr().out
    assert re.search(r"^wire +23 +46 +25\.0% +58 +45 +" + (found or "-"), said, re.MULTILINE)
    assert said.count(" === Timeout: 10s") == code
    assert [path.name for path in tmp_path.rglob("wire-*")] == ["wire-timeout-1"] * code
    assert len(list(tmp_path.iterdir())) == code  # an empty directory is not left behind


def test_without_atheris(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert fuzz_main.main(["--target", "wire"]) == 3
    assert "pip install -e '.[fuzz]'" in capsys.readouterr().err
