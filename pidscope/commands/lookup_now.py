"""What has a number now: the look-up in /proc, or in a world that looks like one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pidscope.commands.notes import print_text, unread_notes
from pidscope.commands.typed_numbers import TypedNumbers
from pidscope.errors import UsageError
from pidscope.gc_pause import gc_paused
from pidscope.query.labels import describe
from pidscope.query.lookup import Fault, LookUp, Namesake, look_up
from pidscope.query.place import bracketed
from pidscope.query.typed_pid import expect_pid
from pidscope.query.view import View
from pidscope.render import lookup as rendered
from pidscope.render import tables
from pidscope.render.json import answer_json, namesake_json, owners_json
from pidscope.sources.list_options import width_of
from pidscope.sources.listed import Listed, listed
from pidscope.sources.listing import read
from pidscope.sources.privilege import own_hint
from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.query.evidence import Explained

_MAX_TOLD = 10  # numbers in one message
_MAX_NAMESAKES = 5


def run(args: argparse.Namespace) -> int:
    """Print what has the numbers; raise UsageError, AmbiguousError, NotFound, HostError."""
    columns = list(rendered.DEFAULT)
    if args.output is not None:
        columns = tables.choose_columns(args.output, rendered.COLUMNS, rendered.DEFAULT)
    if args.quiet and args.explain:
        raise UsageError("-q and --explain do not go together")
    given = [None if word == "-" else expect_pid(word) for word in args.pids]
    typed = TypedNumbers(given, None if sys.stdin is None else sys.stdin.buffer)
    world = listed(args, recorded=True)
    batches: Iterable[Sequence[int]] = typed.batches()
    if args.json:  # one document
        batches = [[number for batch in batches for number in batch]]
    codes = [0]
    for numbers in batches:
        codes.append(_answer(world, numbers, args, columns, typed.refused))
        sys.stdout.flush()
        args.noheadings = True  # there is one heading
    return max(*codes, UsageError.exit_code if typed.refused else 0)


@gc_paused()
def _answer(
    world: Listed,
    numbers: Sequence[int],
    args: argparse.Namespace,
    columns: list[str],
    refused: Sequence[str],
) -> int:
    """Read /proc once, and print what has these numbers now; return the exit code."""
    shown = not tables.CONTAINERS.isdisjoint(columns)
    view = read(
        world,
        threads=False,
        starts=args.json or shown or not tables.PS_STARTS.isdisjoint(columns),
        containers=args.json or shown or args.explain,
        shows_containers=shown,
        where=args.where,
        to=args.to,
        numbers=numbers,
    )
    if args.quiet:
        _expect_own(view)
    plain = args.where is None and args.to is None and not args.quiet
    result = look_up(view, numbers, args.quiet, elsewhere=plain)
    if result.unread:
        view = view.with_notes(unread_notes(result.unread))
    if args.quiet:
        numbers_there = [it.translated for it in result.answers if it.taken.task is not None]
        print_text("\n".join(str(number) for number in numbers_there if number))
    elif args.json:
        _print_json(world, view.with_notes(refused), result, args.explain)
    else:
        _print_table(world, view, result, args, columns)
        if args.explain:
            _print_evidence(view, result)
    return _warn_faults(result.faults)


def _expect_own(view: View) -> None:
    """Raise UsageError if a number in a container's name would be the host's.

    Prints on standard error which containers of users have the name as well.
    """
    for place in dict.fromkeys(it for it in (view.place, view.to) if it.container):
        from pidscope.query.where import expect_own, users_of  # what names no container does not

        expect_own(place)
        for line in users_of(place):
            warn(line)


def _explained(view: View, result: LookUp) -> list[Explained]:
    """Return what shows the containers that were named, and those of the tasks that were found."""
    from pidscope.query.evidence import explain_places  # for one option

    tasks = [it.taken.task for it in result.answers if it.taken.task is not None]
    return explain_places(view, result.processes, tasks)


def _print_evidence(view: View, result: LookUp) -> None:
    from pidscope.render.evidence import evidence_lines

    print_text("\n".join(["", *evidence_lines(_explained(view, result))]))


def _print_json(world: Listed, view: View, result: LookUp, explained: bool) -> None:
    homes = view.homes(result.processes)
    owners = owners_json(homes.own)
    found = [answer_json(it, view.reading.boot_time, owners) for it in result.answers]
    known = world.knows_containers(view, result.processes, homes)
    complete = view.is_complete(result.processes)
    more: dict[str, Any] = {"containers_known": known}
    if result.namesakes:
        more["elsewhere"] = [namesake_json(it, owners) for it in result.namesakes]
    if explained:
        from pidscope.render.evidence import evidence_json

        more["explained"] = evidence_json(_explained(view, result))
    world.print_document(view, "lookups", found, complete, **more)


def _print_table(
    world: Listed, view: View, result: LookUp, args: argparse.Namespace, columns: list[str]
) -> None:
    everyone = result.processes
    homes = view.homes(everyone) if "NSCONTAINER" in columns else None
    text = rendered.answer_table(
        result.answers,
        columns,
        _boot_time(world, view, result),
        headings=not args.noheadings,
        width=width_of(args),
        containers=world.container_cells(view, everyone, homes),
    )
    print_text(text, view.notes)
    _warn_elsewhere(world, view, result.namesakes)


def _boot_time(world: Listed, view: View, result: LookUp) -> int | None:
    """Return the time of the boot, if a line has a time, also where it was not read for others."""
    boot_time = view.reading.boot_time
    if boot_time is None and any(it.ended for it in result.answers):
        return world.read_all(False, True, False).boot_time  # rare, and the rest costs little
    return boot_time


def _warn_elsewhere(world: Listed, view: View, found: Sequence[Namesake]) -> None:
    """Print on standard error what has one of the numbers elsewhere, and how to ask for it."""
    if not found:
        return
    shown = found[:_MAX_NAMESAKES]
    chains = view.containers
    if chains is None:
        chains = world.containers(world.proc.cgroups_of(it.process.pid for it in shown)).chains
    for number, inner, process in shown:
        chain = (chains or {}).get(process.pid, ())
        named = f", {describe(chain)}" if chain else ""
        warn(f"{number} in {bracketed(inner)} is {process.pid} {process.comm}{named}")
    if len(found) > len(shown):
        warn(f"… and {len(found) - len(shown)} more")
    warn("choose a namespace with --in")


def _warn_faults(faults: Mapping[Fault, Sequence[int]]) -> int:
    """Print them on standard error, and return the exit code of the gravest."""
    for fault, numbers in faults.items():
        if fault.text:
            warn(fault.text.format(_enumerated(numbers)))
    hints = (line for fault in faults for line in own_hint(fault.hint).splitlines())
    for hint in dict.fromkeys(hints):
        warn(hint)
    return max((fault.exit_code for fault in faults), default=0)


def _enumerated(numbers: Sequence[int]) -> str:
    more = len(numbers) - _MAX_TOLD
    words = [*map(str, numbers[:_MAX_TOLD]), *([f"{more} others"] if more > 0 else [])]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
