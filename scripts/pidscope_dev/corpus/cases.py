"""The invocations: every command over every scenario, random worlds, wrong turns, a host of files.

None of them reads the host that it runs on, so that two builds have the same to answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

SCENARIOS = ("containers", "nested", "session", "reuse", "exec-thread", "fork-bomb", "dying-init")
_FULL = (*SCENARIOS, *(f"random:{seed}" for seed in range(1, 13)))  # asked everything
_SHORT = tuple(f"random:{seed}" for seed in range(13, 80))  # asked a little
_COMMANDS = ("ns", "ps", "lookup", "explain", "limits", "watch", "verify", "doctor")
_EXPLAINED = ("1", "4", "5", "8", "12", "17", "19", "36", "99")
_OF_HOST = ("1", "5", "17", "20", "21", "31", "99")
_PS_COLUMNS = "PID,TID,NSPID,NSTGID,NSPPID,NSPGID,NSSID,NS,LEVEL,PPID,PGID,SID,START,ID,COMM,STAT"
_NS_FORMS = ("", "-J", "-n", "-o +LAST,PARENT,CONTAINER", "-o NS,INIT,COMM", "-n -o +PARENT")
_PS_SELECTIONS = (
    *("", "--threads", "--zombies", "--exact", "--threads --zombies", "--in pid:4"),
    *("--in pid:4 --exact", "--in pid:19", "--in ns:4026531840", "--in 4026531841"),
    *("--in host", "--in self", "--in pid:999", "--in web", "--in id:ab"),
)
_PLACES = (
    *("", "--in pid:4", "--in pid:19", "--to pid:4", "--in pid:4 --to pid:19"),
    "--in ns:4026531841",
)
_TYPED = ("1", "2", "4 5", "7", "12", "17", "19 35 36", "42", "99")
_WATCHES = (
    *("", "--failed", "--by where", "--by comm", "--tree 4", "--in pid:4"),
    *("--in ns:4026531840", "--type birth", "--type birth,exit", "--type bogus"),
    *("--in pid:4 --by comm", "--in pid:4 --failed"),
)
_LIMITED = ("", "--in pid:4", "--in pid:19", "--in ns:4026531840", "--in pid:999")
_NO_PIDS = ("0", "00", "-1", "x", "", "99999999", "1e3", "\u0663", "17x", " 5")
_HOST_PLACES = (
    *("host", "self", "pid:20", "pid:31", "ns:71", "web", "id:aaaa", "id:b", "name:db"),
    *("pod:default/db-0", "pod:default", "service:nginx", "id:zz", "cccc", "41", "pid:[70]"),
    *("pid:41", "pid:99"),
)
_HOST_PS = ("", "-J", "-o +CONTAINER,NSCONTAINER", "--zombies", "--zombies -J", "--threads -J")


class Case(NamedTuple):
    """One invocation: its arguments, and what stands on standard input."""

    argv: tuple[str, ...]
    stdin: str = ""


def cases(proc: str) -> Iterator[Case]:
    """Yield every case once; ``proc`` is a folder that `host.write` has made."""
    every = (*_simulated(), *_wrong_turns(proc), *_of_files(proc))
    return iter(dict.fromkeys(every))


def _simulated() -> Iterator[Case]:
    for scenario in _FULL:
        source = ("--source", f"simulated:{scenario}")
        for words in _asked():
            yield Case((*words, *source))
        for flags, given in product(((), ("-J",)), ("1 2 3\n4\n", "")):
            yield Case(("lookup", "-", *flags, *source), given)
        yield Case(("lookup", "-", "-q", *source), "5 x")
    for scenario in _SHORT:
        for words in _asked_shortly():
            yield Case((*words, "--source", f"simulated:{scenario}"))


def _asked() -> Iterator[tuple[str, ...]]:
    """What is asked of every scenario."""
    yield from _words(("ns",), _NS_FORMS)
    yield from _words(("ps",), _PS_SELECTIONS, ("", "-J", f"-o {_PS_COLUMNS}"))
    yield from _words(("lookup",), _TYPED, _PLACES, ("", "-J", "-q"))
    yield from _words(("lookup 4 19 -o +NSTGID,NSPGID,NSSID,START,ID,STAT",))
    shown = ("", "-J", "--dot", "--in pid:4")
    yield from _words(("explain",), _EXPLAINED, shown)
    yield from _words(("limits",), _LIMITED, ("", "-J"))
    yield from _words(("watch",), _WATCHES, ("", "-v", "-J", "-v -J", "-n"))
    yield from _words(("verify", "doctor"), ("", "-J"))


def _asked_shortly() -> Iterator[tuple[str, ...]]:
    """What is asked of random worlds that no other case has."""
    yield from _words(("verify", "verify -J", "watch -J", "watch -v", "ps -J --threads", "ns -J"))
    yield from _words(("watch --by where -J", "watch --failed -J", "lookup 4 5 6 7 8 -J"))
    yield from _words(("lookup",), map(str, range(1, 12)), ("-J --in pid:4",))


def _words(*parts: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Every combination of one of each, as arguments."""
    for chosen in product(*parts):
        yield tuple(" ".join(chosen).split())


def _wrong_turns(proc: str) -> Iterator[Case]:
    for argv in _wrong():
        yield Case(tuple(argv))
    for command in _COMMANDS:
        for more in (("--",), ("4",), ("--in", "")):
            yield Case((command, *more, "--proc", proc))
            yield Case((command, *more, "--source", "simulated"))


def _wrong() -> Iterator[Sequence[str]]:
    yield from ((), ("--help",), ("--version",), ("bogus",))
    for command in _COMMANDS:
        yield from ((command, "--help"), (command, "--bogus"), (command, "--proc", "/nonexistent"))
        for source in ("nope", "simulated:nope", "simulated:./none.scenario", "simulated:"):
            yield command, "--source", source
        yield from (
            (command, "--source", "simulated", "--", "true"),
            (command, "--proc", "/proc", "--source", "simulated"),
            (command, "4", "--in", "bogus:x", "--source", "simulated"),
            (command, "4", "--source", "simulated", "-o", "BOGUS"),
        )
    for number, asked in product(_NO_PIDS, (("lookup",), ("explain",), ("watch", "--tree"))):
        yield *asked, number, "--source", "simulated"
    yield "lookup", "5", "-q", "-J", "--source", "simulated"
    for seconds, command in product(("x", "-1", "0", "nan"), ("verify", "watch")):
        yield command, "--duration", seconds, "--source", "simulated"
    for command in ("ps", "watch"):
        yield command, "--probes", "fentry", "--source", "simulated"


def _of_files(proc: str) -> Iterator[Case]:
    for words in _asked_of_files():
        yield Case((*words, "--proc", proc))


def _asked_of_files() -> Iterator[tuple[str, ...]]:
    everywhere = ("", *(f"--in {place}" for place in _HOST_PLACES))
    yield from _words(("ns",), ("", "-J", "-n", "-o +CONTAINER,LAST"))
    yield from _words(("ps",), everywhere, _HOST_PS)
    both = (*everywhere, *(f"--to {place}" for place in _HOST_PLACES))
    yield from _words(("lookup",), _OF_HOST, both, ("", "-J", "-q"))
    yield from _words(("explain",), _OF_HOST, everywhere, ("", "-J"))
    yield from _words(("explain",), _OF_HOST, ("--dot",))
    yield from _words(("limits",), everywhere[1:], ("", "-J"))
