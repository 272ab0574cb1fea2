"""Every PID of every task at every level of Linux PID namespaces."""

__version__ = "0.1.0"
