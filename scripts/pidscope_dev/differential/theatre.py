"""The theatre: where worlds are made, and how it is known that everything is at rest in them.

The driver and all puppets share one CPU. Where it is allowed, puppets are SCHED_FIFO: the driver
can run only when none of them can, so whatever a call has caused is over then, even what the kernel
does last for the dead, giving back their numbers, which nothing shows. It also defines in which
order those run who are killed at once: as they are woken.

Elsewhere the driver is SCHED_IDLE, and puppets are not. That is nearly the same: others on that CPU
may now and then let the driver run too early. So there, and only there, a difference has to come
again when the same steps are made in another world (`exact`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from pidscope_dev.differential.puppets import World


class Theatre:
    """Makes worlds; a context, in which the driver stays on one CPU.

    Args:
        puppet: the program.
        user_namespace: make each world in a user namespace, too, as only root can do without.
    """

    def __init__(self, puppet: str, user_namespace: bool = False) -> None:
        self._puppet = puppet
        self._user_namespace = user_namespace
        self.exact = _may_be_preferred()

    def __enter__(self) -> Theatre:
        self._cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(self._cpus)})
        # The policy is a thread's, and inherited: those who are started must not be SCHED_IDLE.
        self._starter = ThreadPoolExecutor(1)
        self._starter.submit(os.getpid).result()
        if not self.exact:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return self

    def __exit__(self, *_: object) -> None:
        self._starter.shutdown()
        os.sched_setaffinity(0, self._cpus)

    def new_world(self) -> closing[World]:
        """A fresh one, which ends with the context; raises NoAnswer if this host allows none."""
        return closing(World(self._puppet, self._user_namespace, self._start))

    def _start(
        self, arguments: Sequence[str], descriptors: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        process = self._starter.submit(
            subprocess.Popen,
            arguments,
            pass_fds=descriptors,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        ).result()
        if self.exact:
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
        return process


def _may_be_preferred() -> bool:
    """Whether SCHED_FIFO is allowed: try, and go back."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True
