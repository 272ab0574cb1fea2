"""Programs that are attached to the kernel which the test moves, for a live session."""

from __future__ import annotations

from typing import Any

from pidscope.live.program import Refused
from pidscope.wire.hooks import FUNCTION_HOOKS, Hook
from tests.unit.stepped_kernel import SteppedWorld


class FakeProgram:
    """Stands in for `pidscope.live.program.Program`; the world has what it does not say itself."""

    hooks = FUNCTION_HOOKS
    ring_fd = None  # its ring is no map that could be waited for

    def __init__(self, world: SteppedWorld, way: str = "fentry") -> None:
        self.way = way
        self.silent: dict[Hook, str] = {}
        self.closed = False
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    @property
    def missing(self) -> dict[Hook, str]:
        blind = {hook: "not here" for hook in FUNCTION_HOOKS if not self._world.sees(hook.name)}
        return {**blind, **self.silent}

    def miss(self, hook: Hook, why: str) -> None:
        if hook.makes_state:
            raise Refused(f"{hook.name}: {why}")
        self.silent[hook] = why

    def skipped(self) -> dict[str, int]:
        return self._world.skipped

    def close(self) -> None:
        self.closed = True
