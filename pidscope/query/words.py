"""The words with which ``--in`` and ``--to`` name a place: their forms and meanings. Pure.

A bare word is tried as each form. ``host`` and ``self`` may be names, too.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Callable, NamedTuple

from pidscope.errors import UsageError
from pidscope.escape import printable

FORMS = (
    "host, self, pid:N, ns:INUM, pid:[INUM], id:HEX, name:X, pod:NS/POD[/CONTAINER], service:UNIT"
)

_NUMBERED = re.compile(r"(?:pid:([0-9]{1,10})|ns:([0-9]{1,10})|pid:\[([0-9]{1,10})\])")
_NUMBER = re.compile(r"[0-9]{1,10}")
_POD = re.compile(r"([^/]+)(?:/([^/]+)(?:/([^/]+))?)?")
_RUNTIME_ID = re.compile(r"[a-z][a-z0-9.-]*://(.+)", re.DOTALL)  # as Kubernetes has it


class Kind(enum.Enum):
    """Which of the forms a word has."""

    HOST = "host"
    SELF = "self"
    PID = "pid"
    NS = "ns"
    ID = "id"
    NAME = "name"
    POD = "pod"
    SERVICE = "service"
    BARE = "bare"


class Where(NamedTuple):
    """A word that was understood. ``word`` is as it was given."""

    kind: Kind
    word: str
    number: int = 0  # of a process in the mount's namespace, or an inum
    text: str = ""  # the start of an id, a name, a unit, or all of a bare word
    pod: tuple[str, ...] = ()  # (pod or uid), (namespace, pod) or (namespace, pod, container)

    @property
    def inum(self) -> int | None:
        """The inum that it is, or may be."""
        if self.kind is Kind.NS:
            return self.number
        return int(self.text) if self.kind is Kind.BARE and _NUMBER.fullmatch(self.text) else None

    @property
    def needs_containers(self) -> bool:
        """Whether it names a container or a service, unless it is another form's bare word."""
        return self.kind in _CONTAINED

    @property
    def may_name_container(self) -> bool:
        """Whether a container may have this name: somebody may call one ``host`` or ``self``."""
        return self.kind in _CONTAINED or self.kind in (Kind.HOST, Kind.SELF)


_CONTAINED = frozenset({Kind.ID, Kind.NAME, Kind.POD, Kind.SERVICE, Kind.BARE})


def parse_where(word: str) -> Where:
    """Understand a word; raise UsageError for what is none."""
    if word in ("host", "self"):
        return Where(Kind(word), word)
    match = _NUMBERED.fullmatch(word)
    if match is not None:
        return _numbered(word, match)
    match = _RUNTIME_ID.fullmatch(word)
    if match is not None:
        return _id(word, match[1])
    prefix, colon, rest = word.partition(":")
    if colon and prefix in _PREFIXED:
        found = _PREFIXED[prefix](word, rest) if rest else None
    else:
        found = Where(Kind.BARE, word, text=word) if word else None
    if found is None:
        raise UsageError(f"'{printable(word)}': no such place", f"WHERE is one of {FORMS}")
    return found


def _numbered(word: str, match: re.Match[str]) -> Where:
    kind = Kind.PID if match[1] else Kind.NS
    return Where(kind, word, number=int(match[1] or match[2] or match[3]))


def _id(word: str, rest: str) -> Where:
    return Where(Kind.ID, word, text=rest)


def _name(word: str, rest: str) -> Where:
    return Where(Kind.NAME, word, text=rest)


def _pod(word: str, rest: str) -> Where | None:
    match = _POD.fullmatch(rest)
    if match is None:
        return None
    return Where(Kind.POD, word, pod=tuple(part for part in match.groups() if part is not None))


def _service(word: str, rest: str) -> Where:
    return Where(Kind.SERVICE, word, text=rest)


def _nothing(word: str, rest: str) -> None:
    return None


_PREFIXED: Mapping[str, Callable[[str, str], Where | None]] = {
    "pid": _nothing,  # what is one was found before
    "ns": _nothing,
    "id": _id,
    "name": _name,
    "pod": _pod,
    "service": _service,
}


def meanings(where: Where) -> Iterator[Where]:
    """Yield the forms that a word can have; the host's and pidscope's words are names as well."""
    if where.kind in (Kind.HOST, Kind.SELF):
        yield where
        yield Where(Kind.NAME, where.word, text=where.word)
        yield Where(Kind.POD, where.word, pod=(where.word,))
        return
    if where.kind is not Kind.BARE:
        yield where
        return
    for prefix in _PREFIXED:
        word = f"{prefix}:{where.text}"
        match = _NUMBERED.fullmatch(word)
        meaning = _numbered(word, match) if match else _PREFIXED[prefix](word, where.text)
        if meaning is not None:
            yield meaning
