"""``pidscope lookup``: whose number it is in one namespace, and what it is in another."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from pidscope.commands.elsewhere import warn_elsewhere
from pidscope.errors import HostError, NotFound, NotKnown, UsageError
from pidscope.escape import printable
from pidscope.gc_pause import gc_paused
from pidscope.query import process as documents
from pidscope.query.lookup import Answer, Numbers, answer_json
from pidscope.query.process import Process
from pidscope.query.typed_pid import MAX_NUMBER, parse_pid
from pidscope.query.where import Place, bracketed, parse_where
from pidscope.render import lookup as answers
from pidscope.render import tables as views
from pidscope.render.text import WIDTH
from pidscope.snapshot import TaskReading
from pidscope.sources.listing import Listed, add_options, listed
from pidscope.sources.options import SEE_SCENARIOS
from pidscope.sources.where import (
    EXPLAINED,
    ROOT,
    add_in,
    containers_of,
    place_of,
    wants_containers,
    warn_shared,
    warn_unread,
)
from pidscope.terminal import warn

_EXAMPLES = f"""\
A number is of a process or of a thread; it stays taken, too, while a group or
session is called by it, though its process is gone. Such a number, and those
whose tasks have ended as far as that was recorded, are told with status 1.
Without --in and --to the numbers are this /proc's, and which processes have
the same in other namespaces is said on standard error.

{EXPLAINED}
columns (-o; a leading + adds to the default ones):
  NUMBER     as asked, in --in
  TO         what that is in --to: 0: no number there; ?: may not be read
  NSPID, NS  all its numbers, the outermost first; where the last one counts
  COMM, WHAT its name; process, thread, zombie, joined (came from outside), …
  and those of pidscope ps but REAPER, for who is alive

examples:
  pidscope lookup 17 --in web          which process is it that web calls 17?
  pidscope lookup 4242 --to pid:4242   and what does 4242 call itself?
  strace -p $(pidscope lookup -q 17 --in id:3f2a91)
  grep -o 'pid [0-9]*' log | cut -c5- | pidscope lookup - --in pod:default/db
  pidscope lookup 5 --in pid:4 --source simulated:reuse
                                       who is 5, and who was 5 before?

{SEE_SCENARIOS}

exit status: 0 all are alive; 1 no process has one of them now; 2 wrong usage,
or a WHERE that is several; 3 this user may not see it; 4 not known: nobody has
it now, and nothing was recording.
"""
_STDIN_MAX = 1 << 20  # bytes
_MAX_TOLD = 10  # numbers in one message
_ZERO = "0 stands for who has no number in that namespace, such as a parent outside it"
_UNRECORDED = """\
who was before is not known: nothing was recording
pidscope watch -J >FILE records from now on"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "lookup",
        help="whose number it is, and what it is elsewhere",
        description="Translate PIDs and TIDs between PID namespaces, from /proc.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pids", nargs="+", metavar="PID", help="numbers; -: standard input's")
    add_in(parser)
    parser.add_argument(
        "--to", metavar="WHERE", type=parse_where, help="translate to it (default: this /proc's)"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="only the numbers in --to, of who is alive"
    )
    add_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print whose the numbers are; raise UsageError, AmbiguousError, NotFound, HostError."""
    columns: list[str] = list(answers.DEFAULT)
    if args.output is not None:
        columns = views.choose_columns(args.output, answers.COLUMNS, answers.DEFAULT)
    if args.quiet and args.json:
        raise UsageError("-q and -J do not go together")
    numbers = list(_numbers(args.pids))
    world = listed(args, recorded=True)
    with gc_paused():
        return _answer(world, args, columns, numbers)


def _numbers(words: Iterable[str]) -> Iterable[int]:
    """Understand the arguments; raise UsageError for what is no number of a task."""
    for word in words:
        if word == "-":
            yield from map(_number, _stdin_words())
        else:
            yield _number(word)


def _stdin_words() -> list[str]:
    if sys.stdin is None:
        raise UsageError("-: there is no standard input")
    raw = sys.stdin.buffer.read(_STDIN_MAX + 1)
    if len(raw) > _STDIN_MAX:
        raise UsageError("-: more than 1 MiB of numbers")
    return [word.decode("utf-8", "surrogateescape") for word in raw.split()]


def _number(word: str) -> int:
    number = parse_pid(word)
    if number is None:
        hint = f"a PID is a number from 1 to {MAX_NUMBER}; - reads them from standard input"
        raise UsageError(f"'{printable(word)}': no PID", _ZERO if word.strip("0") == "" else hint)
    return number


class _Fault(NamedTuple):
    """Why some numbers have no answer, or only half of one; ``{}`` in the text stands for them."""

    exit_code: int
    text: str = ""  # empty: the table says it
    hint: str = ""


def _answer(
    world: Listed, args: argparse.Namespace, columns: list[str], numbers: Sequence[int]
) -> int:
    named = wants_containers(args.json, columns, args.where, args.to)
    starts = named or not views.PS_STARTS.isdisjoint(columns)
    snapshot = world.proc.snapshot(threads=False, starts=starts, cgroups=named)
    containers = containers_of(world, snapshot, columns)
    place, to = (
        Place(world.mount.ns) if where is None else place_of(where, world, snapshot, containers)
        for where in (args.where, args.to)
    )
    everyone = world.processes(snapshot, containers)
    threads = _threads(world, Numbers(everyone, place.ns), place, numbers)
    if threads:
        snapshot = snapshot._replace(tasks=(*snapshot.tasks, *threads))
        everyone = world.processes(snapshot, containers)
    found = _find(world, everyone, place, to, numbers)
    unseen = _may_be_hidden(world, everyone, place)
    if args.quiet:
        _print_quiet(found)
    elif args.json:
        documents.tell_levels(everyone, world.homes(everyone, containers).own)
        boot_time = world.boot_time()
        told = [answer_json(one, boot_time) for one in found]
        complete = documents.is_complete(everyone) and world.proc.sees_all()
        known = world.knows_containers()
        world.print_document("lookups", told, complete, containers_known=known)
    else:
        _print_table(world, args, columns, found)
        world.warn_outermost()
        for one in dict.fromkeys((place, to)):
            warn_shared(one)
        if args.where is None and args.to is None:
            warn_elsewhere(world, everyone, frozenset(numbers))
        _tell_unread(found)
    return _tell_faults(_faults(found, world, unseen, args.quiet))


def _threads(
    world: Listed, known: Numbers, place: Place, numbers: Sequence[int]
) -> list[TaskReading]:
    """Read whoever else may have one of ``numbers``; the processes are ``known``."""
    missing = sorted({number for number in numbers if known.who(number).task is None})
    if place.ns == world.mount.ns:  # its numbers are the names of files
        wanted = missing
    elif missing:
        wanted = [tid for pid in known.processes() for tid in world.proc.threads(pid) if tid != pid]
    else:
        wanted = []
    return [reading for reading in map(world.proc.read, wanted) if reading is not None]


def _find(
    world: Listed, everyone: list[Process], place: Place, to: Place, numbers: Sequence[int]
) -> list[Answer]:
    known, record = Numbers(everyone, place.ns), world.record
    return [
        Answer(
            place.ns,
            to.ns,
            known.who(number),
            None if record is None else record.lives(place.ns or 0, number),
        )
        for number in numbers
    ]


def _may_be_hidden(world: Listed, everyone: Iterable[Process], place: Place) -> bool:
    """Whether a task may have a number there that this user cannot read."""
    if not world.proc.sees_all():
        return True
    inner = place.ns != world.mount.ns
    return inner and any(level["ns"] is None for task in everyone for level in task["levels"])


def _print_quiet(found: Iterable[Answer]) -> None:
    for answer in found:
        if answer.taken.task is not None and answer.translated:
            print(answer.translated)


def _print_table(
    world: Listed, args: argparse.Namespace, columns: list[str], found: list[Answer]
) -> None:
    boot_time = world.boot_time()

    def clock(since_boot_ns: int) -> datetime:
        return datetime.fromtimestamp(boot_time + since_boot_ns / 1e9)

    width = None if args.output is not None else WIDTH
    headings = not args.noheadings
    text = answers.answer_table(found, columns, clock, headings=headings, width=width)
    if text:
        print(text)


def _tell_unread(found: Iterable[Answer]) -> None:
    tasks = [answer.taken.task for answer in found if answer.taken.task is not None]
    if not documents.is_complete(tasks):
        warn_unread(tasks)


def _faults(
    found: Iterable[Answer], world: Listed, unseen: bool, quiet: bool
) -> dict[_Fault, list[int]]:
    """Which numbers have no answer, by the reason."""
    faults: dict[_Fault, list[int]] = {}
    for answer in found:
        fault = _fault(answer, world, unseen, quiet)
        if fault is not None:
            faults.setdefault(fault, []).append(answer.taken.number)
    return faults


def _fault(answer: Answer, world: Listed, unseen: bool, quiet: bool) -> _Fault | None:
    where, record = bracketed(answer.ns), world.record
    if answer.taken.task is not None:
        return _untranslated(answer) if quiet else None
    if answer.taken.held is not None:
        text = f"no process is {{}} in {where}: a group or session has it"
        return _Fault(NotFound.exit_code, text if quiet else "")
    if unseen:
        text = f"nobody that this user may see is {{}} in {where}"
        return _Fault(HostError.exit_code, text, ROOT)
    now = f"nobody is {{}} in {where} now"
    if quiet or answer.ended:
        return _Fault(NotFound.exit_code, now if quiet else "")
    if record is None:
        return _Fault(NotKnown.exit_code, now, _UNRECORDED)
    if record.ended.dropped:
        hint = f"who was is not known: only the last {record.ended.kept} that ended are kept"
        return _Fault(NotKnown.exit_code, now, hint)
    return _Fault(NotFound.exit_code, f"{now}, and nobody was before")


def _untranslated(answer: Answer) -> _Fault | None:
    where, to = bracketed(answer.ns), bracketed(answer.to)
    if answer.translated is None:
        return _Fault(HostError.exit_code, f"what {{}} in {where} is in {to} may not be read", ROOT)
    if not answer.translated:
        return _Fault(NotFound.exit_code, f"no number in {to} for {{}} in {where}")
    return None


def _tell_faults(faults: dict[_Fault, list[int]]) -> int:
    """Say them on standard error, and return the exit code of the gravest."""
    for fault, numbers in faults.items():
        if fault.text:
            warn(fault.text.format(_enumerated(numbers)))
    for hint in dict.fromkeys(line for fault in faults for line in fault.hint.splitlines()):
        warn(hint)
    return max((fault.exit_code for fault in faults), default=0)


def _enumerated(numbers: Sequence[int]) -> str:
    more = len(numbers) - _MAX_TOLD
    words = [*map(str, numbers[:_MAX_TOLD]), *([f"{more} others"] if more > 0 else [])]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
