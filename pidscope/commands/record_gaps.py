"""``pidscope record --gaps``: which times a recording does not know all of, and why."""

from __future__ import annotations

import argparse
import json

from pidscope.history.between import pieces, stated_gaps
from pidscope.history.holder_json import HolderObjects
from pidscope.history.reach import begins, reached
from pidscope.history.recording import Recording
from pidscope.history.shown_times import ShownTimes
from pidscope.render.json import SCHEMA
from pidscope.sources.clocks import LocalZone, local_day, read_now
from pidscope.terminal import warn


def show(args: argparse.Namespace) -> int:
    """Print the gaps; raise NotKnown: there is no recording, HostError, RecordingError."""
    zone = LocalZone()
    with Recording(args.gaps) as recording:
        until = reached(recording, read_now(), by_snapshot=False)
        found = list(stated_gaps(pieces(recording, begins(recording), until)))
        if args.json:
            made = HolderObjects(recording.wall_ns, lambda _: None, zone)
            document = {"schema": SCHEMA, "source": recording.path, "mode": "recording"}
            print(json.dumps({**document, "gaps": list(map(made.gap, found))}))
        else:
            times = ShownTimes(recording.wall_ns, zone, local_day(zone))
            for gap in found:
                print(times.gap(gap))
            if not found:
                warn("no gap")
        for line in recording.refused:
            warn(line)
    return 0
