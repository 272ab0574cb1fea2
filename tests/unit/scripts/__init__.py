"""The development package, and the scripts as a person types them."""

import subprocess
import sys

from tests import CHECKOUT

PYTHON = ("containers", "vm", "workload")  # the others are shell


def run(name, *arguments, timeout=120, **options):
    """Run a script to its end; its output is text."""
    interpreter = [sys.executable] if name in PYTHON else []
    return subprocess.run(
        [*interpreter, CHECKOUT / "scripts" / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        **options,
    )
