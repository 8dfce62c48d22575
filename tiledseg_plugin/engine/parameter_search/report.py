# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a search: one HTML file that holds all it shows."""

import math
from html import escape
from typing import Dict, List, NamedTuple, Sequence, Tuple

from .candidates import Candidate
from .plots import Mark, Series, legend, line_plot
from .ranking import LOWER_IS_BETTER, Judged

MOST_ROWS = 200  # of a table
PLOTS = {  # title by measure
    "f_measure": "F measure (higher is better)",
    "goodness": "Sum of both scores (higher is better)",
    "variance": "Variance within segments",
    "autocorrelation": "Moran's I between neighbours",
    "local_variance": "Local variance",
    "rate_of_change": "Rate of change of local variance [%]",
}
OF_REFERENCE = {
    "rms": "Over- and under-segmentation, RMS (lower is better)",
    "over": "Over-segmentation",
    "under": "Under-segmentation",
    "iou": "Best overlap, IoU (higher is better)",
    "quality_rate": "Quality rate (lower is better)",
    "ed2": "ED2 (lower is better)",
}
TITLES = {**PLOTS, **OF_REFERENCE}
STYLE = """
body { font: 15px/1.5 sans-serif; color: #222; background: #fff; max-width: 1000px; margin: 24px auto; padding: 0 16px }
h1 { font-size: 24px } h2 { font-size: 19px; margin-top: 32px }
table { border-collapse: collapse; font-size: 13px } th, td { padding: 3px 9px; text-align: right }
th { border-bottom: 2px solid #888; background: #f2f2f2 } td { border-bottom: 1px solid #ddd }
.wide { overflow-x: auto } .best { background: #fff3c4; font-weight: bold }
.box { background: #f2f6fa; border: 1px solid #b8cade; padding: 8px 16px; display: inline-block }
figure { display: inline-block; margin: 0 10px 10px 0; vertical-align: top; max-width: 480px }
figure img { display: block } figcaption { font-size: 13px }
.plots svg { margin: 0 8px 8px 0; max-width: 100% }
"""
NOTES = """
<p>Values are counted in standard deviations of their band, so that all bands weigh alike. <b>Variance within
segments</b> is the mean variance of segments, weighted by area, as a share of the variance of all pixels: 0 if every
segment is even, 1 if one segment holds everything. <b>Moran's I</b> tells how alike neighbouring segments are; it is
high where the image is parted too much. Each is a score between fixed bounds, 1 at its best; the <b>sum</b> adds both,
and the <b>F measure</b> is their harmonic mean, which is low where one of them is. As the bounds are fixed, the other
candidates do not move the best one. <b>Local variance</b> is the mean standard deviation of segments; a peak of its
<b>rate of change</b> from one minimum size to the next names a scale at which segments match objects.</p>
"""
REFERENCE_NOTES = """
<p>With reference polygons: <b>over-segmentation</b> is the share of a polygon outside of a segment that corresponds to
it, <b>under-segmentation</b> the share of such a segment outside of the polygon, and <b>RMS</b> the root of the mean of
their squares, all 0 at best. <b>IoU</b> is the area that the polygon and its best segment share, as a share of both
together; the <b>quality rate</b> is 1 - IoU, over all segments that correspond. <b>ED2</b> adds what segments have
outside of polygons (PSE) to how much the numbers of polygons and of segments differ (NSR).</p>
"""
PAPERS = """
<p>Espindola et al. (2006), Int. J. Remote Sensing 27(14); Johnson and Xie (2011), ISPRS J. Photogramm. 66(4); Johnson
et al. (2015), ISPRS Int. J. Geo-Inf. 4(4); B&ouml;ck et al. (2017), Remote Sensing 9(8), 769; Dr&#259;gu&#355; et al.
(2014), ISPRS J. Photogramm. 88; Clinton et al. (2010), Photogramm. Eng. Remote Sens. 76(3); Weidner (2008), Int. Arch.
Photogramm. 37(B7); Liu et al. (2012), ISPRS J. Photogramm. 68.</p>
"""


class Picture(NamedTuple):
    """A candidate's segments on one window: a data URI."""

    row: Judged
    source: str


class Content(NamedTuple):
    """What a report shows.

    ordered : the candidates by rank
    criterion : by what they are ranked
    where : sentences on where they were measured
    """

    raster: str
    ordered: Sequence[Judged]
    criterion: str
    where: Sequence[str]
    pictures: Sequence[Picture]


def write_search_report(path: str, content: Content) -> None:
    """Write the report; the caller gives it its final name (see `publish`).

    Raises
    ------
    OSError : it cannot be written
    """
    best = content.ordered[0]
    with_reference = best.reference is not None
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Parameters for tiledseg:segment</title>',
        f"<style>{STYLE}</style></head><body>",
        "<h1>Parameters for segmenting</h1>",
        f"<p>{escape(content.raster)}</p>",
        _best(best, content.criterion),
        *(f"<p>{escape(sentence)}</p>" for sentence in content.where),
        "<h2>Measures against the minimum size</h2>",
        _plots(content, with_reference),
        NOTES + (REFERENCE_NOTES if with_reference else ""),
        _pictures(content.pictures),
        "<h2>All candidates</h2>",
        _table(content, with_reference),
        _polygons(best) if with_reference else "",
        "<h2>Papers</h2>",
        PAPERS,
        "</body></html>",
    ]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))


def described(candidate: Candidate, clusters_only: bool = False) -> str:
    """A candidate in words."""
    threshold = "no distance threshold"
    if candidate.distance_threshold is not None:
        threshold = f"distance threshold {candidate.distance_threshold:g}"
    stretch = "stretched" if candidate.stretch else "not stretched"
    clusters = f"{candidate.num_clusters} clusters, {threshold}, {stretch}"
    return clusters if clusters_only else f"minimum size {candidate.min_pixels}, {clusters}"


def _best(row: Judged, criterion: str) -> str:
    one = row.candidate
    threshold = "" if one.distance_threshold is None else f"{one.distance_threshold:g}"
    value = _number(row.value(criterion))
    return (
        f'<div class="box"><b>The best by {escape(_title(criterion))}, {value}:</b><br>'
        f"<code>NUM_CLUSTERS={one.num_clusters} MIN_PIXELS={one.min_pixels} DISTANCE_THRESHOLD={threshold} "
        f"STRETCH={'true' if one.stretch else 'false'}</code><br>{row.measures.segments} segments where it was "
        f"measured, of {row.measures.mean_size:.0f} pixels on average.</div>"
    )


def _title(measure: str) -> str:
    return TITLES[measure].split(" (")[0]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _series(content: Content) -> Dict[Tuple, List[Judged]]:
    """The candidates of each line: by all but the minimum size, in the order of their numbers."""
    lines: Dict[Tuple, List[Judged]] = {}
    for row in sorted(content.ordered, key=lambda row: row.number):
        lines.setdefault(row.candidate[:3], []).append(row)
    return lines


def _plots(content: Content, with_reference: bool) -> str:
    lines = _series(content)
    labels = [described(rows[0].candidate, clusters_only=True) for rows in lines.values()]
    best = content.ordered[0]
    at = list(lines).index(best.candidate[:3])
    mark = Mark(at, [row.number for row in lines[best.candidate[:3]]].index(best.number), "best")
    names = {**(OF_REFERENCE if with_reference else {}), **PLOTS}
    drawn = []
    for name in sorted(names, key=lambda name: name != content.criterion):  # the one that decides comes first
        series = [
            Series(label, [row.candidate.min_pixels for row in rows], [row.value(name) for row in rows])
            for label, rows in zip(labels, lines.values())
        ]
        if any(math.isfinite(y) for one in series for y in one.ys):
            drawn.append(line_plot(names[name], "Minimum size [pixels]", series, [mark]))
    return f'<div class="plots">{legend(labels)}<br>' + "\n".join(drawn) + "</div>"


def _pictures(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    figures = [
        f'<figure><img src="{picture.source}" alt="Outlines of segments over the image"><figcaption>Rank '
        f"{picture.row.rank}: {escape(described(picture.row.candidate))}</figcaption></figure>"
        for picture in pictures
    ]
    return "<h2>The best on one window</h2>" + "".join(figures)


def _table(content: Content, with_reference: bool) -> str:
    names = ["mean_size", *PLOTS, *(OF_REFERENCE if with_reference else ())]
    heads = ["Rank", "Clusters", "Threshold", "Stretch", "Minimum", "Segments", "Mean size"]
    heads += [_title(name) for name in names[1:]]
    rows = []
    for row in content.ordered[:MOST_ROWS]:
        one = row.candidate
        limit = "none" if one.distance_threshold is None else f"{one.distance_threshold:g}"
        stretch = "yes" if one.stretch else "no"
        known = [row.rank, one.num_clusters, limit, stretch, one.min_pixels, row.measures.segments]
        rows.append([str(value) for value in known] + [_number(row.value(name)) for name in names])
    note = f" ({MOST_ROWS} of {len(content.ordered)})" if len(content.ordered) > MOST_ROWS else ""
    by = "lowest" if content.criterion in LOWER_IS_BETTER else "highest"
    caption = f"<p>Ranked by {escape(_title(content.criterion))}, the {by} first{note}.</p>"
    return caption + _html_table(heads, rows, highlighted=0)


def _polygons(best: Judged) -> str:
    polygons = best.polygons
    if polygons is None:
        return ""
    columns = [polygons.numbers, polygons.areas, polygons.segments]
    measures = [polygons.over, polygons.under, polygons.rms, polygons.quality_rate, polygons.iou]
    heads = [
        "Polygon",
        "Pixels",
        "Segments",
        *(_title(name) for name in ("over", "under", "rms", "quality_rate", "iou")),
    ]
    rows = [
        [*(str(int(column[index])) for column in columns), *(_number(float(column[index])) for column in measures)]
        for index in range(min(polygons.numbers.size, MOST_ROWS))
    ]
    note = f" ({MOST_ROWS} of {polygons.numbers.size})" if polygons.numbers.size > MOST_ROWS else ""
    return f"<h2>Reference polygons{note}, with the best candidate</h2>" + _html_table(heads, rows)


def _html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], highlighted: int = -1) -> str:
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    marked = [f"<tr{' class=best' if index == highlighted else ''}>{line}</tr>" for index, line in enumerate(lines)]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(marked)}</table></div>'
