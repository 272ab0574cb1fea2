"""Compare the answers of this checkout with those of an earlier revision."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from pidscope_dev.arguments import Arguments, command_line, positive
from pidscope_dev.builds import Build, BuildError, earlier_and_present, environment
from pidscope_dev.corpus import host
from pidscope_dev.corpus.cases import cases

SHOWN = 20
_CUT = 300  # characters of each answer that differs
_SECONDS = re.compile(r"\b\d+\.\d+ s\b")  # measured, so they differ between two runs of one build
_DIGITS = re.compile(r"\d+")
_DATA = ("-J", "-q")  # with these, standard output is for programs

EPILOG = """\
Both builds are installed into temporary virtual environments, this checkout with its uncommitted
changes. Each answers some 8,000 invocations, both at the same time: every command over all
scenarios, random worlds and a host made of files, and wrong usage. Nothing of this host is read.

JSON (-J), the numbers of -q and exit codes must be equal byte for byte. Of all other text the
changed lines are listed by kind, with N for every number, or with their numbers where only these
have changed. Times that were measured do not count.

exit status:
  0    JSON and exit codes are equal, whatever the words are
  1    some differ
  2    wrong usage, or a build cannot be made or does not run
"""
ARGUMENTS: Arguments = {
    "--against": {"metavar": "REV", "required": True, "help": "the git revision to compare with"},
    "--every": {
        "metavar": "N",
        "type": positive,
        "default": 1,
        "help": "only every N-th invocation",
    },
}


class Answer(NamedTuple):
    """One invocation and what came of it."""

    argv: list[str]
    stdin: str
    status: int
    stdout: str
    stderr: str

    @property
    def data(self) -> tuple[int, str]:
        """What may not differ: the exit code, and the output that programs read."""
        return self.status, self.stdout if set(_DATA) & set(self.argv) else ""

    @property
    def lines(self) -> list[str]:
        """All text, without the times that were measured."""
        return _SECONDS.sub("T s", self.stdout + self.stderr).splitlines()


class Comparison(NamedTuple):
    """How many answers are equal, which differ in data, and which kinds of lines have changed."""

    equal: int
    differing: list[tuple[Answer, Answer]]
    reworded: int
    kinds: Counter[tuple[str, str]]  # lines before and after, numbers as N


def main(argv: Sequence[str]) -> int:
    """Record both builds, print what differs; the exit status."""
    args = command_line("scripts/corpus", __doc__, ARGUMENTS, EPILOG).parse_args(argv)
    try:
        with earlier_and_present(args.against) as builds, tempfile.TemporaryDirectory() as folder:
            comparison = compared(builds, Path(folder), args.every)
    except BuildError as error:
        print(f"scripts/corpus: {error}", file=sys.stderr)
        return 2
    print("\n".join(shown(comparison)))
    return int(bool(comparison.differing))


def compared(builds: Sequence[Build], folder: Path, every: int) -> Comparison:
    """Let both builds answer every so-manieth case; raises BuildError if one of them cannot."""
    host.write(folder / "proc")
    asked = list(cases(str(folder / "proc")))[::every]
    given = folder / "cases"
    given.write_text("".join(json.dumps(case._asdict()) + "\n" for case in asked))
    answers = [folder / str(number) for number, _ in enumerate(builds)]
    recording = [_started(build, given, kept) for build, kept in zip(builds, answers)]
    for build, process in zip(builds, recording):
        message = process.communicate()[1].strip().splitlines()[-1:]
        if process.returncode:
            raise BuildError(f"{build.name} does not run: {''.join(message)}")
    earlier, present = map(_read, answers)
    return compare(earlier, present)


def _started(build: Build, given: Path, kept: Path) -> subprocess.Popen[str]:
    record = Path(__file__).with_name("record.py")
    return subprocess.Popen(
        [build.python, "-I", record, given, kept],
        env=environment(),
        cwd=given.parent,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read(answers: Path) -> Iterator[Answer]:
    with open(answers) as lines:
        for line in lines:
            yield Answer(**json.loads(line))


def compare(earlier: Iterable[Answer], present: Iterable[Answer]) -> Comparison:
    """Judge answers in the same order; raises ValueError: they are not to the same cases."""
    equal = reworded = 0
    differing: list[tuple[Answer, Answer]] = []
    kinds: Counter[tuple[str, str]] = Counter()
    for old, new in zip_longest(earlier, present):
        if old is None or new is None or old[:2] != new[:2]:
            raise ValueError("the records are not of the same cases")
        if old.data != new.data:
            differing.append((old, new))
        elif old.lines != new.lines:
            reworded += 1
            kinds.update(_changed(old.lines, new.lines))
        else:
            equal += 1
    return Comparison(equal, differing, reworded, kinds)


def _changed(old: list[str], new: list[str]) -> Iterable[tuple[str, str]]:
    for before, after in zip_longest(old, new, fillvalue=""):
        kind = _DIGITS.sub("N", before), _DIGITS.sub("N", after)
        if kind[0] != kind[1]:
            yield kind
        elif before != after:  # the same words about another number
            yield before, after


def shown(comparison: Comparison) -> Iterator[str]:
    """The lines: the counts, then the answers that differ, then the kinds of other words."""
    differing, kinds = comparison.differing, comparison.kinds
    total = comparison.equal + comparison.reworded + len(differing)
    yield (
        f"{total} invocations: {comparison.equal} equal, {comparison.reworded} in other words, "
        f"{len(differing)} with another exit code or JSON"
    )
    for old, new in differing[:SHOWN]:
        yield f"DIFFERS pidscope {' '.join(old.argv)}: exit code {old.status}, now {new.status}"
        yield f"  - {(old.stdout + old.stderr)[:_CUT]!r}"
        yield f"  + {(new.stdout + new.stderr)[:_CUT]!r}"
    for (before, after), count in kinds.most_common():
        yield f"{count} times:"
        yield f"  - {before}"
        yield f"  + {after}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
