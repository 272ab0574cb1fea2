"""How a watch of the past is printed: a line a life, an object a life, or counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Callable, Protocol

from pidscope.commands.watch_output import print_counts
from pidscope.containers.container import Chain, display_name, innermost
from pidscope.escape import escape, printable
from pidscope.history.answer import Gap
from pidscope.history.holder_json import HolderObjects
from pidscope.history.questions import to_holder
from pidscope.history.shown_times import ShownTimes
from pidscope.query.fork_counts import ByComm, ByNamespace
from pidscope.render.events import ending
from pidscope.render.text import COMM_WIDTH, cut, cut_middle, known
from pidscope.terminal import table_width, warn
from pidscope.wire.lives import Life, LifeKind

_PID = 18


class Form(Protocol):
    """Where it goes."""

    def head(self, document: Mapping[str, Any]) -> None:
        """Begin."""

    def gap(self, gap: Gap) -> None:
        """Print that something is not known from here on."""

    def life(self, boot_id: str, life: Life, chain: Chain | None) -> None:
        """Print a life that ended."""

    def counts(self, document: Mapping[str, Any], counts: ByComm | ByNamespace) -> None:
        """Print the counts."""

    def end(self, document: Mapping[str, Any], text: str) -> None:
        """End."""


class TextForm:
    """Lines.

    Args:
        times: writes the times, to the millisecond.
        time_width: of the widest of them.
        headings: whether there is a heading.
        is_counted: only the counts go to standard output.
    """

    def __init__(
        self, times: ShownTimes, time_width: int, headings: bool, is_counted: bool
    ) -> None:
        self._times, self._time_width = times, time_width
        self._headings, self._is_counted = headings, is_counted
        self._width = table_width()

    def head(self, document: Mapping[str, Any]) -> None:
        """Print the heading."""
        if not document["threads"]:
            warn("threads were not recorded")
        if self._headings and not self._is_counted:
            print(self._line("TIME", "EVENT", "PID", "COMM", "DETAIL"))

    def gap(self, gap: Gap) -> None:
        """Print a line in its place, or a note beside the counts."""
        if self._is_counted:
            warn(f"GAP {self._times.gap(gap)}")
        else:
            time = self._times.at(gap.boot_id, gap.first_ns)
            print(f"{time:<{self._time_width}} {'GAP':<9} {self._times.gap(gap)}")

    def life(self, boot_id: str, life: Life, chain: Chain | None) -> None:
        """Print a line."""
        time = self._times.at(boot_id, life.end_ns)
        event = "exchange" if life.kind is LifeKind.EXECED else "exit"
        pid = cut_middle("/".join(map(known, life.numbers)), _PID, "/")
        comm = cut(escape(life.comm).rstrip(), COMM_WIDTH)
        line = self._line(time, event, pid, comm, self._detail(boot_id, life, chain))
        print(line if self._width is None else cut(line, self._width))

    def _line(self, time: str, event: str, pid: str, comm: str, detail: str) -> str:
        head = f"{time:<{self._time_width}} {event:<9} {pid:<{_PID}}"
        return f"{head} {comm:<{COMM_WIDTH}} {detail}".rstrip()

    def _detail(self, boot_id: str, life: Life, chain: Chain | None) -> str:
        born = "" if life.start_ns is None else f", born {self._times.at(boot_id, life.start_ns)}"
        return f"{_what(life)}{born}{_within(chain)}"

    def counts(self, document: Mapping[str, Any], counts: ByComm | ByNamespace) -> None:
        """Print the table."""
        print_counts(document, counts, self._headings, facts="READ-")

    def end(self, document: Mapping[str, Any], text: str) -> None:
        """Print what there was."""
        for note in document["notes"]:
            warn(note)
        warn(text)


def _what(life: Life) -> str:
    if life.kind is LifeKind.EXECED:
        return f"called exec, takes over {life.tgid}"
    if life.kind is LifeKind.LEADER:
        return "main thread only"
    how = "status not known" if life.status is None else ending(life.status)
    return f"thread of {life.tgid}, {how}" if life.kind is LifeKind.THREAD else how


def _within(chain: Chain | None) -> str:
    container = innermost(chain or ())
    if container is None:
        return ", in ?" if chain is None else ""
    return f", in {printable(display_name(container))}"


class JsonForm:
    """An object a line."""

    def __init__(self, realtime_ns: Callable[[str, int], int | None], zone: tzinfo) -> None:
        self._chain: Chain | None = None  # of the life that is printed
        self._made = HolderObjects(realtime_ns, lambda _: self._chain, zone)

    def head(self, document: Mapping[str, Any]) -> None:
        """Print what is asked for."""
        print(json.dumps({"type": "past", **document}))

    def gap(self, gap: Gap) -> None:
        """Print a gap in its place."""
        print(json.dumps({"type": "gap", "gap": self._made.gap(gap)}))

    def life(self, boot_id: str, life: Life, chain: Chain | None) -> None:
        """Print a life."""
        self._chain = chain
        task = self._made.holder(to_holder(boot_id, life, life.end_ns))
        print(json.dumps({"type": "life", "kind": life.kind.name.lower(), "task": task}))

    def counts(self, document: Mapping[str, Any], counts: ByComm | ByNamespace) -> None:
        """Print the counts."""
        print(json.dumps(document))

    def end(self, document: Mapping[str, Any], text: str) -> None:
        """Print what there was."""
        print(json.dumps({"type": "past_ended", **document}))
