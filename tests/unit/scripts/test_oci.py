"""What runs real containers: nobody waits for a runtime or for a container without limit."""

import os

import pytest
from pidscope_dev.containers import runtime as runtime_module
from pidscope_dev.containers.runtime import Bundle, Runtime, RuntimeFailed, read_line


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as output:
        yield output, writing


def test_lines_are_read_one_by_one_until_the_end(pipe):
    output, writing = pipe
    os.write(writing, b"17\nlast")
    os.close(writing)
    assert [read_line(output, "one", 60.0) for _ in range(3)] == ["17\n", "last", ""]


@pytest.mark.parametrize("written", [b"", b"half a li"])
def test_a_container_that_is_silent_is_named(pipe, written):
    output, writing = pipe
    os.write(writing, written)
    with pytest.raises(
        RuntimeFailed, match=rf"one wrote no line for 0\.01 s: b'{written.decode()}'"
    ):
        read_line(output, "one", 0.01)
    os.close(writing)


def test_a_runtime_that_does_not_end_is_killed_and_named(tmp_path, monkeypatch):
    stuck = tmp_path / "runc"
    stuck.write_text('#!/bin/sh\necho "begun" >&2\n[ "$3" = delete ] || exec sleep 1000\n')
    stuck.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(runtime_module, "TIME_LIMIT_S", 1)
    monkeypatch.setattr(runtime_module, "_CGROUPS", tmp_path)
    runtime = Runtime("runc", tmp_path)
    killed = pytest.raises(RuntimeFailed, match=r"runc run .* was killed after 1 s: begun")
    with killed, runtime.running(Bundle("ab" * 32, "docker/x")):
        pass
