"""The tasks that live, as rows of lives: what a recording keeps beside the lives that ended."""

from __future__ import annotations

from pidscope.errors import HostError
from pidscope.live.compiled import ALIVE
from pidscope.live.iterator import TaskIterator
from pidscope.live.life_job import alive_job
from pidscope.live.refused import explain
from pidscope.live.supply import Supply
from pidscope.wire.lives import Class, split_rows


class Living:
    """The walk, loaded. Closing it, or dying, takes it out of the kernel.

    Args:
        supply: gives the compiled program.

    Raises:
        HostError: the kernel refuses it, or there is no bcc; BtfError: there is no usable BTF.
    """

    def __init__(self, supply: Supply) -> None:
        try:
            self._iterator = TaskIterator(supply.others(ALIVE, alive_job))
        except OSError as error:
            raise HostError(f"the kernel refuses a task iterator: {explain(error)}") from error

    def rows(self) -> list[tuple[Class, bytes]]:
        """Return every task that lives, class by class; raises OSError, WireError."""
        return split_rows(self._iterator.read_bytes())

    def close(self) -> None:
        """Take it out of the kernel."""
        self._iterator.close()
