"""Compare the answers of this checkout with those of an earlier revision."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pidscope_dev.arguments import Arguments, command_line, positive
from pidscope_dev.builds import Build, BuildError, earlier_and_present, environment
from pidscope_dev.corpus import host
from pidscope_dev.corpus.cases import cases
from pidscope_dev.corpus.compare import Answer, Comparison, compare

SHOWN = 20
_CUT = 300  # characters of each answer that differs

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
