"""The judges: one file of /proc against the table, and the stream against its own grammar."""
