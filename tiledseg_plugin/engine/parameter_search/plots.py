# SPDX-License-Identifier: GPL-2.0-or-later
"""Line plots as SVG, which every browser shows; nothing has to be installed for them."""

import math
from html import escape
from typing import List, NamedTuple, Optional, Sequence, Tuple

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 30, 42
# tones that colour-blind people tell apart, too (Okabe and Ito)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a00")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
TICKS = 5


class Series(NamedTuple):
    """A line. Where a value of `ys` is NaN, it has a gap."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]


class Mark(NamedTuple):
    """A point to point out: an index of a series, and one of its points."""

    series: int
    point: int
    label: str


def style_of(index: int) -> Tuple[str, str]:
    """Colour and dashes of a series."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


class _Axis:
    """From values to places on a plot.

    Parameters
    ----------
    ends : the places of the least and of the greatest value
    """

    def __init__(self, values: Sequence[float], ends: Tuple[float, float], logarithmic: bool) -> None:
        known = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(known), max(known)
        self.is_log = logarithmic and low > 0 and high >= 8 * low
        if not self.is_log:
            margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
            low, high = low - margin, high + margin
        self.low, self.high, self.ends = low, high, ends

    def place(self, value: float) -> float:
        low, high, value = (math.log(one) if self.is_log else one for one in (self.low, self.high, value))
        return self.ends[0] + (value - low) / (high - low) * (self.ends[1] - self.ends[0])

    def ticks(self) -> List[float]:
        """Round values within the axis."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor((self.high - first * step) / step + 1e-9) + 1
        return [(first + index) * step for index in range(count)]


def line_plot(title: str, x_label: str, series: Sequence[Series], marks: Sequence[Mark] = ()) -> str:
    """A plot of lines with their points over a common axis, which is logarithmic where values differ much.

    Parameters
    ----------
    marks : points that get a ring and a label
    """
    xs = sorted({x for one in series for x in one.xs})
    across = _Axis(xs, (LEFT, WIDTH - RIGHT), True)
    up = _Axis([y for one in series for y in one.ys], (HEIGHT - BOTTOM, TOP), False)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 18, title, 'font-size="13" font-weight="bold"'),
        *_grid(across, up, xs),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, 'text-anchor="middle"'),
    ]
    for index, one in enumerate(series):
        parts += _line(one, across, up, *style_of(index))
    for mark in marks:
        parts += _ring(series[mark.series], mark, across, up)
    return "\n".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#222222" {attributes}>{escape(text)}</text>'


def _grid(across: _Axis, up: _Axis, xs: Sequence[float]) -> List[str]:
    parts = []
    for value in up.ticks():
        y = up.place(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:.4g}", 'text-anchor="end"'))
    last = -math.inf
    for value in xs:
        x = across.place(value)
        parts.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v4" stroke="#444444"/>')
        if x - last >= 34:  # labels must not overlap
            parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{value:.6g}", 'text-anchor="middle"'))
            last = x
    frame = f"M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"
    return [*parts, f'<path d="{frame}" fill="none" stroke="#444444"/>']


def _line(one: Series, across: _Axis, up: _Axis, colour: str, dashes: str) -> List[str]:
    path, points, is_open = "", [], False
    for x, y in zip(one.xs, one.ys):
        if not math.isfinite(y):
            is_open = False
            continue
        place = f"{across.place(x):.1f} {up.place(y):.1f}"
        path += f"{'L' if is_open else 'M'}{place}"
        is_open = True
        points.append(place.split())
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashed}/>' if path else ""
    title = f"<title>{escape(one.label)}</title>"
    return [line, *(f'<circle cx="{x}" cy="{y}" r="2.6" fill="{colour}">{title}</circle>' for x, y in points)]


def _ring(one: Series, mark: Mark, across: _Axis, up: _Axis) -> List[str]:
    value = one.ys[mark.point]
    if not math.isfinite(value):
        return []
    x, y = across.place(one.xs[mark.point]), up.place(value)
    on_the_right = x > WIDTH - RIGHT - 90
    anchor, at = ("end", x - 9) if on_the_right else ("start", x + 9)
    above = y - 8 if y - 8 > TOP + 10 else y + 16
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none" stroke="#c00000" stroke-width="2"/>'
    halo = 'stroke="#ffffff" stroke-width="3" paint-order="stroke"'
    return [ring, _text(at, above, mark.label, f'text-anchor="{anchor}" font-weight="bold" {halo}')]


def legend(labels: Sequence[str], title: Optional[str] = None) -> str:
    """What the lines of plots mean, as SVG."""
    rows = [title, *labels] if title else list(labels)
    height = 18 * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
    ]
    for row, label in enumerate(rows):
        y, index = 18 * row + 18, row - (1 if title else 0)
        if index < 0:
            parts.append(_text(4, y, label or "", 'font-weight="bold"'))
            continue
        colour, dashes = style_of(index)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(f'<path d="M4 {y - 4}H40" stroke="{colour}" stroke-width="2"{dashed}/>')
        parts.append(_text(48, y, label or ""))
    return "\n".join([*parts, "</svg>"])
