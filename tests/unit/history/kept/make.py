"""How the recordings beside this file were made: ``python -m tests.unit.history.kept.make DIR``.

A recorder kept what a simulated kernel did. The files are kept as version 1 wrote them: a later
version writes others, and has to read these.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable
from unittest import mock

from pidscope.history import compression
from pidscope.history.file_keeper import FileKeeper
from pidscope.history.recorder import Clocks, Keeper, Recorder, Runs
from pidscope.history.ring_writer import LEAST_BYTES, Limits, RingWriter
from pidscope.model.kernel import Kernel
from pidscope.model.pid import PIDTYPE_PID, pid_task
from pidscope.model.sched import TaskStruct
from pidscope.simulated import lives as simulated_lives
from pidscope.simulated.lives import LifeHooks
from pidscope.simulated.play import Play
from pidscope.wire.lives import Born, Class, Life, LifeKind, pack_life

BOOT = "2899dae4-4fa4-4eef-95b6-6bc95325f61a"
BOOTED_NS = 1_764_500_000_000_000_000  # 2025-11-30T10:53:20Z
ID = "3f2a91c0" * 8
PATHS = {"/": "/", "web": f"/system.slice/docker-{ID}.scope"}
WEB = [{"runtime": "docker", "id": ID, "name": "web"}]
S = 1_000_000_000

FIRST = """
init: setsid
init: comm systemd
cgroup web
init: fork -> shim
shim: exec containerd-shim
shim: clone NEWPID -> box
box: join web
box: setsid
box: exec nginx
2 * box: fork -> worker
worker1: clone THREAD -> thread
worker1: getpid = 2
sleep 10
worker2: exit 3
box: wait = 3
"""
THEN = """
worker1: clone NEWPID -> deep
deep: exec sh
deep: getpid = 1
sleep 5
thread: exec sidecar
thread: getpid = 2
sleep 5
deep: kill 1 9 = ?
shim: fork -> runc
runc: exec runc
runc: exit 1
shim: wait = runc
sleep 1
"""
LAST = """
shim: fork -> sleep
sleep: exec sleep
sleep 3
shim: kill sleep 9
shim: wait = sleep
sleep 2
"""


class Host:
    """A simulated kernel as the source of a recorder, and its clocks."""

    lags = False

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.step_ns = 0  # of the wall clock
        self._lives: list[Life] = []
        LifeHooks(self.kernel, self._add)
        self._play = Play(self.kernel)

    def _add(self, each: Born | Life) -> None:
        if isinstance(each, Life):
            self._lives.append(each)

    def play(self, text: str, after: Callable[[], object]) -> None:
        for line in text.splitlines():
            if line.strip():
                for step in parse_steps(line):
                    self._play.perform(step)
                after()

    def clocks(self) -> Clocks:
        now = self.kernel.now_ns
        return Clocks(now, now + BOOTED_NS + self.step_ns, now)

    def take(self) -> Runs:
        lives, self._lives = self._lives, []
        return runs(lives)

    def living(self) -> Runs:
        found = []
        for number, pid in sorted(self.kernel.init_pid_ns.allocator.pids.items()):
            task = pid_task(pid, PIDTYPE_PID)
            if task is not None and not task.exit_state:
                assert task.pid == number
                found.append(self._alive(task))
        return runs(found)

    def _alive(self, task: TaskStruct) -> Life:
        is_leader = task is task.group_leader
        kind = LifeKind.PROCESS if is_leader else LifeKind.THREAD
        return simulated_lives._life(task, task.group_leader, kind, 0, self.kernel.now_ns)

    def lost(self) -> int:
        return 0

    def unfinished(self) -> bool:
        return False

    def forget(self) -> None:
        pass

    def more(self, _: Runs) -> dict[str, Any]:
        """The cgroups, each time anew."""
        ids = {"/": 1, **{name: it.id for name, it in self._play.cast.cgroups.items()}}
        paths = {str(ids[name]): path for name, path in PATHS.items() if name in ids}
        containers = {str(ids["web"]): WEB} if "web" in ids else {}
        return {"cgroups": paths, "containers": containers}


def parse_steps(line: str) -> Any:
    """The steps of a line, whose names were given before."""
    from pidscope.simulated.steps import parse_line

    return parse_line(line, 1)


def runs(lives: list[Life]) -> Runs:
    by_class: dict[Class, bytearray] = {}
    for it in lives:
        of, row = pack_life(it)
        by_class.setdefault(of, bytearray()).extend(row)
    return [(of, bytes(rows)) for of, rows in by_class.items()]


def record(host: Host, keeper: Keeper) -> Recorder:
    head = {
        "host": "kept",
        "boot_id": BOOT,
        "kernel": "model",
        "pidscope": "1",
        "mode": "simulated",
        "threads": True,
        "initial_ns": host.kernel.init_pid_ns.inum,
        "cannot": ["failed forks"],
    }
    return Recorder(host, keeper, host.clocks, head, host.more)


def make(place: Path) -> None:
    with mock.patch("pidscope.history.segment.best", lambda: compression.ZLIB):
        host, ring = Host(), RingWriter(str(place / "ring"), Limits(LEAST_BYTES))
        made = record(host, ring)
        host.play(FIRST, made.step)
        host.play(THEN, made.step)
        host.step_ns = 3_600 * S  # which begins another file
        made.step()
        host.play(LAST, made.step)
        # It dies here: the second file stays open.
    with mock.patch("pidscope.history.segment.best", lambda: compression.ZSTD):
        host, file = Host(), FileKeeper(str(place / "one.rec"))
        made = record(host, file)
        host.play(FIRST, made.step)
        host.play(THEN, made.step)
        host.step_ns = 3_600 * S
        made.step()
        host.play(LAST, made.step)
        made.finish()
        file.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
