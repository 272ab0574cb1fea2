"""Containers as a task's cgroup paths name them, whatever runtime, driver and cgroup version.

The kernel knows no containers. A runtime makes a cgroup for each and writes the container's id, or
its name, into the cgroup's name, so the path shows all containers around a task, outermost first:
Docker in Docker, kind, a service in LXC. It is a claim of the user that may make cgroups there, and
the names in it are foreign: escape them before they are printed (`pidscope.escape`).

The forms are data (`pidscope.containers.forms`); this module only fits them to paths. A form is
compiled when a path has its longest fixed text, so a host pays for the runtimes that it has.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.forms import FORMS, HOLES, Rule

UNKNOWN = "?"  # the runtime of a container that no rule names
_PIECE = re.compile(r"\{([a-z0-9_]+)\}|\[([^\]]*)\]")
_UNIT_ESCAPES = re.compile(r"(?:\\x[0-9a-f]{2})+")
_USER_MANAGER = re.compile(r"user@([0-9]{1,10})\.service")
_SUPERVISED = re.compile(r"([^/]+\.(?:service|scope))/supervisor(?![^/])")
# Directories that a container's own init, or its runtime, makes below the container's cgroup.
_INNER = frozenset({"container", "init", "init.scope", "ns", "payload", "supervisor"})


_Marked = Sequence[tuple[str, Rule]]  # each behind the text that its paths have


class Rules(NamedTuple):
    """Rules in the order in which they are tried; ``own`` those of a file, which come last."""

    marked: _Marked
    own: _Marked = ()


class Witness(NamedTuple):
    """What in a ``/proc/N/cgroup`` names a container or a service."""

    container: Container
    rule: Rule | None  # None: a service, which its unit's suffix names
    line: str  # the line of the file, whole


class _Found(NamedTuple):
    container: Container
    rule: Rule | None


@functools.cache
def built_in() -> Rules:
    """Return the rules that every pidscope has."""
    return ranked(())


def ranked(own: Iterable[Rule]) -> Rules:
    """Return the built-in rules, and behind them those of a file."""
    return Rules(_marked(FORMS), _marked(own))


def _marked(rules: Iterable[Rule]) -> _Marked:
    return tuple((_mark(rule.form), rule) for rule in rules)


def _mark(form: str) -> str:
    """Return the longest text that each path of a form has."""
    fixed = [text for at, text in enumerate(_PIECE.split(form)) if at % 3 == 0]
    return max(fixed, key=len)


@functools.cache
def _compiled(form: str) -> re.Pattern[str]:
    """Return the expression of a form, which ends where a directory's name ends."""
    return re.compile(f"{_expression(form)}(?![^/])", re.DOTALL)


def _expression(form: str) -> str:
    parts, end = [], 0
    for match in _PIECE.finditer(form):
        parts.append(re.escape(form[end : match.start()]))
        parts.append(HOLES[match[1]] if match[1] else f"(?:{_expression(match[2])})?")
        end = match.end()
    return "".join((*parts, re.escape(form[end:])))


def parse_cgroup(data: bytes, rules: Rules | None = None) -> Chain:
    """Return the containers around a task, outermost first, given its ``/proc/N/cgroup``.

    Of several hierarchies (cgroup v1) that with most containers counts, of these that with most
    services, of equals the first. A file of another form names no container; nothing is raised.
    """
    return tuple(found.container for found in _best(data, rules or built_in())[1])


def witnesses(data: bytes, rules: Rules | None = None) -> list[Witness]:
    """Return for each of `parse_cgroup` what names it."""
    at, found = _best(data, rules or built_in())
    lines = [line for line in data.split(b"\n") if line.count(b":") > 1]
    text = lines[at].decode("utf-8", "surrogateescape") if found else ""
    return [Witness(it.container, it.rule, text) for it in found]


def unknown_container(data: bytes) -> Container | None:
    """Return a container of an unknown runtime, named by the deepest path of ``/proc/N/cgroup``.

    Its id is the path, its name the last directory that tells it apart. None: there is no path.
    For a task of which something other than its cgroup says that it is in a container.
    """
    path = max(cgroup_paths(data), key=lambda it: it.rstrip("/").count("/"), default="")
    parts = [part for part in path.split("/") if part]
    telling = [part for part in parts if part not in _INNER and not part.endswith(".slice")]
    name = (telling or parts or [path])[-1]
    if not name:
        return None
    return Container(UNKNOWN, path, unescape_unit(name), uid=_users(parts)[-1] if parts else None)


def cgroup_paths(data: bytes) -> Iterator[str]:
    """Yield the path in each line ``ID:CONTROLLERS:PATH``.

    ``proc_cgroup_show()`` (kernel/cgroup/cgroup.c) prints `` (deleted)`` after that of a removed
    cgroup, and ``cgroup_mkdir()`` refuses a newline in a name.
    """
    for line in data.split(b"\n"):
        fields = line.split(b":", 2)
        if len(fields) == 3:
            yield fields[2].removesuffix(b" (deleted)").decode("utf-8", "surrogateescape")


def _best(data: bytes, rules: Rules) -> tuple[int, list[_Found]]:
    """Return the number of the path that tells most, and what it names."""
    paths = list(cgroup_paths(data))
    outside = _outside(paths)
    found = {path: list(_parse(path, rules, outside)) for path in dict.fromkeys(paths)}
    best = max(found, key=lambda path: _weight(found[path]), default="")
    return (paths.index(best), found[best]) if found else (0, [])


def _weight(found: Sequence[_Found]) -> tuple[int, int]:
    """Order what paths name: a service never outvotes a container."""
    return sum(it.rule is not None for it in found), len(found)


def _outside(paths: Iterable[str]) -> frozenset[str]:
    """Return the units in which a task is beside the container.

    systemd-nspawn's supervisor is in /supervisor below the unit in the hierarchies that systemd
    manages, and in those of v1's controllers in the unit itself, where the container is, too.
    """
    it = (unit for path in paths if "/supervisor" in path for unit in _SUPERVISED.findall(path))
    return frozenset(it)


def parse_path(path: str, rules: Rules | None = None) -> Chain:
    """Return the containers and systemd services that a cgroup path names, outermost first.

    ``..`` at its head (the cgroup is outside the reader's cgroup namespace) names no container.
    """
    return tuple(it.container for it in _parse(path, rules or built_in(), _outside([path])))


def _parse(path: str, rules: Rules, outside: frozenset[str]) -> Iterator[_Found]:
    """Yield what a path names; in a unit of ``outside`` the task is beside the container."""
    parts = [part for part in path.split("/") if part]
    path, users = "/".join(parts), _users(parts)
    tried = [rule for mark, rule in rules.marked if mark in path]
    own = [rule for mark, rule in rules.own if mark in path]
    pod_uid: str | None = None
    at = start = depth = 0  # directory; its place in the path; below the root or a container
    while at < len(parts):
        rule, match = _first(tried, path, start, depth)
        if match is None and own:
            rule, match = _first_own(own, tried, path, start, depth)
        end, length = at + 1, len(parts[at])
        if match:
            end, length = at + 1 + match[0].count("/"), len(match[0])
            pod_uid = _pod_uid(match) or pod_uid
        for part, user in zip(parts[at:end], users[at:end]):
            if part.endswith(".service"):
                yield _service(part, user)
        depth += end - at
        beside = rule and "{unit}" in rule.form and parts[end - 1] in outside
        if rule and match and rule.runtime is not None and not beside:
            found = _container(rule.runtime, match, pod_uid, users[end - 1])
            yield _Found(found, rule)
            pod_uid, depth = None, 0
        at, start = end, start + length + 1


def _users(parts: Sequence[str]) -> Sequence[int | None]:
    """Return for each directory the user whose service manager may make it; None: root.

    Of several the outermost, as the others are a container's.
    """
    users: list[int | None] = []
    user = None
    for part in parts:
        users.append(user)
        if user is None and part.startswith("user@"):
            match = _USER_MANAGER.fullmatch(part)
            user = (int(match[1]) or None) if match else None
    return users


def _first(
    rules: Iterable[Rule], path: str, start: int, depth: int
) -> tuple[Rule | None, re.Match[str] | None]:
    """Return the first rule that fits a path from ``start`` on, and how."""
    for rule in rules:
        if not (rule.at_top and depth):
            match = _compiled(rule.form).match(path, start)
            if match:
                return rule, match
    return None, None


def _first_own(
    own: Iterable[Rule], built: Iterable[Rule], path: str, start: int, depth: int
) -> tuple[Rule | None, re.Match[str] | None]:
    """Return the first of a file's rules that fits where no built-in one fits any part of it."""
    rule, match = _first(own, path, start, depth)
    if match is not None:
        starts = [start + at + 1 for at, character in enumerate(match[0]) if character == "/"]
        if any(_first(built, path, at, 1)[1] for at in starts):
            return None, None
    return rule, match


def _service(part: str, user: int | None) -> _Found:
    """Return the service of a unit's directory; a name of the kernel's got a ``_``."""
    return _Found(Container("systemd", "", unit=part.removeprefix("_"), uid=user), None)


def _pod_uid(match: re.Match[str]) -> str | None:
    uid: str | None = match["pod"] if "pod" in match.re.groupindex else None
    return uid and uid.replace("_", "-")


def _container(
    runtime: str, match: re.Match[str], pod_uid: str | None, user: int | None
) -> Container:
    groups = match.groupdict()
    name = groups.get("name")
    if "unit" in groups:
        name = unescape_unit(groups["unit"])
    return Container(runtime, groups.get("id") or name or "", name, pod_uid=pod_uid, uid=user)


def unescape_unit(text: str) -> str:
    r"""Undo ``\xNN`` of systemd (unit_name_escape), which may be parts of one character."""
    return _UNIT_ESCAPES.sub(
        lambda match: bytes.fromhex(match[0].replace(r"\x", "")).decode("utf-8", "surrogateescape"),
        text,
    )
