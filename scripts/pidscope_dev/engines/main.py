"""Ask each container engine and pidscope the same questions; print a row for each engine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence, Set
from pathlib import Path

from pidscope_dev import CHECKOUT
from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.engines import evidence, table
from pidscope_dev.engines.containerd import Containerd
from pidscope_dev.engines.cri import Pods
from pidscope_dev.engines.docker import Docker
from pidscope_dev.engines.engine import Engine, EngineFailed
from pidscope_dev.engines.lxc import Lxc
from pidscope_dev.engines.nested import DockerInDocker
from pidscope_dev.engines.nspawn import Nspawn
from pidscope_dev.engines.oci import Crun, Runc
from pidscope_dev.engines.podman import Podman, PodmanPods, RootlessPodman
from pidscope_dev.engines.questions import ONE, QUESTIONS, Asked, Differs, answers
from pidscope_dev.engines.run import pidscope
from pidscope_dev.engines.tasks import inum

EPILOG = """\
It starts engines and containers on the machine where it runs, so it is for a guest.

examples:
  scripts/vm --engines --memory 4096 --timeout 1800 -- scripts/engines --here | tee rows
  scripts/engines --here docker podman
  scripts/engines rows                the table of these rows
  scripts/engines --write rows        the same, into docs/engines.md

exit status: 0 good; 1 an answer differs, or an engine did not run; 2 wrong usage.
"""
ENGINES: dict[str, Callable[[Path], Engine]] = {
    Docker.name: Docker,
    DockerInDocker.name: DockerInDocker,
    Podman.name: Podman,
    PodmanPods.name: PodmanPods,
    RootlessPodman.name: RootlessPodman,
    Containerd.name: Containerd,
    Pods.name: Pods,
    Lxc.name: Lxc,
    Nspawn.name: Nspawn,
    Runc.name: Runc,
    Crun.name: Crun,
}
PAGE = CHECKOUT / "docs" / "engines.md"
ARGUMENTS: Arguments = {
    "--here": {"action": "store_true", "help": "ask the engines named, or all, on this machine"},
    "--write": {"action": "store_true", "help": "write the table into docs/engines.md"},
    "--evidence": {
        "action": "store_true",
        "help": "print on standard error what the machine has of each engine's containers",
    },
    "--without": {
        "action": "append",
        "default": [],
        "choices": list(QUESTIONS),
        "metavar": "QUESTION",
        "help": "leave a column empty, such as README, which takes as long as all others",
    },
    "words": {"nargs": "*", "metavar": "WORD", "help": "engines, or files with rows in them"},
}


def main(argv: Sequence[str]) -> int:
    """Do what the arguments ask for, and print failures in words."""
    parser = command_line("scripts/engines", __doc__, ARGUMENTS, EPILOG)
    options = parser.parse_args(argv)
    if options.here:
        unknown = set(options.words) - ENGINES.keys()
        if unknown:
            parser.error(f"no such engine: {', '.join(sorted(unknown))}")
        return _ask(options.words or list(ENGINES), options.evidence, set(options.without))
    return _make([Path(word) for word in options.words], options.write)


def _ask(names: list[str], with_evidence: bool, without: Set[str]) -> int:
    good = True
    for name in names:
        with tempfile.TemporaryDirectory(prefix="pidscope-engines-", dir="/run") as place:
            engine: Engine = ENGINES[name](Path(place))
            row = _row(engine, with_evidence, without)
        print(table.to_line(row), flush=True)
        good = good and table.good(row)
    return 0 if good else 1


def _row(engine: Engine, with_evidence: bool, without: Set[str]) -> table.Row:
    try:
        found, failed = answers(engine, _print_evidence if with_evidence else None, without), ""
    except (EngineFailed, Differs, OSError, ValueError) as error:
        found, failed = {}, str(error)
    system = table.cgroup_form(), table.kernel()
    return table.Row(engine.name, version_of(engine), *system, found, failed)


def version_of(engine: Engine) -> str:
    """Return an engine's version; "?": it does not say one."""
    try:
        return engine.version()
    except (EngineFailed, ValueError, OSError):
        return "?"


def _print_evidence(asked: Asked) -> None:
    print(f"evidence of {asked.engine.name}:", *evidence.lines(inum(1)), sep="\n", file=sys.stderr)
    for command in (("ns",), ("lookup", "--explain", "17", "--in", ONE), ("ps", "-J")):
        status, printed, complaint = pidscope(*command)
        print(f"{command}: {status}", printed[:20000], complaint, sep="\n", file=sys.stderr)


def _make(files: list[Path], write: bool) -> int:
    rows = [row for file in files for row in table.from_lines(file.read_text(errors="replace"))]
    page = table.page(rows, ENGINES)
    if write:
        PAGE.write_text(page)
    else:
        print(page, end="")
    return 0 if rows and all(map(table.good, rows)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
