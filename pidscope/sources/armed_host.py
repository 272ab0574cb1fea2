"""What is armed on this host, as a recording: the lives that the kernel kept, and who lives now."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pidscope.history.frames import Through
from pidscope.history.recording import Recording
from pidscope.history.segment import SegmentWriter
from pidscope.sources.recording_host import host_head, read_clocks
from pidscope.wire.lives import Class, offset_of

if TYPE_CHECKING:
    from pidscope.live.armed import ArmedLives
    from pidscope.live.supply import Supply

# A record has its place before its end is read, so one that was overwritten may have ended after
# the first that is left, by as long as an interrupt takes.
_MARGIN_NS = 10_000_000


def about_armed(way: str, threads: bool, lives: int) -> dict[str, Any]:
    """Return what is to be said of what is armed now."""
    return {**host_head(way, threads), "lives": lives, "clock": read_clocks()._asdict()}


@contextlib.contextmanager
def armed_recording(supply: Supply, place: str | None = None) -> Iterator[Recording]:
    """Read what is armed into a recording, which is gone when this is left.

    Args:
        supply: gives the compiled program of the walk.
        place: the BPF file system; None: where it usually is.

    Raises NotKnown: nothing is armed; HostError.
    """
    from pidscope.live.armed import BPF_FS, ArmedLives
    from pidscope.live.life_source import LifeWalk

    armed = ArmedLives(BPF_FS if place is None else place)
    with contextlib.closing(armed), tempfile.TemporaryDirectory(prefix="pidscope-") as place:
        with contextlib.closing(LifeWalk(supply, bool(armed.about.get("threads")))) as walk:
            now = read_clocks()
            living = walk.rows()
            ended = armed.take()
            paths = walk.paths([*ended, *living])
        begun_ns = _begun(armed, ended)
        ago_ns = now.boottime_ns - begun_ns
        clock = {name: value - ago_ns for name, value in now._asdict().items()}
        head = {**armed.about, "type": "head", "from_ns": begun_ns, "clock": clock}
        first = Through(begun_ns, now.realtime_ns - ago_ns)
        path = f"{place}/armed"
        writer = SegmentWriter(path, head, first)
        for of, rows in ended:
            writer.add_rows(of, rows, now.boottime_ns)
        for of, rows in living:
            writer.add_rows(of, rows, now.boottime_ns, alive=True)
        writer.add_json({"type": "cgroups", **paths})
        skipped = armed.skipped()
        if skipped:
            gap = {"first_ns": begun_ns, "last_ns": now.boottime_ns, "count": skipped}
            reason = "the kernel skipped runs of a program"
            writer.add_json({"type": "gap", **gap, "reason": reason})
        writer.reached(Through(now.boottime_ns, now.realtime_ns))
        writer.close()
        with Recording(path) as recording:
            yield recording


def _begun(armed: ArmedLives, ended: list[tuple[Class, bytes]]) -> int:
    """Return from when on no life is missing."""
    clock = armed.about.get("clock")
    since = clock.get("boottime_ns") if isinstance(clock, dict) else None
    begun = [since if isinstance(since, int) else 0]
    for of in armed.overwritten:
        first = next((rows for each, rows in ended if each is of), None)
        if first is not None:
            begun.append(_end(of, first) + _MARGIN_NS)
    return max(begun)


def _end(of: Class, rows: bytes) -> int:
    offset = offset_of(of, "end_ns")
    return int.from_bytes(rows[offset : offset + 8], "little")
