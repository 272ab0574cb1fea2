"""Known process and namespace activity, with exact counts: what `scripts/workload` runs.

One direction of imports: syscalls <- family <- workload <- the workloads <- main.
"""
