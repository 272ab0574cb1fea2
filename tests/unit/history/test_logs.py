"""Lines of real logs: which numbers are in them, and when they were true.

The lines were written for these tests, in the form that the named source prints.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.errors import UsageError
from pidscope.history.local_times import to_ns
from pidscope.history.logs.chosen import Expression, JsonLines
from pidscope.history.logs.formats import FORMATS, parser_of
from pidscope.history.logs.line import LATE_NS, NOTHING, Parsed, Parser
from pidscope.history.logs.stamps import Stamps
from pidscope.history.moment import SECOND_NS, Clock, Moment, scheduler_moment
from tests.unit.bounded import bounded_time

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    """An instant, in ns."""
    return to_ns(datetime.fromisoformat(text).astimezone(timezone.utc).replace(tzinfo=None))


NOW_NS = at("2026-12-01T10:00:00+01:00")


def stamps(zone: tzinfo = BERLIN, now_ns: int = NOW_NS) -> Stamps:
    return Stamps(zone, lambda: now_ns)


def parser(name: str) -> Parser:
    return parser_of(name, stamps())


def numbers(parsed: Parsed) -> list[tuple[int, str]]:
    return [(it.number, "tid" if it.is_thread else "pid") for it in parsed.mentions]


def written(text: str, width_ns: int, boot_id: str | None = None) -> Moment:
    first_ns = at(text)
    return Moment(Clock.REALTIME, first_ns - LATE_NS, first_ns + width_ns - 1, boot_id)


def check_places(line: bytes, parsed: Parsed) -> None:
    for it in parsed.mentions:
        assert line[it.first : it.end] == str(it.number).encode().rjust(it.end - it.first, b"0")


SYSCALL = (
    b"type=SYSCALL msg=audit(1764511385.123:456): arch=c000003e syscall=59 success=yes exit=0"
    b" a0=55d1 a1=55d2 a2=55d3 a3=8 items=2 ppid=4200 pid=4242 auid=1000 uid=0 gid=0 euid=0 suid=0"
    b" fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3"
    b' comm="nginx" exe="/usr/sbin/nginx" subj=unconfined key="run"'
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # audit_log_task_info(), kernel/auditsc.c, Linux 6.18
        (SYSCALL, [(4200, "pid"), (4242, "pid")]),
        # with log_format=ENRICHED, auditd writes names behind a group separator
        (SYSCALL + b'\x1dARCH=x86_64 AUID="joe" pid=1', [(4200, "pid"), (4242, "pid"), (1, "pid")]),
        # with name_format=hostname
        (b"node=web1 " + SYSCALL, [(4200, "pid"), (4242, "pid")]),
        # audit_log_pid_context()
        (
            b'type=OBJ_PID msg=audit(1764511385.123:457): opid=17 oauid=-1 ouid=0 ocomm="x"',
            [(17, "pid")],
        ),
        # audit_log_task(): seccomp and ANOM_ABEND
        (
            b"type=SECCOMP msg=audit(1764511385.123:458): auid=1000 uid=1000 gid=1000 ses=3 pid=77"
            b' comm="evil pid=1" exe="/x" sig=31 arch=c000003e syscall=42 ip=0x7f code=0x0',
            [(77, "pid")],
        ),
        # common_lsm_audit(), security/lsm_audit.c
        (
            b"type=AVC msg=audit(1764511385.123:459): avc:  denied  { read } for  pid=4242"
            b' comm="nginx" name="x" dev="sda1" ino=7 tclass=file permissive=0',
            [(4242, "pid")],
        ),
        # a user's record: what stands behind msg=' is the program's own text (sudo)
        (
            b"type=USER_CMD msg=audit(1764511385.123:460): pid=900 uid=1000 auid=1000 ses=3"
            b" msg='cwd=\"/\" cmd=6B696C6C pid=1 terminal=pts/0 res=success'",
            [(900, "pid")],
        ),
        (b'type=CWD msg=audit(1764511385.123:456): cwd="/"', []),
        (b"type=PROCTITLE msg=audit(1764511385.123:456): proctitle=70696400", []),
        (b"type=SYSCALL msg=audit(1764511385.123:456): pid=0 x", []),
        (b"type=SYSCALL msg=audit(1764511385.123:456): pid=4194305 x", []),
        (b"type=SYSCALL msg=audit(1764511385.123:456): xpid=3 pid=4x", []),
        (b"pid=4242", []),
        (b"", []),
    ],
)
def test_audit_records_have_tgids_of_the_initial_namespace(
    line: bytes, expected: list[tuple[int, str]]
) -> None:
    parsed = parser("audit")(line)
    assert numbers(parsed) == expected
    assert all(it.is_initial for it in parsed.mentions)
    check_places(line, parsed)
    if expected:
        first_ns = at("2025-11-30T14:03:05.123+00:00")
        # a coarse clock is behind by up to a tick, of 10 ms (CONFIG_HZ=100)
        assert parsed.moment == Moment(Clock.REALTIME, first_ns, first_ns + 11_000_000 - 1)


MESSAGES = [
    # mm/oom_kill.c: __oom_kill_process(), Linux 6.18
    (
        b"Out of memory: Killed process 4242 (nginx) total-vm:1000kB, anon-rss:900kB, file-rss:0kB,"
        b" shmem-rss:0kB, UID:0 pgtables:60kB oom_score_adj:0",
        [(4242, "tid")],
    ),
    (b"Memory cgroup out of memory: Killed process 4242 (a) (b) total-vm:1kB", [(4242, "tid")]),
    (
        b"Out of memory (oom_kill_allocating_task): Killed process 7 (x) total-vm:1kB",
        [(7, "tid")],
    ),
    (
        b"Out of memory: Kill process 4242 (nginx) score 9 or sacrifice child",  # up to 5.1
        [(4242, "tid")],
    ),
    (
        b"Memory cgroup out of memory: OOM victim 42 (x) is already exiting. Skip killing the task",
        [(42, "tid")],
    ),
    # dump_oom_victim(): a cgroup and a comm imitate what follows
    (
        b"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,"
        b"oom_memcg=/a,pid=1,uid=0,task_memcg=/a,task=x,pid=2,uid=0,pid=4242,uid=1000",
        [(4242, "tid")],
    ),
    # of a comm that ends the line there are up to four digits
    (b"oom-kill:constraint=C,task=x,pid=12,uid=10", []),
    (b"oom-kill:constraint=C,task=x,pid=123,uid=4", []),
    (b"oom-kill:constraint=C,task=x,pid=123,uid=45", [(123, "tid")]),
    # oom_reap_task(), oom_reap_task_mm()
    (b"oom_reaper: reaped process 4242 (nginx), now anon-rss:0kB, file-rss:0kB", [(4242, "tid")]),
    (b"oom_reaper: unable to reap pid:4242 (nginx)", [(4242, "tid")]),
    # dump_task(): a thread that has the memory, and its process; 6.18, and before 6.9
    (
        b"[   4243]  1000  4242     1234      100       50       50        0    57344        0"
        b"             0 my [1] app",
        [(4243, "tid"), (4242, "pid")],
    ),
    (
        b"[   4242]     0  4242     1234      100    57344        0         -999 sshd",
        [(4242, "tid")],
    ),
    (b"[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name", []),
    # arch/x86/mm/fault.c: show_signal_msg()
    (
        b"nginx[4242]: segfault at 0 ip 000055d0c0de sp 00007ffd1234 error 4 in nginx[55d0,1000]"
        b" likely on CPU 1 (core 1, socket 0)",
        [(4242, "tid")],
    ),
    # a comm (as observed on 6.18), or the name of a mapped file, imitates one
    (b"x[1]: segfault [4242]: segfault at 0 ip 0 sp 0 error 4", [(4242, "tid")]),
    (b"a[4242]: segfault at 0 ip 0 sp 0 error 4 in x[1]: segfault at 0 ip 0", [(4242, "tid")]),
    # arch/x86/kernel/traps.c: show_signal()
    (
        b"traps: nginx[4242] general protection fault ip:55d0c0de sp:7ffd1234 error:0 in x[1,2]",
        [(4242, "tid")],
    ),
    (b"traps: my app[4242] trap invalid opcode ip:55d0 sp:7ffd error:0", [(4242, "tid")]),
    (b"traps: x[1] trap y[4242] trap int3 ip:55d0 sp:7ffd error:0", [(4242, "tid")]),
    (b"traps: x\\x1b[1] ip:0[4242] trap divide error ip:5 sp:7 error:0", [(4242, "tid")]),
    # arch/arm64/kernel/traps.c: arm64_show_signal()
    (b"nginx[4242]: unhandled exception: DABT (lower EL), ESR 0x92000006, x", [(4242, "tid")]),
    # kernel/watchdog.c, kernel/hung_task.c
    (b"watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [a:7]", []),  # may be of "a:7]\n"
    (b"INFO: task nginx: w:4242 blocked for more than 120 seconds.", [(4242, "tid")]),
    (b"INFO: task nginx:4242 blocked in I/O wait for more than 120 seconds.", [(4242, "tid")]),
    # kernel/sched/core.c: sched_show_task(), 6.18 and 5.10
    (
        b"task:nginx           state:D stack:0     pid:4243  tgid:4242  ppid:1      flags:0x02",
        [(4243, "tid"), (4242, "pid"), (1, "pid")],
    ),
    (
        b"task:nginx           state:D stack:    0 pid: 4242 ppid:     1 flags:0x00000002",
        [(4242, "tid"), (1, "pid")],
    ),
    # lib/dump_stack.c: dump_stack_print_info(), 6.18 and 6.1
    (b"CPU: 1 UID: 0 PID: 4242 Comm: nginx Not tainted 6.18.44 #1", [(4242, "tid")]),
    (b"CPU: 1 PID: 4242 Comm: nginx Not tainted 6.1.0", [(4242, "tid")]),
    (b"CPU: 0 PID: 0 Comm: swapper/0 Not tainted 6.1.0", []),
    # no task at all, or text that only looks like it
    (b"cgroup: fork rejected by pids controller in /x", []),
    (b"nginx invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", []),
    (b"usb 1-1: a pid: 17 of Killed process 4242 (x)", []),
    (b"systemd[1]: Started x.", []),
]


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        (b"[12345.678901] ", "dmesg"),
        (b"<4>[12345.678901] ", "dmesg"),
        (b"kern  :err   : [12345.678901] ", "dmesg"),
        (b"3,1234,12345678901,-;", "dmesg"),
        (b"Nov 30 14:03:05 web1 kernel: [12345.678901] ", "kern.log"),
        (b"2026-11-30T14:03:05.250000+01:00 web1 kernel: [12345.678901] ", "kern.log"),
        (b"2026-11-30T14:03:05.250000+01:00 web1 kernel: ", "kern.log"),
        (b"2026-11-30T14:03:05+0100 web1 kernel: ", "short-iso"),
    ],
)
def test_the_kernel_s_messages_name_threads_of_the_initial_namespace(
    prefix: bytes, name: str, message: bytes, expected: list[tuple[int, str]]
) -> None:
    parsed = parser(name)(prefix + message)
    assert numbers(parsed) == expected
    assert all(it.is_initial for it in parsed.mentions)
    check_places(prefix + message, parsed)
    if not expected:
        assert parsed == NOTHING
    elif name == "dmesg":
        assert parsed.moment == scheduler_moment(12_345_678_901_000, 1_000)
    else:
        fraction, width_ns = (".250", 1_000) if b".25" in prefix else ("", SECOND_NS)
        assert parsed.moment == written(f"2026-11-30T14:03:05{fraction}+01:00", width_ns)


def test_the_kernel_s_log_has_audit_records_where_no_auditd_runs() -> None:
    """``audit_printk_skb()`` (kernel/audit.c): the record's own time is used."""
    record = (
        b'audit: type=1400 audit(1764511385.123:45): apparmor="DENIED" operation="open" pid=42'
        b' comm="x"'
    )
    for prefix, name in [
        (b"[    5.678901] ", "dmesg"),
        (b"Nov 30 14:03:05 web1 kernel: [    5.678901] ", "kern.log"),
    ]:
        parsed = parser(name)(prefix + record)
        assert numbers(parsed) == [(42, "pid")]
        assert parsed.moment is not None and parsed.moment.clock is Clock.REALTIME
        assert parsed.moment.first_ns == at("2025-11-30T14:03:05.123+00:00")


def test_printk_s_caller_is_a_thread() -> None:
    """CONFIG_PRINTK_CALLER: ``print_caller()`` (kernel/printk/printk.c), T for a task, C a CPU."""
    dmesg = parser("dmesg")
    assert numbers(dmesg(b"[   12.345678][ T4242] hello")) == [(4242, "tid")]
    assert numbers(dmesg(b"[   12.345678] [    T9] Out of memory: Killed process 7 (x) t")) == [
        (9, "tid"),
        (7, "tid"),
    ]
    assert dmesg(b"[   12.345678][    C1] hello") == NOTHING
    assert numbers(dmesg(b"6,12,345678,-,caller=T4242;hello")) == [(4242, "tid")]
    assert dmesg(b"6,12,345678,-,caller=C1;hello") == NOTHING
    assert dmesg(b"6,12,345678,-;caller=T4242;hello") == NOTHING


def test_the_dates_of_dmesg_are_not_relied_on() -> None:
    """dmesg(1): -T shows wrong times for all messages before the last resume."""
    parsed = parser("dmesg")(b"[Mon Nov 30 14:03:05 2026] oom_reaper: reaped process 42 (x), now")
    assert numbers(parsed) == [(42, "tid")]
    assert parsed.moment is None and "suspend" in parsed.reason


BOOT = "0123456789abcdef0123456789abcdef"


def entry(**fields: str) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize("separators", [(",", ":"), (", ", " : ")])
def test_an_entry_of_the_journal_has_journald_s_number_and_the_sender_s_time(
    separators: tuple[str, str],
) -> None:
    """systemd.journal-fields(7); older journalctl puts spaces around the colon."""
    fields = {
        "__REALTIME_TIMESTAMP": "1764511386000000",
        "_SOURCE_REALTIME_TIMESTAMP": "1764511385250000",
        "_BOOT_ID": BOOT,
        "MESSAGE": 'it says "_PID":"1", and {"_PID":"2"}',
        "SYSLOG_PID": "17",
        "_PID": "4242",
        "OBJECT_PID": "4243",
        "_TRANSPORT": "syslog",
    }
    line = json.dumps(fields, separators=separators).encode()
    parsed = parser("journal-json")(line)
    assert numbers(parsed) == [(4242, "pid"), (4243, "pid")]
    assert not any(it.is_initial for it in parsed.mentions)
    check_places(line, parsed)
    assert parsed.moment == written("2025-11-30T14:03:05.250+00:00", 1_000, BOOT)
    del fields["_SOURCE_REALTIME_TIMESTAMP"]
    read = parser("journal-json")(json.dumps(fields, separators=separators).encode())
    assert read.moment == written("2025-11-30T14:03:06+00:00", 1_000, BOOT)


def test_what_only_ends_like_a_key_is_none() -> None:
    """Found by scripts/fuzz: no quote of a key stands behind a backslash."""
    line = b'{"\\"_PID":"17","_PID":"18"}'
    assert json.loads(line) == {'"_PID': "17", "_PID": "18"}
    assert numbers(parser("journal-json")(line)) == [(18, "pid")]


def test_an_entry_of_the_kernel_has_the_kernel_s_numbers() -> None:
    oom = 'Out of memory: Killed process 4242 (my\\" app) total-vm:1kB'
    line = entry(_TRANSPORT="kernel", __REALTIME_TIMESTAMP="1764511385000000", MESSAGE=oom)
    parsed = parser("journal-json")(line)
    assert numbers(parsed) == [(4242, "tid")]
    assert parsed.mentions[0].is_initial
    check_places(line, parsed)
    assert parsed.moment == written("2025-11-30T14:03:05+00:00", 1_000)
    ended = entry(
        _TRANSPORT="kernel", MESSAGE="oom-kill:constraint=N,task=x,pid=42000,uid=0", X="1"
    )
    assert numbers(parser("journal-json")(ended)) == [(42000, "tid")]
    assert parser("journal-json")(entry(_TRANSPORT="syslog", MESSAGE=oom)) == NOTHING


def test_an_entry_of_audit_has_the_initial_namespace_s_number() -> None:
    """journald fills ``_PID`` from the record (journald-audit.c)."""
    line = entry(_TRANSPORT="audit", _PID="42", __REALTIME_TIMESTAMP="1764511385000000")
    assert parser("journal-json")(line).mentions[0].is_initial


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"2026-11-30T14:03:05+0100 web1 nginx[4242]: pid 17 failed", [(4242, "pid")]),
        (b"2026-11-30T14:03:05+01:00 web1 nginx[4242]: x", [(4242, "pid")]),
        (b"2026-11-30T14:03:05+0100 web1 CRON[4242]: (root) CMD (x[7]: y)", [(4242, "pid")]),
        (b"2026-11-30T14:03:05+0100 web1 nginx: x[17]: y", []),
        (b"-- Boot 0123456789abcdef0123456789abcdef --", []),
        (b"Nov 30 14:03:05 web1 nginx[4242]: x", []),
    ],
)
def test_short_iso_has_the_number_behind_the_identifier(
    line: bytes, expected: list[tuple[int, str]]
) -> None:
    """``output_short()`` (src/shared/logs-show.c, systemd)."""
    parsed = parser("short-iso")(line)
    assert numbers(parsed) == expected
    check_places(line, parsed)
    assert not expected or parsed.moment == written("2026-11-30T14:03:05+01:00", SECOND_NS)


def test_kern_log_s_other_lines_are_left_alone() -> None:
    """In syslog a program writes its own number, in its own namespace."""
    assert parser("kern.log")(b"Nov 30 14:03:05 web1 nginx[17]: x") == NOTHING
    assert parser("kern.log")(b"Nov 30 14:03:05 web1 nginx: kernel: oom_reaper: x") == NOTHING


@pytest.mark.parametrize(
    ("line", "expected", "moment"),
    [
        # strace.c: printleader(); -f -ttt to a terminal, to a file, and with -Y
        (
            b'[pid  4242] 1764511385.250000 openat(AT_FDCWD, "/x", O_RDONLY) = 3',
            [(4242, "tid")],
            ("2025-11-30T14:03:05.250+00:00", 1_000),
        ),
        (
            b"4242  1764511385.250000 clone(child_stack=NULL, flags=CLONE_PARENT) = 17",
            [(4242, "tid")],
            ("2025-11-30T14:03:05.250+00:00", 1_000),
        ),
        (
            b"[pid 4242<nginx>] 1764511385.250000 --- SIGCHLD {si_pid=17} ---",
            [(4242, "tid")],
            ("2025-11-30T14:03:05.250+00:00", 1_000),
        ),
        (
            b"4242<ng inx> 1764511385.250000123 <... wait4 resumed>) = 17",
            [(4242, "tid")],
            ("2025-11-30T14:03:05.250000+00:00", 1),
        ),
        # with -t or -tt there is no date
        (b"4242  14:03:05.250000 read(3, 0x1, 1) = 0", [(4242, "tid")], None),
        # of a single process there is no number
        (b"1764511385.250000 read(3, 0x1, 1) = 0", [], None),
        (b"strace: Process 4243 attached", [], None),
    ],
)
def test_strace_has_the_thread_before_its_time(
    line: bytes, expected: list[tuple[int, str]], moment: tuple[str, int] | None
) -> None:
    parsed = parser("strace")(line)
    assert numbers(parsed) == expected
    check_places(line, parsed)
    if moment is None:
        assert parsed.moment is None
        assert parsed.reason == ("strace wrote no date: it needs -ttt" if expected else "")
    else:
        fraction_ns = 123 if b"123" in line else 0
        expected_moment = written(*moment)
        assert parsed.moment == Moment(
            Clock.REALTIME,
            expected_moment.first_ns + fraction_ns,
            expected_moment.last_ns + fraction_ns,
        )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # tools/perf/builtin-script.c: perf_sample__fprintf_start(); tid, and -F comm,pid,tid
        (b"           nginx 4242 [001] 12345.678901:     250000 cpu-clock:  7f00 x+0x0", "4242"),
        (b"           nginx  4242    12345.678901:     250000 cpu-clock:  7f00 x", "4242"),
        (b"nginx    4242 [001] 12345.678901:     250000 cycles: ", "4242"),
        (b"           nginx    4242/4243    [001] 12345.678901:     1 cycles: ", "4242/4243"),
        (b"           nginx    4242/4242    12345.678901:     1 cycles: ", "4242/4242"),
        (b"         my 7 ap    4242 [001] 12345.678901: sched:x: prev_pid=17", "4242"),
        (b"        x 1 [01]    4242 [001] 12345.678901:     1 cycles: ", "4242"),
        # the longest comms that imitate what follows, padded to 16, and unpadded
        (b"  x 1 1.000000: 4242 [001] 12345.678901: 1 c: 5 1.000000: ", "4242"),
        (b"x 1 1.000000: y    4242 [001] 12345.678901: 1 cycles: 9", "4242"),
        # a comm that ends the line
        (b"  1 1.000000: x", None),
        (b"   1    1.00000", None),
        (b"         swapper       0 [000] 12345.678901:     1 cycles: ", None),
        (b"            7f0042 main+0x0 (/usr/sbin/nginx)", None),
        (b"# captured on: Mon Nov 30 14:03:05 2026", None),
    ],
)
def test_perf_has_the_thread_behind_the_comm(line: bytes, expected: str | None) -> None:
    parsed = parser("perf")(line)
    if expected is None:
        assert parsed == NOTHING
        return
    process, _, thread = expected.partition("/")
    if not thread:
        assert numbers(parsed) == [(int(process), "tid")]
    elif thread == process:
        assert numbers(parsed) == [(int(process), "pid")]
    else:
        assert numbers(parsed) == [(int(process), "pid"), (int(thread), "tid")]
    check_places(line, parsed)
    assert parsed.moment == scheduler_moment(12_345_678_901_000, 1_000)


NDJSON = JsonLines("process.pid", "@timestamp", stamps())


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b'{"@timestamp": "2026-11-30T14:03:05.250Z", "process": {"pid": 4242, "x": 1}}', 4242),
        (b'{"process.pid": "4242", "process": {"pid": 1}, "@timestamp": 1}', 4242),
        (b'{"process": {"pid": 0}}', None),
        (b'{"process": {"pid": -3}}', None),
        (b'{"process": {"pid": 4.0}}', None),
        (b'{"process": {"pid": true}}', None),
        (b'{"process": {"pid": null}}', None),
        (b'{"process": [4242]}', None),
        (b'{"process": {"pid": 4194305}}', None),
        (b'{"process": {"pid": ' + b"9" * 5000 + b"}}", None),
        (b"[" * 100_000, None),
        (b'{"process": {"pid": 4242}', None),
        (b"\xff\xfe", None),
        (b"4242", None),
        (b"", None),
    ],
)
def test_json_lines_have_the_number_in_the_named_field(line: bytes, number: int | None) -> None:
    assert [it.number for it in NDJSON(line).mentions] == ([] if number is None else [number])


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ('"2026-11-30T14:03:05.250Z"', written("2026-11-30T14:03:05.250+00:00", 1_000_000)),
        ('"2026-11-30 14:03:05,25"', written("2026-11-30T14:03:05.250+01:00", 10_000_000)),
        ('"2026-11-30T14:03:05.1234567891+01:00"', written("2026-11-30T14:03:05.123456+01:00", 1)),
        ('"Nov 30 14:03:05"', written("2026-11-30T14:03:05+01:00", SECOND_NS)),
        ("1764511385", written("2025-11-30T14:03:05+00:00", SECOND_NS)),
        ("1764511385.25", written("2025-11-30T14:03:05.250+00:00", 10_000_000)),
        ("1764511385250", written("2025-11-30T14:03:05.250+00:00", 1_000_000)),
        ("1764511385250000", written("2025-11-30T14:03:05.250+00:00", 1_000)),
        ("1764511385250000000", written("2025-11-30T14:03:05.250+00:00", 1)),
        ('"2026-02-30T14:03:05Z"', None),
        ('"2026-03-29 02:30:00"', None),  # the clock was set forward
        ('"9999-12-31 23:59:59"', None),
        ('"2026-11-30"', None),
        ("17645", None),
        ("null", None),
        ('"\\ud800"', None),
    ],
)
def test_a_time_of_json_is_as_wide_as_its_last_digit(value: str, moment: Moment | None) -> None:
    parsed = JsonLines("pid", "ts", stamps())(b'{"pid": 42, "ts": %s}' % value.encode())
    if moment is not None and "1234567891" in value:
        moment = moment._replace(first_ns=moment.first_ns + 789, last_ns=moment.last_ns + 789)
    if value.startswith('"9999'):
        assert parsed.moment is None or parsed.moment.first_ns > NOW_NS
    else:
        assert parsed.moment == moment
        assert (parsed.reason == "") is (moment is not None)


def test_an_hour_that_came_twice_is_an_interval_of_both() -> None:
    parsed = JsonLines("pid", "ts", stamps())(b'{"pid": 42, "ts": "2026-10-25 02:30:05"}')
    first, last = at("2026-10-25T02:30:05+02:00"), at("2026-10-25T02:30:06+01:00") - 1
    assert parsed.moment == Moment(Clock.REALTIME, first - LATE_NS, last)


@pytest.mark.parametrize(
    ("now", "line", "expected"),
    [
        ("2026-12-01T10:00:00+01:00", b"Nov 30 14:03:05", "2026-11-30T14:03:05+01:00"),
        ("2027-01-01T10:00:00+01:00", b"Dec 31 14:03:05", "2026-12-31T14:03:05+01:00"),
        ("2026-12-31T23:59:00+01:00", b"Jan  1 00:00:05", "2027-01-01T00:00:05+01:00"),
        ("2027-01-01T10:00:00+01:00", b"Feb 29 14:03:05", "2024-02-29T14:03:05+01:00"),
        ("2026-12-01T10:00:00+01:00", b"Nov 31 14:03:05", None),
        ("2026-12-01T10:00:00+01:00", b"Foo 30 14:03:05", None),
    ],
)
def test_a_date_without_a_year_is_the_latest_that_is_at_most_a_day_ahead(
    now: str, line: bytes, expected: str | None
) -> None:
    of_kernel = parser_of("kern.log", stamps(now_ns=at(now)))
    parsed = of_kernel(line + b" web1 kernel: oom_reaper: reaped process 42 (x), now")
    assert numbers(parsed) == [(42, "tid")]
    assert parsed.moment == (None if expected is None else written(expected, SECOND_NS))


def test_an_expression_names_the_number_and_the_time() -> None:
    it = Expression(r"^(?P<time>\S+) \w+\[(?P<pid>\d+)\]", stamps())
    line = b"2026-11-30T14:03:05Z nginx[4242]: x"
    parsed = it(line)
    assert numbers(parsed) == [(4242, "pid")]
    check_places(line, parsed)
    assert parsed.moment == written("2026-11-30T14:03:05+00:00", SECOND_NS)
    assert it(b"yesterday nginx[4242]: x").reason == "the line has no time"
    assert it(b"no number") == NOTHING
    thread = Expression(r"(?P<tid>\w+)", stamps())
    assert numbers(thread(b"42")) == [(42, "tid")]
    assert thread(b"x") == thread(b"99999999999") == thread(b"0") == NOTHING


@pytest.mark.parametrize(
    "text", ["(", r"\d+", r"(?P<pid>\d+) (?P<tid>\d+)", "(?P<pid>x){99999999999}", "(?P<pid>\udcff"]
)
def test_an_expression_that_names_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--regex"):
        Expression(text, stamps())


PARSERS = [*(parser(name) for name in FORMATS), NDJSON]
SAMPLES = [
    SYSCALL,
    b"[12345.678901] " + MESSAGES[0][0],
    b"Nov 30 14:03:05 web1 kernel: [1.234567] " + MESSAGES[8][0],
    b"2026-11-30T14:03:05+0100 web1 nginx[4242]: x",
    b"[pid  4242] 1764511385.250000 read(3) = 0",
    b"           nginx    4242/4243    [001] 12345.678901:     1 cycles: ",
    entry(_PID="4242", __REALTIME_TIMESTAMP="1764511385000000"),
    b'{"process": {"pid": 4242}, "@timestamp": "2026-11-30T14:03:05Z"}',
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A line of some log with bytes cut out, put in and changed."""
    line = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, len(line)))
        line[first : first + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(line)


@given(st.one_of(st.binary(max_size=200), damaged()))
def test_any_line_has_numbers_that_stand_in_it(line: bytes) -> None:
    for parse in PARSERS:
        parsed = parse(line)
        assert all(0 < it.number <= 4 << 20 for it in parsed.mentions)
        if parse is not NDJSON:
            check_places(line, parsed)
        assert not parsed.mentions or (parsed.moment is None) is bool(parsed.reason)
        if parsed.moment is not None:
            assert parsed.moment.first_ns <= parsed.moment.last_ns


@pytest.mark.parametrize(
    "piece",
    [
        b"[",
        b"[1]",
        b"pid=1 ",
        b",pid=1,uid=1",
        b" msg='",
        b":1 blocked a",
        b"\\",
        b'"',
        b'"_PID":"',
    ],
)
def test_no_line_takes_time_that_grows_with_a_power_of_its_length(piece: bytes) -> None:
    """A search whose time grew with the square of 64 KiB would take minutes; these take ms."""
    heads = [*(line[:40] for line in SAMPLES), b"[1.234567] INFO: task ", b"[1.234567] oom-kill:"]
    for name, form in FORMATS.items():
        parse = parser(name)
        with bounded_time(20):
            for head in (*heads, b""):
                parse(head + piece * ((64 << 10) // len(piece)))
        assert form.searched <= 1 << 20
