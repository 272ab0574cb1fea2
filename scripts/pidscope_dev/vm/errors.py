"""The ways a run in a virtual machine fails, each with its own exit status."""

from __future__ import annotations


class VmError(Exception):
    """The virtual machine could not be started, or was lost before CMD's status came back."""

    exit_status = 125


class BootError(VmError):
    """The kernel panicked before CMD was started: nothing of CMD has happened."""


class UsageError(VmError):
    """The caller asked for something that makes no sense."""

    exit_status = 2


class TimeLimitError(VmError):
    """The time limit passed before CMD's status came back."""

    exit_status = 124
