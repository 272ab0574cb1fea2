"""The rooms of pidscope and which imports which, as a picture: docs/rooms.svg.

The imports are read from the sources by ast. An arrow that longer ways imply is left out, and a
room stands below all rooms that import it, so every arrow points down.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple, Union

from pidscope_dev import CHECKOUT

Imports = Mapping[str, frozenset[str]]

_WIDTH, _ROW = 880, 84
_BOX, _BOX_HEIGHT, _GAP, _WAY = 112, 36, 24, 40
_SWEEPS = 8
_STYLE = """\
text { font: 15px system-ui, "DejaVu Sans", sans-serif; text-anchor: middle; fill: #1f2328; }
rect { fill: #ddf4ff; stroke: #54aeff; }
path { fill: none; stroke: #656d76; stroke-width: 1.3; }
.page { fill: #ffffff; stroke: none; }
.head { fill: #656d76; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  rect { fill: #121d2f; stroke: #388bfd; }
  path { stroke: #9198a1; }
  .page { fill: #0d1117; }
  .head { fill: #9198a1; }
}
"""


class _Way(NamedTuple):
    """Where an arrow passes through a row between its two rooms."""

    importer: str
    imported: str
    depth: int


_Place = Union[str, _Way]
_Point = tuple[float, int]


def renewed() -> Iterator[tuple[Path, str]]:
    """Give the picture's file and what it should hold now."""
    yield CHECKOUT / "docs" / "rooms.svg", drawn(imports(CHECKOUT / "pidscope"))


def imports(package: Path) -> Imports:
    """Return for each room, a module or a package in ``package``, the rooms that it imports."""
    files = [
        path for path in package.rglob("*.py") if path.parent != package or path.stem[0] != "_"
    ]
    rooms: dict[str, set[str]] = {_room(path, package): set() for path in files}
    for path in files:
        room = _room(path, package)
        named = (name.split(".") for name in _named(ast.parse(path.read_text(encoding="utf-8"))))
        rooms[room] |= {name[1] for name in named if name[0] == package.name and name[1:]}
    return {room: frozenset(rooms.keys() & named - {room}) for room, named in rooms.items()}


def _room(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].partition(".")[0]


def _named(tree: ast.Module) -> Iterator[str]:
    """Give what is imported, also by a name in a string: cli imports its commands so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def drawn(imports: Imports) -> str:
    """Return the SVG. Raises ValueError for a circle."""
    chains = list(_chains(imports))
    points = _laid_out(imports, chains)
    height = max(y for _, y in points.values()) + _ROW // 2
    paths = (_path([points[place] for place in chain]) for chain in chains)
    boxes = (_box(place, *points[place]) for place in points if isinstance(place, str))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>The rooms of pidscope; an arrow points to what a room imports</title>",
        f"<style>\n{_STYLE}</style>",
        '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker>',
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
        *paths,
        *boxes,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _chains(imports: Imports) -> Iterator[list[_Place]]:
    """Give for each arrow its two rooms, and between them a way through each row that it passes."""
    depths = _depths(imports)
    for importer in sorted(imports):
        for imported in sorted(imports[importer] - _implied(importer, imports)):
            between = range(depths[importer] + 1, depths[imported])
            ways = (_Way(importer, imported, depth) for depth in between)
            yield [importer, *ways, imported]


def _implied(importer: str, imports: Imports) -> frozenset[str]:
    """Return the rooms that the rooms imported by ``importer`` import, directly or not."""
    below = (imports[room] | _implied(room, imports) for room in imports[importer])
    return frozenset().union(*below)


def _depths(imports: Imports) -> dict[str, int]:
    """Return the row of each room: below the lowest room that imports it."""
    depths = dict.fromkeys(imports, 0)
    for _ in imports:
        for room, imported in imports.items():
            for other in imported:
                depths[other] = max(depths[other], depths[room] + 1)
    if max(depths.values()) >= len(imports):
        raise ValueError("rooms import each other in a circle")
    return depths


def _laid_out(imports: Imports, chains: Sequence[list[_Place]]) -> dict[_Place, _Point]:
    """Return the middle of each place; places stand near the mean of those they are joined to."""
    depths: dict[_Place, int] = dict(_depths(imports).items())
    joined: dict[_Place, list[_Place]] = defaultdict(list)
    for chain in chains:
        depths.update({way: way.depth for way in chain if isinstance(way, _Way)})
        for upper, lower in zip(chain, chain[1:]):
            joined[upper].append(lower)
            joined[lower].append(upper)
    rows: list[list[_Place]] = [[] for _ in range(max(depths.values()) + 1)]
    for place in sorted(depths, key=str):
        rows[depths[place]].append(place)
    points = dict(point for row in rows for point in _spread(row, depths[row[0]]))
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            row.sort(key=lambda it: mean(points[other][0] for other in joined[it] or [it]))
            points.update(_spread(row, depths[row[0]]))
    return points


def _spread(row: Sequence[_Place], depth: int) -> Iterator[tuple[_Place, _Point]]:
    widths = [_BOX + _GAP if isinstance(place, str) else _WAY for place in row]
    left = (_WIDTH - sum(widths)) / 2
    for place, width in zip(row, widths):
        yield place, (left + width / 2, depth * _ROW + _ROW // 2)
        left += width


def _path(points: Sequence[_Point]) -> str:
    """Return a curve from the foot of the first box to the head of the last.

    Between two rows it bends; past the boxes of a row between it goes straight down.
    """
    half = _BOX_HEIGHT // 2
    drawing = f"M{points[0][0]:.0f} {points[0][1] + half}"
    for (x, y), (next_x, next_y) in zip(points, points[1:]):
        bend = (y + next_y) // 2
        drawing += f"C{x:.0f} {bend} {next_x:.0f} {bend} {next_x:.0f} {next_y - half}"
        drawing += f"V{next_y + half}" if (next_x, next_y) != points[-1] else ""
    return f'<path d="{drawing}" marker-end="url(#head)"/>'


def _box(name: str, x: float, y: float) -> str:
    left, top = x - _BOX / 2, y - _BOX_HEIGHT // 2
    return (
        f'<rect x="{left:.0f}" y="{top}" width="{_BOX}" height="{_BOX_HEIGHT}" rx="6"/>'
        f'<text x="{x:.0f}" y="{y + 5}">{name}</text>'
    )
