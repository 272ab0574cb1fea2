"""Two builds of pidscope side by side: whole commands, in alternating pairs.

A measure is one command that every build has, whatever its modules are called. Each pair runs it
by both builds, one after the other, and every second pair in the other order. A pair's ratio is
the present build's cost divided by the earlier build's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple

from tabulate import tabulate

from pidscope_dev.bench.programs import CPU, USER, WALL, compiled, crowd, spent
from pidscope_dev.bench.taken import Taken, Unable, figures_in_turn
from pidscope_dev.bench.watchers import watching
from pidscope_dev.builds import Build, environment

PAIRS = 15
USER_LIMIT = 1.05  # of the median ratio of user CPU time
_CUT = 10  # a spread leaves out one pair in so many at each end
_CROWD, _CONTAINERS = 3_000, 10
_LIVE_FORKS = "3000"
_COUNTED_FORKS = "20000"
_MS_PER_TICK = 1e3 / os.sysconf("SC_CLK_TCK")

Spend = Callable[[Build], Mapping[str, float]]


class Measure(NamedTuple):
    """What one row measures; ``opened`` yields the function that runs it once by a build."""

    name: str
    summary: str
    cost: str
    opened: Callable[[], contextlib.AbstractContextManager[Spend]]


class Compared(NamedTuple):
    """The costs of one measure in each pair, and the user CPU times; or why there are none."""

    name: str
    cost: str
    earlier: tuple[float, ...] = ()
    present: tuple[float, ...] = ()
    earlier_user: tuple[float, ...] = ()
    present_user: tuple[float, ...] = ()
    unable: str = ""
    present_fails: bool = False  # and the earlier build does not

    @property
    def ratios(self) -> list[float]:
        """One ratio a pair."""
        return [present / earlier for present, earlier in zip(self.present, self.earlier)]

    @property
    def spread(self) -> tuple[float, float]:
        """The least and greatest ratio without the outermost tenth of the pairs at each end."""
        ratios = sorted(self.ratios)
        cut = len(ratios) // _CUT
        return ratios[cut], ratios[-1 - cut]

    @property
    def user_ratio(self) -> float:
        """The median over the pairs."""
        pairs = zip(self.present_user, self.earlier_user)
        return statistics.median(present / max(earlier, 1e-9) for present, earlier in pairs)

    @property
    def verdict(self) -> str:
        """FAILS, WORSE or MORE USER CPU (`is_worse`), or better, equal or not run."""
        if self.unable:
            return "FAILS" if self.present_fails else "not run"
        if self.spread[0] > 1:
            return "WORSE"
        if self.user_ratio > USER_LIMIT:
            return "MORE USER CPU"
        return "better" if self.spread[1] < 1 else "equal"

    @property
    def is_worse(self) -> bool:
        """Whether this row makes the whole comparison fail."""
        return self.verdict in ("FAILS", "WORSE", "MORE USER CPU")


def compared(measure: Measure, builds: Sequence[Build], pairs: int = PAIRS) -> Compared:
    """Run one measure by both builds, the earlier one first in the first pair."""
    try:
        with measure.opened() as spend:
            contenders = {build.name: partial(spend, build) for build in builds}
            taken = figures_in_turn(contenders, pairs)
    except (Unable, OSError, subprocess.SubprocessError) as error:
        return Compared(measure.name, measure.cost, unable=str(error))
    return _of_taken(measure, taken, *(build.name for build in builds))


def _of_taken(measure: Measure, taken: Taken, earlier: str, present: str) -> Compared:
    reasons = [taken.why_not(name, USER) for name in (earlier, present)]
    if any(reasons):
        unable = next(filter(None, reasons))
        fails = bool(reasons[1]) and not reasons[0]
        return Compared(measure.name, measure.cost, unable=unable, present_fails=fails)
    cost, user = (
        (taken.samples(earlier, figure), taken.samples(present, figure))
        for figure in (measure.cost, USER)
    )
    return Compared(measure.name, measure.cost, *cost, *user)


def _command(*arguments: str) -> Callable[[], contextlib.AbstractContextManager[Spend]]:
    return lambda: contextlib.nullcontext(partial(_spent, arguments))


def _spent(arguments: Sequence[str], build: Build) -> dict[str, float]:
    return spent(build.command(*arguments), environment())


@contextlib.contextmanager
def _crowded() -> Iterator[Spend]:
    with crowd(_CROWD, _CONTAINERS):
        yield partial(_spent, ("ps", "-J"))


@contextlib.contextmanager
def _live() -> Iterator[Spend]:
    with compiled("loops") as loops:
        yield lambda build: _collected(build, loops)


def _collected(build: Build, loops: str) -> dict[str, float]:
    """CPU time of a live watch from its first event to its end, over a known number of forks."""
    command = build.command("watch", "-n", "--probes", "tracepoint", "--duration", "600")
    with watching(command, loops) as watcher:
        before = _ticks(watcher.pid)
        subprocess.run([loops, "fork", _LIVE_FORKS], check=True, stdout=subprocess.DEVNULL)
        os.kill(watcher.pid, signal.SIGINT)
        os.waitid(os.P_PID, watcher.pid, os.WEXITED | os.WNOWAIT)  # its times can be read still
        user, system = (now - then for now, then in zip(_ticks(watcher.pid), before))
    return {CPU: (user + system) * _MS_PER_TICK, USER: user * _MS_PER_TICK}


@contextlib.contextmanager
def _counting() -> Iterator[Spend]:
    with compiled("loops") as loops:
        yield lambda build: _counted(build, loops)


def _counted(build: Build, loops: str) -> dict[str, float]:
    """CPU time of a live `watch --by` from its first line to its end."""
    command = build.command("watch", "-J", "--probes", "tracepoint", "--by", "comm")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise Unable("it ended before it began")
        before = _ticks(process.pid)
        subprocess.run([loops, "fork", _COUNTED_FORKS], check=True, stdout=subprocess.DEVNULL)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # as above
        user, system = (now - then for now, then in zip(_ticks(process.pid), before))
    return {CPU: (user + system) * _MS_PER_TICK, USER: user * _MS_PER_TICK}


def _ticks(pid: int) -> tuple[int, int]:
    """User and system time of a process, utime and stime of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


MEASURES = (
    Measure("version", "pidscope --version", WALL, _command("--version")),
    Measure("ps", "ps", WALL, _command("ps")),
    Measure("ns", "ns", WALL, _command("ns")),
    Measure("lookup", "lookup 1", WALL, _command("lookup", "1")),
    Measure("explain", "explain 1", WALL, _command("explain", "1")),
    Measure("limits", "limits", WALL, _command("limits")),
    Measure("ps-crowd", f"ps -J beside {_CROWD:,} more tasks (as root)", WALL, _crowded),
    Measure(
        "watch",
        "watch --source simulated:random:1",
        WALL,
        _command("watch", "--source", "simulated:random:1"),
    ),
    Measure(
        "watch-json",
        "watch -J --source simulated:random:1",
        WALL,
        _command("watch", "-J", "--source", "simulated:random:1"),
    ),
    Measure(
        "verify",
        "verify --source simulated:random:7",
        CPU,
        _command("verify", "--source", "simulated:random:7"),
    ),
    Measure("live", f"watch --probes tracepoint during {_LIVE_FORKS} forks (as root)", CPU, _live),
    Measure(
        "watch-by",
        f"watch --by comm during {_COUNTED_FORKS} forks, and its table (as root)",
        CPU,
        _counting,
    ),
)


def shown(rows: Sequence[Compared]) -> str:
    """The rows as a table: medians in milliseconds, ratios with their spread, verdicts."""
    headers = ("ROW", "COST", "EARLIER", "PRESENT", "RATIO", "SPREAD", *("USER", "", ""), "VERDICT")
    lines = [_cells(row) for row in rows]
    reasons = [f"{row.name}: {row.unable}" for row in rows if row.unable]
    align = ("left", "left", *["right"] * 7, "left")
    table = tabulate(lines, headers, tablefmt="plain", disable_numparse=True, colalign=align)
    return "\n".join([table, *reasons])


def _cells(row: Compared) -> list[str]:
    if row.unable:
        return [row.name, row.cost, *[""] * 7, row.verdict]
    costs = [f"{statistics.median(side):.1f}" for side in (row.earlier, row.present)]
    users = [f"{statistics.median(side):.1f}" for side in (row.earlier_user, row.present_user)]
    low, high = row.spread
    return [
        *(row.name, row.cost, *costs, f"{statistics.median(row.ratios):.3f}"),
        *(f"{low:.3f}-{high:.3f}", *users, f"{row.user_ratio:.3f}", row.verdict),
    ]


def to_json(row: Compared) -> dict[str, Any]:
    """Every sample, and what follows from them."""
    measured = not row.unable
    return {
        **row._asdict(),
        "ratio": statistics.median(row.ratios) if measured else None,
        "spread": row.spread if measured else None,
        "user_ratio": row.user_ratio if measured else None,
        "verdict": row.verdict,
    }
