"""Rules for cgroup paths that this host's root, or this user, has written into a file.

One rule a line: the runtime, and a form as in `pidscope.containers.forms`. They rank behind the
built-in rules. A form is no regular expression, so none can be slow, and nothing that stands in the
file is run or printed unescaped. The file counts only if no other user could have written it: it
and each directory above it belong to root or to this user, no other may write there, and none is a
symbolic link.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Callable, NamedTuple

from pidscope.containers.forms import Rule
from pidscope.containers.rules import Rules, built_in, ranked
from pidscope.escape import printable

MAX_BYTES = 1 << 16
MAX_RULES = 256
HOLES = frozenset({"hex64", "hex32", "uuid", "guid", "id", "name", "unit", "number", "any"})
_FREE = frozenset({"id", "name", "unit", "any"})
_IDS = HOLES - {"number", "any"}
_LINE = re.compile(r"([a-z0-9][a-z0-9_.-]{0,31})[ \t]+(\S.{0,254})")
_HOLE = re.compile(r"\{([^{}]*)\}")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Loaded(NamedTuple):
    """All rules, and a line for each thing in a file that does not count."""

    rules: Rules
    faults: tuple[str, ...] = ()


class Refused(Exception):
    """A file does not count; the text is the reason."""


def load(files: list[str], uid: int) -> Loaded:
    """Return the built-in rules, and behind them those of ``files`` that user ``uid`` may trust."""
    rules: list[Rule] = []
    faults: list[str] = []
    for path in files:
        try:
            text = read(path, uid)
        except FileNotFoundError:
            continue
        except (Refused, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            faults.append(f"{printable(path)}: {reason}")
            continue
        for number, parsed in parse(text, path):
            if isinstance(parsed, Rule):
                rules.append(parsed)
            else:
                faults.append(f"{printable(path)}:{number}: {parsed}")
    return Loaded(ranked(rules[:MAX_RULES]) if rules else built_in(), tuple(faults))


def parse(text: str, path: str) -> Iterator[tuple[int, Rule | str]]:
    """Yield each line's number with its rule, or with what is wrong with it."""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            if match is None:
                yield number, "not a runtime and a form"
            else:
                form = match[2].strip("/")
                yield number, _fault(form) or Rule(match[1], form, "", path, "")


def _fault(form: str) -> str:
    """Return what is wrong with a form; empty: nothing."""
    holes = _HOLE.findall(form)
    fixed = _HOLE.sub("", form)
    if re.search(r"[][{}]", fixed) or "//" in form or not fixed.strip("/"):
        return "a form is fixed text and {holes}"
    if set(holes) - HOLES:
        return f"a hole is one of {', '.join(sorted(HOLES))}"
    if sum(hole in _IDS for hole in holes) != 1:
        return "a form has one hole that is an id or a name"
    if any(sum(it in _FREE for it in _HOLE.findall(part)) > 1 for part in form.split("/")):
        return "of id, name, unit and any one directory has one"
    return ""


def read(path: str, uid: int) -> str:
    """Return the text of a file that nobody but root and ``uid`` could have written.

    Raises:
        FileNotFoundError: there is none. Refused: it does not count. OSError: it cannot be read.
    """
    *directories, name = path.strip("/").split("/")
    at = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for directory in directories:
            below = os.open(directory, os.O_PATH | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
            _expect(at, uid, stat.S_ISDIR, f"{directory} above it")
        # Non-blocking: a FIFO would have the reader wait for a writer.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)
    with os.fdopen(file, "rb") as opened:
        _expect(file, uid, stat.S_ISREG, "it")
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Refused(f"it is longer than {MAX_BYTES >> 10} KiB")
    return data.decode("utf-8", "surrogateescape")


def _expect(file: int, uid: int, kind: Callable[[int], bool], what: str) -> None:
    """Raise Refused for what another user may have placed or may write."""
    status = os.fstat(file)
    if not kind(status.st_mode):
        raise Refused(f"{printable(what)} is a link, or no plain file or directory")
    if status.st_uid not in (0, uid):
        raise Refused(f"{printable(what)} belongs to user {status.st_uid}")
    if status.st_mode & _OTHERS_WRITE:
        raise Refused(f"{printable(what)} can be written by other users")
