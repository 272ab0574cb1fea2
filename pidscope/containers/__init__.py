"""Which container a process is in, and what its runtime calls it."""
