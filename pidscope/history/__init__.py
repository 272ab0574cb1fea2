"""The flight recorder: lives as columns."""
