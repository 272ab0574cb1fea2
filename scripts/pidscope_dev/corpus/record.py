"""Run by the interpreter of a build: each case in a forked child, the answers as JSON lines.

usage: python -I record.py CASES ANSWERS
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import traceback
from typing import Any, Callable

_LIMIT_S = 120  # an invocation that hangs ends by SIGALRM, and its status shows it
_CRASHED = 70
_ENVIRONMENT = {"TZ": "UTC", "COLUMNS": "80", "LC_ALL": "C.UTF-8"}

Main = Callable[[list[str]], int]


def main(cases: str, answers: str) -> None:
    """Import the whole build once, then answer each line of one file with a line of the other."""
    os.environ.update(_ENVIRONMENT)
    command = _imported()
    gc.freeze()  # no child copies the pages of these objects by collecting them
    with open(cases) as given, open(answers, "w") as kept:
        for line in given:
            case = json.loads(line)
            kept.write(json.dumps({**case, **_answer(command, **case)}) + "\n")


def _imported() -> Main:
    import pidscope
    from pidscope.cli import main

    for module in pkgutil.walk_packages(pidscope.__path__, "pidscope."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return main


def _answer(command: Main, argv: list[str], stdin: str) -> dict[str, Any]:
    files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    os.write(files[0], stdin.encode())
    os.lseek(files[0], 0, os.SEEK_SET)
    child = os.fork()
    if not child:
        _become(command, argv, files)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _, stdout, stderr = map(_text, files)
    return {"status": status, "stdout": stdout, "stderr": stderr}


def _become(command: Main, argv: list[str], descriptors: list[int]) -> None:
    """The child's whole life."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    signal.alarm(_LIMIT_S)
    try:
        status = command(argv)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = _CRASHED
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _text(descriptor: int) -> str:
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read().decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    main(*sys.argv[1:])
