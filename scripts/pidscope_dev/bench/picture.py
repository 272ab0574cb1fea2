"""The rows with a goal as a picture: how many times better than its goal each is, or worse.

An SVG of our own, since it is a few bars and a plotting library would be a hundred megabytes that
cannot make one picture readable on light and dark pages both.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from pidscope_dev.bench import text
from pidscope_dev.bench.row import Row

_WIDTH, _LEFT, _RIGHT = 960, 320, 740  # of the picture; of the part with bars
_TOP, _GROUP, _ROW, _BAR = 112, 34, 22, 12
_DECADES = 1.5  # to each side of the goal; what is beyond is cut; its figure stands beside it
_REASON = 84  # characters

_LIGHT = {
    "page": "#ffffff",
    "band": "#f6f8fa",
    "ink": "#1f2328",
    "dim": "#656d76",
    "line": "#d0d7de",
    "good": "#1a7f37",
    "bad": "#bc4c00",
}
_DARK = {
    "page": "#0d1117",
    "band": "#161b22",
    "ink": "#e6edf3",
    "dim": "#9198a1",
    "line": "#3d444d",
    "good": "#3fb950",
    "bad": "#f0883e",
}
_FONT = """\
text { font: 13px system-ui, "DejaVu Sans", sans-serif; }
.title { font-size: 20px; font-weight: 600; }
.what { font-weight: 600; }
.dim { font-size: 12px; }
"""


class _Group(NamedTuple):
    """Rows of one thing, on one kernel."""

    what: str
    kernel: str
    rows: list[Row]

    @property
    def height(self) -> int:
        return _GROUP + _ROW * len(self.rows)


def drawn(rows: Sequence[Row], machine: str) -> str:
    """The SVG of all rows that have a goal, those that cannot run included."""
    judged = [row for row in rows if row.goal is not None]
    groups = [
        _Group(what, kernel, list(members))
        for (_, what, kernel), members in groupby(
            judged, lambda row: (row.section, row.what, row.kernel)
        )
    ]
    bottom = _TOP + sum(group.height for group in groups)
    height = bottom + 48
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>pidscope against its goals</title>",
        f"<style>\n{_style()}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}" rx="8"/>',
        _text(24, 40, "pidscope against its goals", "ink title"),
        _text(24, 62, _summary(judged), "dim"),
    ]
    at = _TOP
    for number, group in enumerate(groups):
        lines += _drawn_group(group, at, number % 2 == 0)
        at += group.height
    lines += [*_scale(), _text(24, height - 18, machine, "dim"), "</svg>"]
    return "\n".join(lines) + "\n"


def _style() -> str:
    """Colours as plain rules: not every renderer knows variables."""
    dark = "".join(f"  {rule}" for rule in _rules(_DARK))
    light = "".join(_rules(_LIGHT))
    return f"{_FONT}{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _rules(colours: dict[str, str]) -> Iterator[str]:
    for name, colour in colours.items():
        yield f".{name} {{ {'stroke' if name == 'line' else 'fill'}: {colour}; }}\n"
    yield f".goal {{ stroke: {colours['ink']}; }}\n"


def _summary(rows: Sequence[Row]) -> str:
    reached = sum(row.reached is True for row in rows)
    unable = sum(bool(row.unable) for row in rows)
    without = f", {unable} cannot run here" if unable else ""
    return f"{reached} of {len(rows)} goals reached{without}; medians, ours divided by theirs"


def _x(score: float) -> float:
    """Where a score stands: the goal in the middle, a decade as wide on either side."""
    decades = max(-_DECADES, min(_DECADES, math.log10(score)))
    return (_LEFT + _RIGHT) / 2 + decades * (_RIGHT - _LEFT) / 2 / _DECADES


def _scale() -> Iterator[str]:
    for x, words, style, anchor in (
        (_x(0.1), "10 times short of it", "dim", "middle"),
        (_x(1), "goal", "ink what", "middle"),
        (_x(10), "10 times better", "dim", "middle"),
        (_RIGHT + 16, "measured", "dim", "start"),
        (_WIDTH - 24, "goal", "dim", "end"),
    ):
        yield _text(x, _TOP - 14, words, style, anchor)


def _ruled(top: int) -> Iterator[str]:
    """The scale behind one bar: it crosses no text."""
    for score, style in ((0.1, "line"), (10, "line"), (1, "goal")):
        yield f'<path class="{style}" d="M{_x(score):.1f} {top}v{_ROW}"/>'


def _drawn_group(group: _Group, top: int, band: bool) -> Iterator[str]:
    if band:
        yield f'<rect class="band" y="{top}" width="{_WIDTH}" height="{group.height}"/>'
    yield _text(24, top + 20, group.what, "ink what")
    yield _text(_WIDTH - 24, top + 20, group.kernel, "dim", "end")
    for place, row in enumerate(group.rows):
        yield from _drawn_row(row, top + 26 + _ROW * place)


def _drawn_row(row: Row, top: int) -> Iterator[str]:
    yield _text(40, top + 14, row.label or row.unit, "ink")
    if row.score is None or row.figure is None:
        reason = textwrap.shorten(f"cannot run: {row.unable}", _REASON, placeholder=" …")
        yield _text(_LEFT, top + 14, reason, "dim")
        return
    style = "good" if row.reached else "bad"
    begin, end = sorted((_x(1), _x(row.score)))
    yield from _ruled(top)
    yield (
        f'<rect class="{style}" x="{begin:.1f}" y="{top + 4}" width="{max(end - begin, 2):.1f}" '
        f'height="{_BAR}"/>'
    )
    yield _text(_RIGHT + 16, top + 14, text.figure(row, row.figure), f"{style} what")
    yield _text(_WIDTH - 24, top + 14, text.goal(row), "dim", "end")


def _text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    attributes = f' class="{style}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y}"{attributes}>{escape(words)}</text>'
