"""Questions about PIDs and their answers, as values."""
