"""The life stream's collector, in its own process: drained each second into columns.

It prints "ready", and at each byte of standard input what CPU time it has taken so far, everything
written until then included.
"""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import closing

from pidscope.history.lives import Columns
from pidscope.live.life_program import LifeProgram
from pidscope.live.slots import LifeReader

POLL_S = 1.0  # as many lives as there are slots may end meanwhile


def main() -> None:
    """Drain by the clock, until standard input ends."""
    births = "births" in sys.argv[1:]
    with closing(LifeProgram(births=births)) as program, closing(LifeReader(program)) as reader:
        columns = {stream.of: Columns(stream.of) for stream in program.streams}

        def drain() -> None:
            for of, rows in reader.take():
                for _ in columns[of].add(rows):  # a full block: to be kept by others
                    pass

        print("ready", flush=True)
        while True:
            drain()
            if not select.select([sys.stdin], [], [], POLL_S)[0]:
                continue
            if not os.read(sys.stdin.fileno(), 1):
                return
            drain()
            print(time.process_time_ns(), flush=True)


if __name__ == "__main__":
    main()
