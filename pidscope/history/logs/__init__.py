"""Lines of logs: the PIDs in them, whose these are, and when the line was written. Pure."""
