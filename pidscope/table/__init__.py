"""What events make of struct pid: every task, its numbers, and the namespaces."""
