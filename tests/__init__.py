"""The tests: unit tests anywhere, kernel tests in a VM, and the model against a kernel."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
