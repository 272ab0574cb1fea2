"""The messages of the kernel that name tasks, and the logs that they stand in.

The numbers are those of the initial PID namespace, and TIDs unless it says otherwise:
``task_pid_nr()`` or ``->pid``. A comm may imitate a message, and may end the line. It has at most
15 bytes, which is too few for what stands on both sides of a number here, so the numbers that are
found are the kernel's. For the soft lockup's ``[comm:PID]`` 15 would do, so it is left out. But
root can write any line by /dev/kmsg.
"""

from __future__ import annotations

import re

from pidscope.history.logs import audit
from pidscope.history.logs.line import NOTHING, Mention, Parsed, decimal_ns, mention
from pidscope.history.logs.stamps import Stamps
from pidscope.history.moment import Moment, scheduler_moment

_COMM = rb".{0,60}?"  # 15 bytes, each of which dmesg may have written as \xNN
_OOM = rb"(?:Memory cgroup out of memory: |Out of memory(?: \([a-z_]+\))?: )?"
_MESSAGES = tuple(
    re.compile(pattern)
    for pattern in (
        # mm/oom_kill.c: __oom_kill_process(), dump_oom_victim(), oom_reap_task()
        _OOM + rb"(?:Kill(?:ed)? process|OOM victim) (?P<tid>\d{1,7}) \(",
        # here 15 bytes have room for an end of the line, and four digits
        rb"oom-kill:constraint=.*,pid=(?P<tid>\d{1,7}),uid=\d+(?<!,pid=\d,uid=\d)(?<!,pid=\d\d,uid=\d)"
        rb"(?<!,pid=\d\d\d,uid=\d)(?<!,pid=\d,uid=\d\d)(?<!,pid=\d\d,uid=\d\d)"
        rb"(?<!,pid=\d,uid=\d\d\d)\Z",
        rb"oom_reaper: (?:reaped process |unable to reap pid:)(?P<tid>\d{1,7}) ?\(",
        # mm/oom_kill.c: dump_task(), pid, uid, tgid, total_vm, …, oom_score_adj, comm
        rb"\[ *(?P<tid>\d{1,7})\] +\d+ +(?P<pid>\d{1,7})(?: +\d+){4,8} +-?\d{1,4} \S",
        # arch/x86/mm/fault.c: show_signal_msg(); arch/x86/kernel/traps.c: show_signal();
        # arch/arm64/kernel/traps.c: arm64_show_signal()
        _COMM + rb"\[(?P<tid>\d{1,7})\]: segfault at [0-9a-f]+ ip ",
        rb"traps: " + _COMM + rb"\[(?P<tid>\d{1,7})\] (?:trap [a-zA-Z0-9 ]+|general protection"
        rb"[a-z ]*) ip:[0-9a-f]+ sp:",
        _COMM + rb"\[(?P<tid>\d{1,7})\]: unhandled exception: ",
        # kernel/hung_task.c; kernel/sched/core.c: sched_show_task();
        # lib/dump_stack.c: dump_stack_print_info()
        rb"INFO: task .*:(?P<tid>\d{1,7}) blocked [a-zA-Z/ ]*for more than \d+ seconds",
        rb"task:.{15,60}? state:\S +stack: *\d+ +pid: *(?P<tid>\d{1,7}) +"
        rb"(?:tgid: *(?P<pid>\d{1,7}) +)?ppid: *(?P<ppid>\d{1,7}) ",
        rb"CPU: \d+ (?:UID: \d+ )?PID: (?P<tid>\d{1,7}) Comm: ",
    )
)
# A line without one of these is no such message.
_HINT = re.compile(rb"\[ *T?\d{1,7}\]|[Kk]ill|OOM|oom|pid:|PID: |blocked")
_CALLER = re.compile(rb"\[ *(?:T(?P<tid>\d{1,7})|C\d+)\] ")  # CONFIG_PRINTK_CALLER
_STAMP = re.compile(
    rb"(?:<\d+>)?(?:[a-z0-9]+ *:[a-z]+ *: )?\[ *(\d{1,10})\.(\d{6})\](?: |(?=\[))"  # dmesg
    rb"|\d+,\d+,(?P<us>\d{1,16}),[^;]{1,40};"  # /dev/kmsg
)
_CALLER_FIELD = re.compile(rb"\d+,\d+,\d+,[^;]*caller=T(?P<tid>\d{1,7})(?=[,;])")
_SHOWN_STAMP = re.compile(rb"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ")
_INEXACT = "dmesg -T shows the time that it would be if no suspend had been"


def parse_message(line: bytes, start: int, moment: Moment | None, reason: str = "") -> Parsed:
    """Return the numbers of a message that begins at ``start``."""
    if line.startswith(b"audit: ", start):
        return audit.parse_at(line, start)
    if _HINT.search(line, start) is None:
        return NOTHING
    mentions: tuple[Mention, ...] = ()
    caller = _CALLER.match(line, start)
    if caller is not None:
        mentions = mention(caller, "tid", is_thread=True, is_initial=True)
        start = caller.end()
    for pattern in _MESSAGES:
        match = pattern.match(line, start)
        if match is not None:
            mentions += _numbers(match)
            break
    return Parsed(mentions, moment, reason) if mentions else NOTHING


def _numbers(match: re.Match[bytes]) -> tuple[Mention, ...]:
    """Return the numbers of a message; that of a process's leader once."""
    found = match.groupdict()
    threads = mention(match, "tid", is_thread=True, is_initial=True)
    if found.get("pid") is not None and found["pid"] != found["tid"]:
        threads += mention(match, "pid", is_thread=False, is_initial=True)
    if found.get("ppid") is not None:
        threads += mention(match, "ppid", is_thread=False, is_initial=True)
    return threads


def parse_dmesg(line: bytes) -> Parsed:
    """Return those of a line of dmesg, of the console, or of /dev/kmsg."""
    stamp = _STAMP.match(line)
    if stamp is None:
        shown = _SHOWN_STAMP.match(line)
        return NOTHING if shown is None else parse_message(line, shown.end(), None, _INEXACT)
    if stamp["us"] is None:
        first_ns, width_ns = decimal_ns(stamp[1], stamp[2])
        return parse_message(line, stamp.end(), scheduler_moment(first_ns, width_ns))
    moment = scheduler_moment(int(stamp["us"]) * 1_000, 1_000)
    parsed = parse_message(line, stamp.end(), moment)
    caller = _CALLER_FIELD.match(line)
    if caller is None:
        return parsed
    callers = mention(caller, "tid", is_thread=True, is_initial=True)
    return Parsed(callers + parsed.mentions, parsed.moment or moment)


_ISO_HEAD = re.compile(
    rb"(?P<minute>\d{4}-\d\d-\d\dT\d\d:\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
    rb"(?P<offset>Z|[+-]\d\d:?\d\d) \S+ "
)
_OLD_HEAD = re.compile(rb"(?P<minute>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d):(?P<second>\d\d) \S+ ")
_PRINTK = re.compile(rb"kernel: (?:\[ *\d+\.\d{6}\](?: |(?=\[)))?")


class KernLog:
    """Parses kern.log, or the kernel's lines of syslog: ``time host kernel: [stamp] message``.

    The stamp counts from a boot that the line does not name, so the daemon's time is taken.
    """

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps

    def __call__(self, line: bytes) -> Parsed:
        """Return the numbers of one line."""
        head = _ISO_HEAD.match(line) or _OLD_HEAD.match(line)
        message = None if head is None else _PRINTK.match(line, head.end())
        if head is None or message is None:
            return NOTHING
        parsed = parse_message(line, message.end(), None)
        if not parsed.mentions or parsed.moment is not None:
            return parsed
        return self._stamps.dated(parsed.mentions, head)


_TAG = re.compile(rb"[^\[\]: ]+\[(\d{1,7})\]: ")


class ShortIso:
    """Parses ``journalctl -o short-iso``: ``time host identifier[PID]: message``.

    The PID is the entry's ``_PID``, or, where journald does not know it, ``SYSLOG_PID``, what the
    sender called itself (``output_short()``, systemd). The identifier is the sender's choice, and
    may imitate another line: ``-o json`` cannot be imitated.
    """

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps

    def __call__(self, line: bytes) -> Parsed:
        """Return the numbers of one line."""
        head = _ISO_HEAD.match(line)
        if head is None:
            return NOTHING
        if line.startswith(b"kernel: ", head.end()):
            parsed = parse_message(line, head.end() + len(b"kernel: "), None)
            if not parsed.mentions or parsed.moment is not None:
                return parsed
            return self._stamps.dated(parsed.mentions, head)
        tag = _TAG.match(line, head.end())
        mentions = () if tag is None else mention(tag, 1, is_thread=False)
        return self._stamps.dated(mentions, head) if mentions else NOTHING
