"""Processes and their numbers, by NSpid and the link of a namespace: read here, not by pidscope."""

from __future__ import annotations

from pathlib import Path


def inum(process: int) -> int:
    """Return the inode number of a process's PID namespace. Raises FileNotFoundError."""
    return Path(f"/proc/{process}/ns/pid").stat().st_ino


def numbers(process: int) -> list[int]:
    """Return the numbers of a process, the host's first. Raises OSError when it has gone."""
    status = Path(f"/proc/{process}/status").read_text(errors="replace")
    return [int(it) for it in status.partition("\nNSpid:\t")[2].partition("\n")[0].split()]


def processes() -> list[int]:
    """Return the host's PIDs of all processes."""
    return [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]


def members(ns: int) -> dict[int, int]:
    """Return the host's PID by the number in a namespace, of the processes that are in it."""
    found = {}
    for process in processes():
        try:
            if inum(process) == ns:
                found[numbers(process)[-1]] = process
        except OSError:
            continue
    return found
