"""A recording that a test wrote down, and the command that asks it: ``python -m … annotate``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.history.answer import Answer, Gap, Holder
from pidscope.history.ask import Recorded
from pidscope.history.moment import SECOND_NS, Clock, Moment

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
BOOTED_NS = 1_796_000_000 * SECOND_NS  # 2026-11-30T00:53:20Z, when CLOCK_BOOTTIME was 0
OUTER, INNER = 4_026_531_836, 4_026_532_163
WEB = (Container("docker", "3f2a91" + "0" * 58, "web"),)


def holder(
    numbers: tuple[int | None, ...],
    start_s: float | None,
    end_s: float | None,
    *,
    comm: bytes = b"nginx",
    status: int | None = 0,
    tgid: int | None = None,
    boot_id: str = BOOT,
    facts_s: float | None = None,
) -> Holder:
    """A life; times in seconds since the boot. The facts are those of its end."""
    end_ns = None if end_s is None else int(end_s * SECOND_NS)
    facts_ns = end_ns if facts_s is None else int(facts_s * SECOND_NS)
    assert facts_ns is not None
    start_ns = None if start_s is None else int(start_s * SECOND_NS)
    first = numbers[0] or 0
    inums = (OUTER, INNER)[: len(numbers)]
    group = first if tgid is None else tgid
    return Holder(
        boot_id,
        numbers,
        inums,
        group,
        start_ns,
        end_ns,
        status,
        facts_ns,
        comm,
        1,
        first,
        first,
        1000,
        77,
    )


class Told(NamedTuple):
    """Lives and gaps; the containers are by comm."""

    holders: Sequence[Holder]
    gaps: Sequence[Gap] = ()
    containers: dict[bytes, Chain | None] = {}  # noqa: RUF012 - nothing changes it
    asked: list[tuple[int, Moment, bool]] | None = None

    def ask(self, number: int, moment: Moment, thread: bool) -> Answer:
        """Those that had it within the moment; of threads only if it is asked."""
        if self.asked is not None:
            self.asked.append((number, moment, thread))
        shift = BOOTED_NS if moment.clock is Clock.REALTIME else 0
        first, last = moment.first_ns - shift, moment.last_ns - shift
        found = tuple(
            it
            for it in self.holders
            if it.numbers[0] == number
            and (thread or not it.is_thread)
            and (it.start_ns or 0) <= last
            and (it.end_ns is None or it.end_ns >= first)
        )
        gaps = [
            it
            for it in self.gaps
            if it.first_ns <= last and (it.last_ns is None or it.last_ns >= first)
        ]
        return Answer(found, gaps[0] if gaps else None)

    def realtime_ns(self, boot_id: str, boottime_ns: int) -> int | None:
        """The wall clock's, of the one boot."""
        return BOOTED_NS + boottime_ns if boot_id == BOOT else None

    def container(self, it: Holder) -> Chain | None:
        """The one of its comm."""
        return self.containers.get(it.comm, ())

    def recorded(self) -> Recorded:
        """As it is asked."""
        return Recorded(self.ask, self.realtime_ns, self.container)


AT_S = 43_785  # 2026-11-30T14:03:05+01:00


def told() -> Told:
    """The recording of the commands: one life of 4242, two of 7, none of 9, 5 falls into a gap."""
    at = AT_S
    return Told(
        [
            holder((4242, 17), at - 6, at + 0.5, status=9),
            holder((7,), at - 100, at - 2, comm=b"old", status=256),
            holder((7,), at - 1, None, comm=b"new", facts_s=at + 60),
        ],
        [Gap(BOOT, int((at + 3_600) * SECOND_NS), None, "nothing was recording")],
        {b"nginx": WEB},
    )


def main() -> int:
    """Run the command line with the recording that `told` makes."""
    from pidscope import cli
    from pidscope.sources import recorded

    if "annotate" not in cli._COMMANDS:
        cli._COMMANDS = (*cli._COMMANDS, "annotate")  # type: ignore[assignment]
    recorded.open_recorded = lambda where: told().recorded()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
