"""The kernel's audit records, in audit.log or in the kernel's log.

The numbers are TGIDs in the initial PID namespace: ``task_tgid_nr()`` and ``task_ppid_nr()`` in
``audit_log_task_info()``, ``audit_log_task()`` (kernel/auditsc.c), ``common_lsm_audit()``. What a
process that is not the kernel put into its own record stands behind ``msg='`` and is left alone.
A string that a process chose cannot imitate a field: the kernel writes it in hexadecimal if it has
a space or a quote (``audit_string_contains_control()``).

The stamp is of a coarse clock, which is behind by up to a tick; of a system call, it is of the
entry (``audit_syscall_entry()``).
"""

from __future__ import annotations

import re

from pidscope.history.logs.line import NOTHING, Mention, Parsed, decimal_ns, mention
from pidscope.history.moment import Clock, Moment

_TICK_NS = 10_000_000  # with CONFIG_HZ=100
_HEAD = re.compile(
    rb"(?:node=\S+ )?(?:audit: )?type=\S+ (?:msg=)?audit\((\d{1,10})\.(\d{3}):\d+\):(?= )"
)
_FIELD = re.compile(rb" (?:pid|ppid|opid)=(\d{1,7})(?= |\Z)")


def parse(line: bytes) -> Parsed:
    """Return the numbers of a record, and its time."""
    return parse_at(line, 0)


def parse_at(line: bytes, start: int) -> Parsed:
    """Return those of a record that begins at ``start``."""
    head = _HEAD.match(line, start)
    if head is None:
        return NOTHING
    end = line.find(b" msg='", head.end())
    fields = _FIELD.finditer(line, head.end(), len(line) if end < 0 else end)
    mentions: tuple[Mention, ...] = ()
    for field in fields:
        mentions += mention(field, 1, is_thread=False, is_initial=True)
    if not mentions:
        return NOTHING
    first_ns, width_ns = decimal_ns(head[1], head[2])
    return Parsed(mentions, Moment(Clock.REALTIME, first_ns, first_ns + width_ns - 1 + _TICK_NS))
