"""One target under atheris: its own process, since libFuzzer ends the process it runs in.

usage: python -m fuzzing.child TARGET COUNTS LIBFUZZER-ARGUMENT…
How many of so many inputs were accepted is written to the file COUNTS as JSON, now and then:
libFuzzer ends without a word to Python.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The model is what scenarios are played on: it is not what reads them.
_INSTRUMENTED = [
    "pidscope.escape",
    "pidscope.wire",
    *(f"pidscope.host.{name}" for name in ("btf", "proc_parse", "proc")),
    *(f"pidscope.simulated.{name}" for name in ("calls", "steps", "scenario", "resolve", "cast")),
]
_WRITTEN_EVERY = 1000


class Counted:
    """A target's check, and what it gave so far, in a file."""

    def __init__(self, check: Any, path: Path) -> None:
        self._check = check
        self._path = path
        self.inputs = 0
        self.accepted = 0

    def __call__(self, data: bytes) -> None:
        self.inputs += 1
        self.accepted += self._check(data)
        if self.inputs % _WRITTEN_EVERY == 0:
            self._path.write_text(json.dumps([self.inputs, self.accepted]))


def main(arguments: Sequence[str]) -> None:
    """Fuzz; does not return."""
    name, counts, *rest = arguments
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=_INSTRUMENTED):
        target = importlib.import_module("pidscope_dev.fuzz.registry").TARGETS[name]
        mutated = importlib.import_module("pidscope_dev.fuzz.mutate").mutated

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        choose = random.Random(seed).randrange
        if choose(2):
            return bytes(mutated(target, data, choose)[:max_size])
        data = atheris.Mutate(data, max_size)
        return bytes(target.repair(data)[:max_size]) if choose(2) else data

    counted = Counted(target.check, Path(counts))
    atheris.Setup([f"fuzz {name}", *rest], counted, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
