"""The commands as a person runs them, and what they leave behind: nothing."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess

import pytest

from .conftest import VALIDATOR, WORKLOAD, expected, pidscope, valid


def loaded_programs() -> set[int]:
    """The ids of all eBPF programs in the kernel: BPF_PROG_GET_NEXT_ID, through libbcc."""
    libbcc = ctypes.CDLL("libbcc.so.0")
    ids: set[int] = set()
    following = ctypes.c_uint32(0)
    while libbcc.bpf_prog_get_next_id(following.value, ctypes.byref(following)) == 0:
        ids.add(following.value)
    return ids


def test_verify_counts_23_forks_in_nested_namespaces() -> None:
    before = loaded_programs()
    done = subprocess.run(
        pidscope("verify", "-J", "--", WORKLOAD, "nested"), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    VALIDATOR.validate(summary)
    assert summary["cmd_status"] == 0
    assert summary["complete"] is True
    assert [summary[verdict] for verdict in ("missing", "ghost", "wrong", "lost")] == [0, 0, 0, 0]
    assert summary["cmd_counts"] == expected("nested")
    assert all(hook["hits"] == hook["accounted"] for hook in summary["hooks"].values())
    assert loaded_programs() == before


def test_watch_streams_valid_json_and_hostile_names_harm_nothing() -> None:
    done = subprocess.run(
        pidscope("watch", "-v", "-J", "--", WORKLOAD, "hostile"), capture_output=True, check=True
    )
    assert valid(done.stdout.splitlines())
    assert b"\x1b" not in done.stdout


def test_watch_ends_cleanly_when_its_reader_goes() -> None:
    before = loaded_programs()
    with subprocess.Popen(
        pidscope("watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as watch:
        assert b"TIME" in watch.stdout.readline()
        watch.stdout.close()
        said = watch.stderr.read()
    assert watch.returncode == 0
    assert b"Traceback" not in said and b"Error" not in said
    assert loaded_programs() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_cleanly_by_a_signal(number: signal.Signals) -> None:
    before = loaded_programs()
    with subprocess.Popen(
        pidscope("watch", "-J"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as watch:
        assert b"live by" in watch.stderr.readline()
        watch.send_signal(number)
        said = watch.stderr.read()
    assert watch.returncode == 0
    assert b"Traceback" not in said
    assert loaded_programs() == before


def test_doctor_finds_both_ways() -> None:
    done = subprocess.run(pidscope("doctor", "-J"), capture_output=True, check=True)
    document = json.loads(done.stdout)
    VALIDATOR.validate(document)
    assert document["live"] is True
    assert {check["name"]: check["ok"] for check in document["checks"]}["kprobe"] is True
