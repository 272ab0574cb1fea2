"""Logs of ``strace -f -ttt`` and ``perf script``: TIDs in the PID namespace of the tracer.

What a traced process was given or returned (``clone() = 17``, ``si_pid=17``) is in that process's
namespace, and is left alone.
"""

from __future__ import annotations

import re

from pidscope.history.logs.line import NOTHING, Parsed, decimal_ns, mention, written
from pidscope.history.moment import scheduler_moment

# strace.c: printleader(); with -Y the comm stands behind the number
_STRACE = re.compile(
    rb"(?:\[pid +(\d{1,7})(?:<[^>]{0,64}>)?\]|(\d{1,7})(?:<[^>]{0,64}>)?) +"
    rb"(?:(\d{9,11})\.(\d{6}|\d{9}) )?"
)
_NO_STAMP = "strace wrote no date: it needs -ttt"
# tools/perf/builtin-script.c: perf_sample__fprintf_start(). A comm has at most 15 bytes, and the
# two padded numbers behind it at least 20, so they are perf's, and the rightmost ones that begin
# among the first 16 bytes.
_PERF = re.compile(
    rb".{0,16} (?=[ \d]{5}) *(\d{1,7})(?:/(\d{1,7}))? *(?: \[\d{3,}\])?"
    rb" (?=[ \d]{5,10}\.) *(\d{1,10})\.(\d{6}|\d{9}): ",
    re.DOTALL,
)


def parse_strace(line: bytes) -> Parsed:
    """Return the thread of a line of strace."""
    match = _STRACE.match(line)
    if match is None:
        return NOTHING
    mentions = mention(match, 1, is_thread=True) or mention(match, 2, is_thread=True)
    if not mentions:
        return NOTHING
    if match[3] is None:
        return Parsed(mentions, None, _NO_STAMP)
    return Parsed(mentions, written(*decimal_ns(match[3], match[4])))


def parse_perf(line: bytes) -> Parsed:
    """Return the thread of a sample, and its process, where perf shows both.

    The time is the scheduler's clock, as perf record takes it without ``-k``.
    """
    match = _PERF.match(line)
    if match is None:
        return NOTHING
    process, thread = match[1], match[2]
    mentions = mention(match, 1, is_thread=thread is None)
    if thread is not None and thread != process:
        mentions += mention(match, 2, is_thread=True)
    if not mentions:
        return NOTHING
    return Parsed(mentions, scheduler_moment(*decimal_ns(match[3], match[4])))
