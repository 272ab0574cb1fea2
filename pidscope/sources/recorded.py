"""The recording of this host, as a log's numbers are asked of it: the ring, or what is armed."""

from __future__ import annotations

import atexit
import os
from collections import OrderedDict
from contextlib import AbstractContextManager, ExitStack

from pidscope.containers.container import Chain
from pidscope.errors import NotFound, NotKnown, PidscopeError, UsageError
from pidscope.history.answer import Answer, Gap, Holder
from pidscope.history.ask import Recorded
from pidscope.history.frames import is_of_events
from pidscope.history.moment import Clock, Moment
from pidscope.history.past import Chains, Past
from pidscope.history.recording import Recording
from pidscope.host.proc_files import read_boot_id
from pidscope.query.words import Kind, Where
from pidscope.sources.options import RING

ARMED = "armed"
_RECENT = 4
_PASTS = 16  # moments that are kept: the lines of a log come in their order


def open_recording(source: str | None, events: bool = False) -> AbstractContextManager[Recording]:
    """Return the recording that is named; else the ring, or what is armed where there is none.

    ``events``: it may be one of events, which answers the same questions about one time.

    Raises NotKnown: there is none; HostError, RecordingError.
    """
    if source not in (None, "proc", ARMED):
        return _of_events(source) if events and is_of_events(source) else Recording(source)
    if source != ARMED and (os.path.isdir(RING) or os.geteuid() != 0):  # noqa: PTH112
        return Recording(RING)
    from pidscope.live.program import expect_root  # ctypes, the programs' loader
    from pidscope.sources.armed_host import armed_recording
    from pidscope.sources.starting import Progress, supply_of

    expect_root()
    return armed_recording(supply_of(False, Progress()))


def _of_events(path: str) -> AbstractContextManager[Recording]:
    from pidscope.history.events_recording import EventsRecording  # most are of lives

    return EventsRecording(path)  # type: ignore[return-value]


def open_recorded(where: Where, source: str | None = None) -> Recorded:
    """Open what was recorded, until the end of this process, for numbers of one PID namespace.

    Raises NotKnown: nothing was recorded; HostError, RecordingError.
    """
    stack = ExitStack()
    recording = stack.enter_context(open_recording(source))
    atexit.register(stack.close)
    asker = _Asker(recording, where)
    return Recorded(asker.ask, recording.wall_ns, asker.container)


def of_its_boot(moment: Moment, recording: Recording) -> Moment:
    """Return a time with its boot.

    So long ago (``-10m``) is of this boot; what dmesg printed (``[12345.678]``) is that of a file,
    which may be of another boot and host, but of a ring it is this one's.
    """
    is_dmesg = moment.clock is Clock.MONOTONIC
    if moment.clock is Clock.REALTIME or moment.boot_id is not None:
        return moment
    if is_dmesg and not recording.is_ring:
        return moment
    return moment._replace(boot_id=read_boot_id().replace("-", ""))


class _Asker:
    """Answers line after line, of which neighbours have the same moment."""

    def __init__(self, recording: Recording, where: Where) -> None:
        self._recording = recording
        self._where = where
        self._own = _own_ns() if where.kind is Kind.SELF else None
        self._pasts: OrderedDict[Moment, Past | PidscopeError] = OrderedDict()
        self._chains: Chains = {}
        self._moment: Moment | None = None  # the last one, and its past
        self._latest: Past | PidscopeError | None = None
        self._recent: OrderedDict[object, Past] = OrderedDict()  # one for the same snapshots

    def ask(self, number: int, moment: Moment, thread: bool) -> Answer:
        """Return what had it; of threads the recording has all that it has."""
        past = self._past(moment)
        if isinstance(past, PidscopeError):
            return _unknown(past)
        try:
            ns = past.resolve(self._where) if self._own is None else self._own
        except (NotFound, NotKnown, UsageError) as error:
            return _unknown(error)
        answer = past.holders(ns, number)
        if thread:
            return answer
        return answer._replace(holders=tuple(it for it in answer.holders if not it.is_thread))

    def container(self, holder: Holder) -> Chain | None:
        """Return the containers around a task; None: its cgroup was not recorded."""
        for past in reversed(self._recent.values()):
            if past.knows_cgroup(holder):
                return past.chain(holder)
        return None

    def _past(self, moment: Moment) -> Past | PidscopeError:
        if moment == self._moment and self._latest is not None:  # cheaper than its hash
            return self._latest
        past = self._pasts.get(moment)
        if past is None:
            past = self._pasts[moment] = self._made(moment)
            if len(self._pasts) > _PASTS:
                self._pasts.popitem(last=False)
        if isinstance(past, Past):
            self._recent[past.spans] = past
            self._recent.move_to_end(past.spans)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        self._moment, self._latest = moment, past
        return past

    def _made(self, moment: Moment) -> Past | PidscopeError:
        try:
            return Past(self._recording, of_its_boot(moment, self._recording), self._chains)
        except NotKnown as error:
            return error


def _own_ns() -> int:
    return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 (pathlib takes a while to import)


def _unknown(error: PidscopeError) -> Answer:
    return Answer((), Gap("", 0, None, str(error)))  # of no boot: it is no stretch of one
