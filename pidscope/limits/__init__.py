"""What bounds a fork, and why one failed."""
