"""``pidscope watch --since``: the lives of the past, from a recording, or counts of its births."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from pidscope.commands.past_question import expect_recording
from pidscope.commands.watch_since_output import Form, JsonForm, TextForm
from pidscope.containers.container import Chain
from pidscope.errors import AmbiguousError, NotFound, NotKnown, UsageError
from pidscope.escape import printable
from pidscope.history.answer import Gap
from pidscope.history.between import Piece, pieces
from pidscope.history.holder_json import moment_json
from pidscope.history.life_stream import Ended, ended
from pidscope.history.moment import Moment, Now
from pidscope.history.past import Past
from pidscope.history.past_counts import (
    Births,
    BirthsByComm,
    BirthsByNamespace,
    Inits,
    Snapshot,
    is_birth,
)
from pidscope.history.past_filter import (
    Chains,
    Everywhere,
    InContainer,
    InNamespace,
    PlaceFilter,
    names_container,
)
from pidscope.history.questions import is_of_process
from pidscope.history.reach import Overview, reached
from pidscope.history.recording import Recording
from pidscope.history.shown_times import ShownTimes
from pidscope.history.typed_time import parse_time
from pidscope.query.words import Kind
from pidscope.render.fork_counts import counts_json
from pidscope.sources.clocks import LocalZone, local_day, read_now
from pidscope.sources.recorded import of_its_boot, open_recording
from pidscope.terminal import forget_stdout, warn
from pidscope.wire.hooks import AUTO

_LIVE_ONLY = (  # an attribute, what it is if it was not given, how it is given
    ("tree", None, "--tree"),
    ("type", None, "--type"),
    ("failed", False, "--failed"),
    ("verbose", False, "-v"),
    ("duration", None, "--duration"),
    ("all", False, "--all"),
    ("probes", AUTO, "--probes"),
    ("no_cache", False, "--no-cache"),
    ("command", None, "a CMD"),
)
_TIME_WIDTH = 12  # of 14:03:05.250


def run(args: argparse.Namespace) -> int:
    """Print what was recorded of a stretch of time.

    Raises UsageError, AmbiguousError, NotFound, NotKnown, HostError, RecordingError.
    """
    args.source = None if args.source == "live" else args.source  # the default of a watch
    expect_recording(args, "--since")
    for name, default, option in _LIVE_ONLY:
        if getattr(args, name) != default:
            raise UsageError(f"{option} and --since do not go together: only lives are recorded")
    now, zone = read_now(), LocalZone()
    since = parse_time(args.since, now, zone)
    until = None if args.until is None else parse_time(args.until, now, zone)
    if until is not None and _is_before(until, since, now):
        raise UsageError("--until is before --since")
    with open_recording(args.source) as recording:
        since = of_its_boot(since, recording)
        if until is None:
            until = reached(recording, now, by_snapshot=args.by is not None)
        code = _PastWatch(args, recording, since, of_its_boot(until, recording)).run()
        for line in recording.refused:
            warn(line)
    return code


def _is_before(until: Moment, since: Moment, now: Now) -> bool:
    return now.on(until.clock) - until.last_ns > now.on(since.clock) - since.first_ns


class _PastWatch:
    """One run: what is asked for, and what was met on the way."""

    def __init__(
        self, args: argparse.Namespace, recording: Recording, since: Moment, until: Moment
    ) -> None:
        self._args, self._recording = args, recording
        self._since, self._until = since, until
        self._chains = Chains()
        self._lives = self._undated = 0
        self._gaps: set[Gap] = set()
        self._overview = Overview(self._pieces())
        if self._overview.is_empty:
            hint = recording.reach_text()
            if args.by is not None and args.until is None:
                hint += "\nbirths are counted up to the last snapshot; there is one a minute"
            raise NotKnown("nothing was recorded of that time", hint)
        self._place = self._find_place()
        self._form = self._find_form()

    def run(self) -> int:
        """Print the lives, or the counts; return the exit code."""
        self._form.head(self._head())
        try:
            if self._args.by is None:
                self._list()
            else:
                self._count()
            code = self._end()
            sys.stdout.flush()
        except BrokenPipeError:  # as for a live watch
            forget_stdout()
            return 0
        return code

    def _pieces(self) -> Iterator[Piece]:
        return pieces(self._recording, self._since, self._until)

    def _find_place(self) -> PlaceFilter:
        """Return what picks the lives of ``--in``; raises UsageError, NotFound, NotKnown."""
        where = self._args.where
        if where is None or where.kind is Kind.HOST:
            return Everywhere()
        if names_container(where):
            return InContainer(where, (it.file for it in self._pieces()))
        ns = where.number
        if where.kind is not Kind.NS:
            begin = self._since._replace(last_ns=self._since.first_ns)
            ns = Past(self._recording, begin).resolve(where)
        return InNamespace(ns, self._overview.tails.values(), self._pieces())

    def _find_form(self) -> Form:
        zone = LocalZone()
        if self._args.json:
            return JsonForm(self._recording.wall_ns, zone)
        times = ShownTimes(self._recording.wall_ns, zone, local_day(zone), 3)
        width = max([_TIME_WIDTH, *map(len, self._bounds(times))])
        return TextForm(times, width, not self._args.noheadings, self._args.by is not None)

    def _bounds(self, times: ShownTimes) -> Iterator[str]:
        """Yield the first and the last time that may be printed."""
        for boot_id, asked in self._overview.asked.items():
            through_ns = self._overview.tails[boot_id][-1].clocks.through_ns
            yield times.at(boot_id, max(0, asked.first_ns))
            yield times.at(boot_id, min(asked.last_ns, through_ns))

    def _head(self) -> dict[str, Any]:
        where = self._args.where
        return {
            "source": self._recording.path,
            "mode": "recording",
            "since": moment_json(self._since),
            "until": moment_json(self._until),
            "where": None if where is None else printable(where.word),
            "threads": self._overview.threads,
            "cannot": [printable(it) for it in self._overview.cannot],
        }

    def _list(self) -> None:
        for item in ended(self._pieces()):
            if isinstance(item, Gap):
                self._gap(item)
                continue
            chain = self._chain(item)
            if self._place.includes(item.boot_id, item.life, chain):
                self._lives += 1
                self._form.life(item.boot_id, item.life, chain)

    def _chain(self, item: Ended) -> Chain | None:
        return self._chains.of(item.file, item.life)

    def _gap(self, gap: Gap) -> None:
        if gap not in self._gaps:
            self._gaps.add(gap)
            self._form.gap(gap)

    def _count(self) -> None:
        inits, births = Inits(), BirthsByComm() if self._args.by == "comm" else None
        if births is None:
            for piece in self._pieces():
                first_ns = self._overview.asked[piece.boot_id].first_ns
                inits.add_lives(piece, first_ns, self._chains)
        found = BirthsByNamespace(inits) if births is None else births
        for boot_id, run in groupby(self._pieces(), key=lambda it: it.boot_id):
            self._count_boot(boot_id, run, inits, found)
        made = found.finish()
        document = counts_json(made, found.owner_of, False)
        self._form.counts(_past_counts(document, self._overview.threads), made)

    def _count_boot(self, boot_id: str, run: Iterable[Piece], inits: Inits, births: Births) -> None:
        """Count what was born on one boot."""
        snapshot = Snapshot(self._overview.tails[boot_id])
        for file, life in snapshot.tasks():
            inits.add(boot_id, life, self._chains.of(file, life))
        for item in ended(run, snapshot.taken_ns):
            if isinstance(item, Gap):
                self._gap(item)
                continue
            snapshot.leave_out(item.life)
            self._add(births, item)
        for file, life in snapshot.tasks():
            self._add(births, Ended(boot_id, file, life), lives_on=True)
        for gap in snapshot.gaps:
            self._gap(gap)

    def _add(self, births: Births, item: Ended, lives_on: bool = False) -> None:
        """Count a life if it began then, in the place that was asked for."""
        boot_id, _, life = item
        is_born = is_birth(life, self._overview.asked[boot_id], lives_on)
        if is_born is False or not (self._overview.threads or is_of_process(life)):
            return
        if self._place.includes(boot_id, life, self._chain(item)):
            if is_born is None:
                self._undated += 1
                return
            self._lives += 1
            births.add(boot_id, life)

    def _end(self) -> int:
        """Print what there was, and return the exit code; raise NotFound: no such place."""
        several, unknown = self._place.several(), self._unknown()
        what = "ended" if self._args.by is None else "births"
        is_complete = not self._gaps and not unknown
        document = {"lives": self._lives, "gaps": len(self._gaps), "complete": is_complete}
        gaps = f"{len(self._gaps)} gap{'' if len(self._gaps) == 1 else 's'}"
        notes = [*several, *unknown]
        self._form.end({**document, "notes": notes}, f"{self._lives} {what}, {gaps}")
        if is_complete and not self._place.is_known:
            raise NotFound(f"no place '{printable(self._args.where.word)}' then")
        codes = [NotKnown.exit_code] if not is_complete else []
        return max([*codes, AmbiguousError.exit_code if several else 0])

    def _unknown(self) -> list[str]:
        """Return what else is not known."""
        notes = []
        if self._place.unknown:
            notes.append(self._place.unknown_text())
        if self._undated:
            notes.append(f"{self._undated} threads that called exec may have been born then, too")
        return notes


def _past_counts(document: dict[str, Any], threads: bool) -> dict[str, Any]:
    """Return counts as those of a recording, of which all is null that is not recorded."""
    unseen: dict[str, Any] = {} if threads else {"births": None, "threads": None}
    rows = [{**row, **unseen} for row in document["rows"]]
    others = {**document["others"], **unseen}
    return {**document, "counted": "recording", "rows": rows, "others": others}
