"""``pidscope record``: keep the lives of all tasks, to be asked about a time afterwards."""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pidscope.errors import UsageError
from pidscope.sources.command import Stop, expect_command, seconds, spawned, status
from pidscope.sources.options import RING, HelpFormatter
from pidscope.sources.starting import Progress, add_no_cache, supply_of
from pidscope.sources.waiting import waiting
from pidscope.terminal import warn
from pidscope.wire.hooks import AUTO, WAYS

if TYPE_CHECKING:
    from pidscope.history.file_keeper import FileKeeper
    from pidscope.history.recorder import Recorder
    from pidscope.history.ring_writer import RingWriter

_EVERY_S = 1.0
_MAX_BYTES = 1 << 30
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EXAMPLES = f"""\
One record is kept for each task, when it ends: its numbers in every PID
namespace, its start and end, parent, group, session, name, status, user and
cgroup. Every minute all living tasks are kept, too. Command lines are not.

examples:
  pidscope record --ring           always on, in {RING}
  pidscope record --ring DIR --max-bytes 4G --max-age 7d
  pidscope record web.rec -- make  into a file to share, until make ends
  pidscope record --status         what a ring has, and since when
  pidscope record --gaps           which times it does not know all of
  pidscope record --check web.rec  is it whole?
  pidscope lookup 17 --at 14:03:05 --in web
                                   and then ask
  pidscope record --events all.rec -- make
                                   every event, until make ends
  pidscope watch --source all.rec  play it back; also verify, ps, ns, lookup,
                                   explain: as it was when make had ended

--events keeps all that a watch learns: each step of each fork, exec, change of
group and exit, all tasks and their containers at its begin and end, and at its
end the comparison with /proc that verify makes. A process takes 50 to 300
bytes. After kill -9 at most the last second is missing.

A ring's files are sealed at 131,072 lives or after an hour, and the oldest
are removed to stay within --max-bytes and --max-age, or if the disk is full.
Ctrl-C ends it in order; after kill -9 at most the last second is missing.

exit status: 0 good; 1 with --check: a part is damaged; 2 wrong usage; 3 this
host cannot do it, with the reason; 4 there is no such ring.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "record",
        usage="pidscope record --ring [DIR] [--max-bytes SIZE] [--max-age AGE] …\n"
        "       pidscope record FILE [--duration S] … [-- CMD…]\n"
        "       pidscope record --events FILE [--duration S] [--source S] … [-- CMD…]\n"
        "       pidscope record --status [DIR] | --gaps [DIR] | --check PATH [-J]",
        help="keep the lives of all tasks, to ask about a time afterwards",
        description="Keep a record of every task that ends on this host, and of all that live.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a new file")
    parser.add_argument(
        "--ring", nargs="?", const=RING, metavar="DIR", help=f"a directory (default: {RING})"
    )
    parser.add_argument(
        "--max-bytes", type=_size, metavar="SIZE", help="of a ring, such as 512M or 4G (1G)"
    )
    parser.add_argument(
        "--max-age", type=_age, metavar="AGE", help="of a ring's files, such as 12h or 7d"
    )
    parser.add_argument(
        "--events", metavar="FILE", help="every event into a new file, to be played back"
    )
    parser.add_argument(
        "--source",
        default="live",
        metavar="SOURCE",
        help="of --events: live (default) or simulated[:SCENARIO]",
    )
    parser.add_argument("--duration", type=seconds, metavar="S", help="seconds")
    parser.add_argument(
        "--no-threads", action="store_true", help="no record for threads, only for processes"
    )
    parser.add_argument(
        "--status", nargs="?", const=RING, metavar="DIR", help="show what a ring or a file has"
    )
    parser.add_argument(
        "--gaps",
        nargs="?",
        const=RING,
        metavar="DIR",
        help="list the times that a ring or a file does not know all of",
    )
    parser.add_argument("--check", metavar="PATH", help="read all of a ring or a file")
    parser.add_argument(
        "-J", "--json", action="store_true", help="JSON, for --status, --gaps and --check"
    )
    parser.add_argument(
        "--probes", default=AUTO, choices=(AUTO, *WAYS), help="the best that works, or one"
    )
    add_no_cache(parser)
    parser.set_defaults(func=run, command=None, proc=None)


def run(args: argparse.Namespace) -> int:
    """Record; raise UsageError, HostError, OSError."""
    forms = args.file, args.ring, args.events, args.status, args.gaps, args.check
    if sum(it is not None for it in forms) != 1:
        raise UsageError(
            "one of FILE, --ring, --events, --status, --gaps and --check", "pidscope record --help"
        )
    if args.gaps is not None:
        from pidscope.commands import record_gaps  # what records does without

        return record_gaps.show(args)
    if args.status is not None or args.check is not None:
        from pidscope.commands.record_status import show  # what records does without

        return show(args)
    if args.json:
        raise UsageError("-J is for --status, --gaps and --check")
    if args.events is not None:
        from pidscope.commands.record_events import run as run_events  # as above

        return run_events(args)
    if args.source != "live":
        raise UsageError("--source is for --events: lives are recorded of this host")
    if args.file is not None and (args.max_bytes is not None or args.max_age is not None):
        raise UsageError("--max-bytes and --max-age are for --ring")
    if args.ring is not None and args.command is not None:
        raise UsageError("a ring goes on: CMD is for a FILE")
    if args.command is not None:
        expect_command(args.command)
    return _record(args)


def _record(args: argparse.Namespace) -> int:
    from pidscope.live.program import expect_root
    from pidscope.sources.own_rules import own_rules
    from pidscope.sources.recording_host import recorder

    expect_root()
    progress = Progress()
    rules, faults = own_rules()
    for line in faults:
        warn(line)
    with Stop().listening() as stop, _keeper(args) as keeper:
        supply = supply_of(args.no_cache, progress)
        with contextlib.ExitStack() as stack:
            with progress.patient():
                opened = recorder(keeper, args.probes, not args.no_threads, supply, rules)
                made, source = stack.enter_context(opened)
            stop.begin()
            warn(f"recording by {source.way} into {args.file or args.ring}")
            code = _go_on(args, made, stop)
        warn(f"{made.lives} lives recorded")
    return code


@contextlib.contextmanager
def _keeper(args: argparse.Namespace) -> Iterator[RingWriter | FileKeeper]:
    if args.file is not None:
        from pidscope.history.file_keeper import FileKeeper

        keeper: RingWriter | FileKeeper = FileKeeper(args.file)
    else:
        from pidscope.history.ring_writer import Limits, RingWriter

        age_ns = None if args.max_age is None else args.max_age * 1_000_000_000
        limits = Limits(args.max_bytes or _MAX_BYTES, age_ns)
        keeper = RingWriter(args.ring, limits, warn)
    try:
        yield keeper
    finally:
        keeper.close()


def _go_on(args: argparse.Namespace, made: Recorder, stop: Stop) -> int:
    """Record until CMD, the time, or the user ends it."""
    end_s = time.monotonic() + (math.inf if args.duration is None else args.duration)
    with contextlib.ExitStack() as stack:
        child = None if args.command is None else stack.enter_context(spawned(args.command))
        until = stack.enter_context(waiting(is_printed=False))
        stack.enter_context(_waking_children())
        while not stop.asked and time.monotonic() < end_s:
            if child is not None and child.poll() is not None:
                break
            until.wait(min(_EVERY_S, end_s - time.monotonic()))
            made.step()
    made.finish()
    if child is not None and child.returncode is not None and child.returncode:
        warn(f"the command ended with {status(child.returncode)}")
    return 0


@contextlib.contextmanager
def _waking_children() -> Iterator[None]:
    """Let a child's end be a signal that has a handler."""
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _size(text: str) -> int:
    number, unit = (text[:-1], text[-1:]) if text[-1:].upper() in _UNITS else (text, "")
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise argparse.ArgumentTypeError(f"not a size such as 512M: {text!r}")
    return int(number) * _UNITS.get(unit.upper(), 1)


def _age(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if unit not in _TIMES or not (number.isascii() and number.isdigit() and len(number) < 9):
        raise argparse.ArgumentTypeError(f"not an age such as 12h or 7d: {text!r}")
    return int(number) * _TIMES[unit]
