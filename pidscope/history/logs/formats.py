"""The logs that are known by name, and whose numbers they hold.

Annotations are values here, not strings: typing.NamedTuple compiles each string by itself.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # the help of all commands has the formats, and does without the parsers
    from pidscope.history.logs.line import Parser
    from pidscope.history.logs.stamps import Stamps

_TEXT_SEARCHED = 8 << 10
_JSON_SEARCHED = 1 << 20


class Format(NamedTuple):
    """A log: what it is, and which PID namespace its numbers are of unless it is said."""

    about: str
    numbers_of: str  # a WHERE
    searched: int = _TEXT_SEARCHED  # so many bytes of a line, from its start


FORMATS = {
    "audit": Format("audit.log", "host"),
    "journal-json": Format("journalctl -o json", "self", _JSON_SEARCHED),
    "short-iso": Format("journalctl -o short-iso", "self"),
    "dmesg": Format("dmesg, the console, /dev/kmsg", "host"),
    "kern.log": Format("the kernel's lines of kern.log or syslog", "host"),
    "strace": Format("strace -f -ttt", "self"),
    "perf": Format("perf script", "self"),
}
JSON_LINES = Format("an object a line, with --field", "self", _JSON_SEARCHED)
# An expression may take time that grows with a power of what it searches.
EXPRESSION = Format("any other, with --regex", "self", 2 << 10)


def parser_of(name: str, stamps: "Stamps") -> "Parser":
    """Return the parser of one of `FORMATS`; each is imported only if it is used."""
    if name == "audit":
        from pidscope.history.logs.audit import parse as parse_audit

        return parse_audit
    if name == "journal-json":
        from pidscope.history.logs.journal import parse as parse_journal

        return parse_journal
    if name in ("strace", "perf"):
        from pidscope.history.logs import tracers

        return tracers.parse_strace if name == "strace" else tracers.parse_perf
    from pidscope.history.logs import kernel

    if name == "dmesg":
        return kernel.parse_dmesg
    return kernel.KernLog(stamps) if name == "kern.log" else kernel.ShortIso(stamps)
