"""Recordings as each version of the format wrote them, in a directory of its number."""

from pathlib import Path

KEPT = Path(__file__).parent
