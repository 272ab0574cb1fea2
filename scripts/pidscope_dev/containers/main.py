"""Start real containers with runc or crun, print them, and hold them until standard input ends.

The first line of output is a JSON object: by name the id, the cgroup and the init of each
container, as the host numbers it. Each but the last two has a process 17.

  one, two     each has its own PID namespace
  outer        one that runs containers; inner is in it
  shared       has the PID namespace of one (docker run --pid=container:one)
  host         has the host's (docker run --pid=host)

"executed" is the number of a process that was executed in one. A container that ended before it
could be read is "gone".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.containers.runtime import (
    NAMES,
    SEVENTEEN,
    Bundle,
    Runtime,
    RuntimeFailed,
    read_line,
)

POD_UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
WAIT = "sleep 1000000 & echo $!; wait"
EXIT_FAILED, EXIT_UNABLE = 1, 3
ARGUMENTS: Arguments = {"--runtime": {"choices": NAMES, "default": NAMES[0]}}


def number_of(name: str) -> str:
    """An id as engines make them."""
    return hashlib.sha256(name.encode()).hexdigest()


def start(runtime: Runtime, kept: contextlib.ExitStack) -> dict[str, Any]:
    """Start them all; the object to print. Raises RuntimeFailed."""
    facts: dict[str, Any] = {}

    def run(name: str, form: str, lines: int = 1, **more: Any) -> Bundle:
        number = number_of(name)
        bundle = Bundle(number, form.format(number), **more)
        init, output = kept.enter_context(runtime.running(bundle))
        facts[name] = {"id": number, "cgroup": bundle.cgroup, "init": init}
        for _ in range(lines):
            expect(name, output)
        return bundle

    one = run("one", "docker/{}")
    run("two", "system.slice/docker-{}.scope")
    facts["executed"] = runtime.execute(one.id, "/bin/sleep", "1000000")
    run("shared", f"kubepods/besteffort/pod{POD_UID}/{{}}", script=WAIT,
        pid_ns=f"/proc/{facts['one']['init']}/ns/pid")  # fmt: skip
    run("host", "machine.slice/libpod-{}.scope/container", script=WAIT, pid_ns=None)
    inner = Bundle(number_of("inner"), f"docker/{number_of('inner')}")
    inner.write(runtime.directory)
    script = f"{runtime.script(inner, Path('/run/inner'))} || echo failed; {SEVENTEEN}"
    unpacked = runtime.path.parents[2]
    paths = (runtime.directory, *([unpacked] if unpacked != Path("/") else []))
    run("outer", "system.slice/docker-{}.scope", lines=2, script=script, inside=paths)
    facts["inner"] = {"id": inner.id, "cgroup": inner.cgroup}
    with runtime.running(Bundle(number_of("gone"), "docker/" + number_of("gone"), ":")) as gone:
        while read_line(gone[1], "gone"):
            pass
    facts["gone"] = {"id": number_of("gone")}
    return facts


def expect(name: str, output: IO[bytes]) -> None:
    """Read the number that a container's script ends with; raise RuntimeFailed if it has none."""
    line = read_line(output, name)
    if not line.strip().isdigit():
        raise RuntimeFailed(f"container {name} did not come up: {line!r}")


def stop(number: int, frame: object) -> None:
    """End through the clean-up."""
    raise SystemExit(128 + number)


def main(argv: Sequence[str]) -> int:
    """Start, print, hold, remove."""
    arguments = command_line("scripts/containers", __doc__, ARGUMENTS).parse_args(argv)
    if os.geteuid() != 0:
        print("containers: needs root", file=sys.stderr)
        return EXIT_UNABLE
    signal.signal(signal.SIGTERM, stop)
    try:
        with contextlib.ExitStack() as kept:
            directory = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="pidscope-")))
            runtime = Runtime(arguments.runtime, directory)
            print(json.dumps(start(runtime, kept)), flush=True)
            sys.stdin.read()
    except RuntimeFailed as problem:
        print(f"containers: {problem}", file=sys.stderr)
        return EXIT_FAILED
    return 0
