"""``--in WHERE``: the option, and the note on the namespace that it names."""

from __future__ import annotations

import argparse

from pidscope.query.place import Place
from pidscope.query.words import parse_where
from pidscope.terminal import warn

EXPLAINED = """\
WHERE names a PID namespace:
  host, self       the initial one; pidscope's own
  pid:N            that of process N, as this /proc numbers it
  ns:INUM          by its inum; pid:[INUM], as /proc prints it, is the same
  id:ID, name:X    that of a container, by its id (the first digits of it will
                   do) or its name
  pod:NS/POD[/CONTAINER], pod:POD, service:UNIT
                   that of a pod by its name or uid, of a service of systemd
A word without a prefix is tried as each, and what is printed of a container is
accepted; if it is several, they are listed. What shares the namespace of a
container is listed, too. Containers of users come after those of root.
"""


_SHORT = "host, self, pid:N, ns:INUM, or a container: id:ID, name:X, pod:NS/POD, service:UNIT"


def add_in(parser: argparse.ArgumentParser) -> None:
    """Add ``--in``; the argument is a `Where`, None if it is not given."""
    parser.add_argument("--in", dest="where", metavar="WHERE", type=parse_where, help=_SHORT)


def warn_shared(place: Place) -> None:
    """Print on standard error which others have the namespace of a container that was named."""
    from pidscope.query.where import shared_by, users_of  # most places are no container's

    for line in (*shared_by(place), *users_of(place)) if place.container else ():
        warn(line)
