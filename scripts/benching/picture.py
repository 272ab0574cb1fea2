"""The rows with a goal as a picture: how many times better than its goal each is, or worse.

An SVG of our own, since it is a few bars and a plotting library would be a hundred megabytes that
cannot make one picture readable on light and dark pages both.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from html import escape

from benching import words
from benching.row import Row

_WIDTH, _LEFT, _RIGHT = 1000, 430, 770  # of the picture; of the part with bars
_TOP, _STEP, _BAR = 104, 40, 14
_DECADES = 1.5  # to each side of the goal; what is beyond is cut, and its figure tells
_REASON = 62  # characters

_STYLE = """\
  svg { --page: #ffffff; --ink: #1f2328; --dim: #656d76; --line: #d0d7de;
        --good: #1a7f37; --bad: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --dim: #8d96a0; --line: #30363d;
          --good: #3fb950; --bad: #f0883e; }
  }
  text { font: 14px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); }
  .page { fill: var(--page); }
  .title { font-size: 20px; font-weight: 600; }
  .dim { fill: var(--dim); font-size: 12px; }
  .line { stroke: var(--line); }
  .goal { stroke: var(--ink); }
  .good { fill: var(--good); }
  .bad { fill: var(--bad); }
"""


def drawn(rows: Sequence[Row], machine: str) -> str:
    """The SVG of all rows that have a goal, those that cannot run included."""
    judged = [row for row in rows if row.goal is not None]
    bottom = _TOP + _STEP * len(judged)
    height = bottom + 56
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>pidscope against its goals</title>",
        f"<style>\n{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}" rx="8"/>',
        _text(24, 38, "pidscope against its goals", "title"),
        _text(24, 60, _summary(judged), "dim"),
        *_scale(bottom),
    ]
    for place, row in enumerate(judged):
        lines += _row(row, _TOP + _STEP * place)
    lines += [*_goal_line(bottom), _text(24, height - 18, machine, "dim"), "</svg>"]
    return "\n".join(lines) + "\n"


def _summary(rows: Sequence[Row]) -> str:
    reached = sum(row.reached is True for row in rows)
    unable = sum(bool(row.unable) for row in rows)
    without = f", {unable} cannot run here" if unable else ""
    return (
        f"{reached} of {len(rows)} goals reached{without}. Medians; longer to the right is better."
    )


def _x(score: float) -> float:
    """Where a score stands: the goal in the middle, a decade as wide on either side."""
    decades = max(-_DECADES, min(_DECADES, math.log10(score)))
    return (_LEFT + _RIGHT) / 2 + decades * (_RIGHT - _LEFT) / 2 / _DECADES


def _scale(bottom: int) -> Iterator[str]:
    for score, label in ((0.1, "10 times short"), (10, "10 times better")):
        yield _vertical(_x(score), bottom, "line")
        yield _text(_x(score), _TOP - 14, label, "dim", "middle")


def _goal_line(bottom: int) -> Iterator[str]:
    yield _vertical(_x(1), bottom, "goal")
    yield _text(_x(1), _TOP - 14, "goal", anchor="middle")


def _vertical(x: float, bottom: int, style: str) -> str:
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>'


def _row(row: Row, top: int) -> Iterator[str]:
    against = f"against {row.peer}" if row.peer else f"in {row.unit}"
    yield _text(24, top + 16, row.what)
    yield _text(24, top + 31, f"{against}  ·  {row.kernel or 'nowhere'}", "dim")
    if row.score is None or row.figure is None:
        reason = textwrap.shorten(f"cannot run: {row.unable}", _REASON, placeholder=" …")
        yield _text(_LEFT + 8, top + 20, reason, "dim")
        return
    style = "good" if row.reached else "bad"
    begin, end = sorted((_x(1), _x(row.score)))
    yield (
        f'<rect class="{style}" x="{begin:.1f}" y="{top + 10}" width="{max(end - begin, 2):.1f}" '
        f'height="{_BAR}" rx="2"/>'
    )
    yield _text(_RIGHT + 16, top + 16, words.figure(row, row.figure), style)
    yield _text(_RIGHT + 16, top + 31, f"goal {words.goal(row)}", "dim")


def _text(x: float, y: float, said: str, style: str = "", anchor: str = "") -> str:
    attributes = f' class="{style}"' if style else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y}"{attributes}>{escape(said)}</text>'
