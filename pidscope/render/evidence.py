"""What shows that a container is one, and which namespace is its own, as text and JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pidscope.escape import printable
from pidscope.query.labels import describe
from pidscope.query.place import bracketed
from pidscope.query.process import escaped

if TYPE_CHECKING:
    from pidscope.query.evidence import Evidence, Explained

_SENTENCES = {
    "name": "its name is from {source}",
    "engine": "its engine or runtime reports that {pid} is its first process ({source}): {ns}",
    "number 1": "number 1 of {ns} is {pid}",
    "all": "all of its {of} processes are in {ns}",
    "most": "{processes} of its {of} processes are in {ns}",
    "oldest": "its oldest process is {pid}: {ns}",
}


def evidence_lines(explained: Iterable[Explained]) -> list[str]:
    """Return one line for each container, and below it one for each witness."""
    return [line for it in explained for line in _lines(it)]


def _lines(explained: Explained) -> Iterator[str]:
    chain, ns = explained.chain, explained.ns
    if not chain:
        yield "in no container:"
    elif ns is None:
        yield f"{describe(chain)}: its namespace is not certain"
    else:
        yield f"{describe(chain)}: {bracketed(ns)}"
    for it in explained.evidence:
        yield f"  {_sentence(it)}"


def _sentence(it: Evidence) -> str:
    if it.kind in _SENTENCES:
        return _SENTENCES[it.kind].format(
            ns=bracketed(it.ns),
            pid=it.pid,
            processes=it.processes,
            of=it.of,
            source=printable(it.source or "?"),
        )
    if it.line is None:
        return "its cgroup was not read"
    named = f"the cgroup of {it.pid}: {printable(it.line)}"
    if it.rule is None:
        return f"{named} (no rule)"
    return f"{named} (rule {printable(it.rule)}, from {printable(it.source or '?')})"


def evidence_json(explained: Iterable[Explained]) -> list[dict[str, Any]]:
    """Return one object for each container, with its witnesses."""
    return [
        {
            "container": escaped(it.chain[-1])._asdict() if it.chain else None,
            "ns": it.ns,
            "witnesses": [_printable(witness) for witness in it.evidence],
        }
        for it in explained
    ]


def _printable(it: Evidence) -> dict[str, Any]:
    fields = it._asdict()
    texts = {name: printable(value) for name, value in fields.items() if isinstance(value, str)}
    return {**fields, **texts}
