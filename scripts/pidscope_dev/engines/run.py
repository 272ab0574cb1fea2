"""This checkout's pidscope, run in a child that has its modules already.

Under emulation a start of Python takes longer than the answer. Each question still gets a process
of its own, which shares nothing with the one before.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
import sys
import tempfile
import traceback
from collections.abc import Sequence

import pidscope as package

_PATIENCE_S = 60.0


def pidscope(*arguments: str) -> tuple[int, str, str]:
    """Return pidscope's exit status and what it prints on standard output and error.

    An engine under emulation is slower than pidscope waits, which pidscope would say. What is asked
    here is whether the answers are right, so it waits a minute.
    """
    _import_all()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaint:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(complaint.fileno(), 2)
            os._exit(_main(arguments))
        _, status = os.waitpid(child, 0)
        printed = []
        for file in (output, complaint):
            file.seek(0)
            printed.append(file.read().decode(errors="replace").strip())
        return os.waitstatus_to_exitcode(status), printed[0], printed[1]


def _main(arguments: Sequence[str]) -> int:
    """Run a command on descriptors 1 and 2, whatever the parent has made of its streams."""
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    from pidscope.cli import main
    from pidscope.containers import engines

    vars(engines).update(TIMEOUT_S=_PATIENCE_S, TOTAL_S=_PATIENCE_S)
    try:
        status = main(list(arguments))
    except SystemExit as end:  # argparse's
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


@functools.cache
def _import_all() -> None:
    for module in pkgutil.walk_packages(package.__path__, "pidscope."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ModuleNotFoundError):  # of an extra, such as pyarrow
                importlib.import_module(module.name)
