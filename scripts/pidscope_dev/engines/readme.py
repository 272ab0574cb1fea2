"""README's table "Which command answers", run against a real engine's container.

Each of its commands is run by a shell, with the container for ``web`` and its process 17 for 4242;
a program other than pidscope is replaced by ``echo``. ``watch``, and what needs a recording, needs
eBPF: tests/kernel has those.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pidscope_dev import CHECKOUT

from .engine import TIME_LIMIT_S


class Facts(NamedTuple):
    """One container: as ``web`` is called, what pidscope shows of it, and its processes."""

    word: str
    shown: str
    seventeen: int  # the host's PID of what is 17 in it
    executed: int  # of what was executed in it; 0: nothing was


# What a line of the answer has to match. A process 6 was there, and has gone: exit status 4.
EXPECTED = {
    "pidscope lookup 17 --in web": r"^ +17 +{seventeen} ",
    "pidscope lookup 4242 -o NUMBER,NSPID,CONTAINER,COMM": r"^ *{seventeen} .*{shown}.* sleep",
    "pidscope lookup 4242 --to pid:4242": r"^ *{seventeen} +17 ",
    "strace -p $(pidscope lookup -q 17 --in web)": r"^-p {seventeen}$",
    "kill $(pidscope lookup -q - --in web </proc/4242/root/run/web.pid)": r"^{seventeen}$",
    "pidscope ps --zombies --in web": r"^ *PID ",
    "pidscope limits --in web": r"^pid_max +pid:",
    "pidscope ps --in web": r"^ *{executed} .* [A-Z]\S*j\S* +sleep",
    "pidscope ns": r"{shown}",
    "pidscope ps --in web -o PID,NSPID,NSCONTAINER,COMM": r"^ *{seventeen} .*{shown}.* sleep",
    "pidscope lookup 6 --in web": r"^$",
}
_STATUS = {"pidscope lookup 6 --in web": 4}
_TABLE = re.compile(r"## Which command answers\n(.*?)\n## ", re.DOTALL)
_WATCHING = re.compile(r"pidscope (?:watch|record|annotate)|--at ")
_COMMAND = re.compile(r"`([^`]*pidscope [^`]+)`")


def commands() -> list[str]:
    """Return the commands of the table that need no eBPF and no recording."""
    table = _TABLE.search((CHECKOUT / "README.md").read_text())
    rows = table[1].splitlines() if table else []
    found = [command for row in rows for command in _COMMAND.findall(row.rpartition(" | ")[2])]
    return [command for command in found if not _WATCHING.search(command)]


def complaints(facts: Facts) -> Iterator[str]:
    """Yield what differs from what the table promises of a container."""
    Path(f"/proc/{facts.seventeen}/root/run/web.pid").write_text("17\n")
    for command in commands():
        if facts.executed or "{executed}" not in EXPECTED[command]:
            status, printed, complaint = _run(filled(command, facts))
            wanted = EXPECTED[command].format(**_escaped(facts))
            expected = _STATUS.get(command, 0)
            if status != expected or not re.search(wanted, printed, re.MULTILINE):
                yield f"{command}: exit {status}: {printed} {complaint}"


def filled(command: str, facts: Facts) -> str:
    """Return a command as it is run."""
    for program in ("strace", "kill"):
        command = command.replace(f"{program} ", "echo ")
    command = command.replace("--in web", f"--in {facts.word}")
    command = command.replace("4242", str(facts.seventeen))
    return command.replace("pidscope ", f"{sys.executable} -m pidscope ")


def _escaped(facts: Facts) -> dict[str, str]:
    shown = facts.shown[:12] if re.fullmatch("[0-9a-f]{64}", facts.shown) else facts.shown
    return {
        "shown": re.escape(shown),
        "seventeen": str(facts.seventeen),
        "executed": str(facts.executed),
    }


def _run(command: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
