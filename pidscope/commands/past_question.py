"""What the commands that are asked about a time (``--at``) share: the recording, and its words."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from pidscope.containers.container import display_name
from pidscope.errors import AmbiguousError, NotKnown, UsageError
from pidscope.escape import escape, printable
from pidscope.history.answer import Gap, Holder
from pidscope.history.moment import Moment
from pidscope.history.past import Past
from pidscope.history.recording import Recording
from pidscope.history.shown_times import ShownTimes
from pidscope.history.typed_time import parse_time
from pidscope.query.place import bracketed
from pidscope.render.json import SCHEMA
from pidscope.render.text import known
from pidscope.sources.clocks import LocalZone, local_day, read_now
from pidscope.sources.options import SIMULATED
from pidscope.sources.recorded import of_its_boot, open_recording
from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.history.holder_json import HolderObjects

_MAX_LISTED = 10
_NO_PAST = ("proc", "live", SIMULATED)


class PastQuestion(NamedTuple):
    """A recording, and the time that it is asked about."""

    recording: Recording
    past: Past
    moment: Moment

    def objects(self) -> HolderObjects:
        """Return what makes JSON of the answers."""
        from pidscope.history.holder_json import HolderObjects  # text does without

        return HolderObjects(self.recording.wall_ns, self.past.known_chain, LocalZone())

    def times(self) -> ShownTimes:
        """Return what writes their times."""
        zone = LocalZone()
        return ShownTimes(self.recording.wall_ns, zone, local_day(zone))

    def cells(self) -> dict[str, Callable[[Holder], str]]:
        """Return what makes the cells of a task, by column.

        What can change while a task lives is in the columns READ-…: as it was at READ-AT.
        """
        times = self.times()
        return {
            "PID": lambda it: str(it.tgid),
            "TID": lambda it: known(it.numbers[0]),
            "NSPID": lambda it: " ".join(map(known, it.numbers)),
            "NS": lambda it: str(it.inums[-1]),
            "LEVEL": lambda it: str(len(it.inums) - 1),
            "BORN": times.start,
            "ENDED": times.end,
            "READ-AT": times.facts,
            "READ-PPID": lambda it: known(it.ppid),
            "READ-PGID": lambda it: known(it.pgid),
            "READ-SID": lambda it: known(it.sid),
            "READ-UID": lambda it: known(it.uid),
            "READ-CONTAINER": self.container,
            "READ-COMM": lambda it: escape(it.comm),
        }

    def container(self, it: Holder) -> str:
        """Return the container that a task was in when its facts were read, for a cell."""
        container = self.past.container(it)
        if container is None:
            return "-" if self.past.knows_cgroup(it) else "?"
        return printable(display_name(container))

    def document(
        self, name: str, items: Sequence[dict[str, Any]], complete: bool, **more: Any
    ) -> dict[str, Any]:
        """Return the document whose list ``name`` holds ``items``, with ``more`` before it."""
        from pidscope.history.holder_json import moment_json  # text does without

        return {
            "schema": SCHEMA,
            "source": self.recording.path,
            "mode": "recording",
            "at": moment_json(self.moment),
            "complete": complete,
            **more,
            name: list(items),
        }


@contextlib.contextmanager
def past_question(args: argparse.Namespace) -> Iterator[PastQuestion]:
    """Open the recording that ``--source`` names, at the time of ``--at``.

    Raises UsageError, NotKnown, HostError, RecordingError.
    """
    expect_recording(args, "--at")
    moment = parse_time(args.at, read_now(), LocalZone())
    with open_recording(args.source, events=True) as recording:
        moment = of_its_boot(moment, recording)
        yield PastQuestion(recording, Past(recording, moment), moment)
        for line in recording.refused:
            warn(line)


def expect_recording(args: argparse.Namespace, option: str) -> None:
    """Raise UsageError for ``--proc``, or a ``--source`` that has no past."""
    if args.proc is not None:
        raise UsageError(f"--proc and {option} do not go together: a /proc has no past")
    source = args.source
    if source is not None and source.partition(":")[0] in _NO_PAST:
        raise UsageError(
            f"--source {printable(source)} and {option} do not go together",
            "a ring's directory, a recording, or armed: these have a past",
        )


def warn_several(found: Iterable[Holder]) -> int:
    """Print the numbers that several of these tasks had, and return the exit code."""
    had = Counter(place for it in found for place in zip(it.inums, it.numbers))
    several = [place for place, count in had.items() if count > 1 and place[1] is not None]
    for ns, number in several[:_MAX_LISTED]:
        warn(f"{number} in {bracketed(ns)}: several had it in that time")
    if len(several) > _MAX_LISTED:
        warn(f"… and {len(several) - _MAX_LISTED} more numbers")
    return AmbiguousError.exit_code if several else 0


def warn_gap(gap: Gap | None, times: ShownTimes, what: str) -> int:
    """Print why the answer may not be all of ``what``, and return the exit code."""
    if gap is None:
        return 0
    warn(f"other {what} may have lived then: not known: {times.gap(gap)}")
    return NotKnown.exit_code
