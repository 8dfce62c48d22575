# SPDX-License-Identifier: GPL-2.0-or-later
"""The style of segments in QGIS, also as a .qml file beside OUTPUT: QGIS opens the raster with it, whenever that is.

Without it QGIS 3.30 and later make a class of every row of the attribute table: 30,000 entries in the legend, and
megabytes in each project. A ramp of some thousand colours does as well. The file is plain XML and needs no QGIS. It
goes by the raster's name without the extension, so it is not written where that is another file's name, too.
"""

import colorsys
import os
from functools import lru_cache
from pathlib import Path
from typing import Sequence

from ..errors import SegmentationError
from ..progress import Feedback
from .foreign import open_file

MOST_COLOURS = 8192  # of a ramp that QGIS draws and saves without effort
TURN = 0.6180339887498949  # of the colour circle, from one colour to the next: the golden ratio
MARKER = "Made by Tiled Segmentation and replaced by its next run; a style that you save in its place stays."
# of one raster, besides its whole name with something appended
COMPANIONS = {".qml", ".qmd", ".ige", ".rrd", ".aux", ".tfw", ".wld", ".prj"}


def style_path(output: str) -> str:
    """Where QGIS looks for the style of a raster."""
    return str(Path(output).with_name(Path(output).stem + ".qml"))


@lru_cache(maxsize=1)  # for the file and for the layer that a run loads
def style(most: int) -> str:
    """Colours that change from id to id, or, for more than MOST_COLOURS, between any that are not close to each other.

    Ids are given in raster order, so neighbours' ids are seldom close: those of one row of pixels lie between them.

    Parameters
    ----------
    most : the largest id
    """
    most = max(most, 1)
    count = min(most, MOST_COLOURS)
    values = [1 + (most - 1) * index / max(count - 1, 1) for index in range(count)]
    items = "\n".join(
        f'<item value="{value:.10g}" color="{_colour(index)}" alpha="255" label=""/>'
        for index, value in enumerate(values)
    )
    ends = f'="1" classificationMax="{most}"'
    return f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<!-- {MARKER} -->
<qgis version="3.22" styleCategories="Symbology">
<pipe>
<rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" classificationMin{ends}>
<rasterTransparency/>
<rastershader>
<colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" minimumValue="1" maximumValue="{most}">
<rampLegendSettings minimumLabel="first segment" maximumLabel="last" orientation="2" direction="0" prefix="" suffix=""/>
{items}
</colorrampshader>
</rastershader>
</rasterrenderer>
</pipe>
<blendMode>0</blendMode>
</qgis>
"""


def _colour(index: int) -> str:
    rgb = colorsys.hsv_to_rgb(
        (index * TURN) % 1.0, 0.45 + 0.5 * ((index * 0.37) % 1.0), 0.55 + 0.45 * ((index * 0.71) % 1.0)
    )
    return "#" + "".join(f"{round(part * 255):02x}" for part in rgb)


def is_ours(path: str) -> bool:
    """Whether a style file was made by `write_style`; one that cannot be read is not."""
    try:
        with open_file(path) as file:
            return MARKER.encode() in file.read(1000)
    except OSError:
        return False


def write_style(staged: str, output: str, most: int, others: Sequence[str], feedback: Feedback) -> None:
    """Write the style file of a raster, unless there is one of the user's or it would be another file's as well.

    Parameters
    ----------
    staged : where the raster lies until it gets its name; the file is made beside it
    output : the name
    most : the largest id
    others : outputs that will be there as well
    """
    beside = style_path(output)
    if os.path.lexists(beside) and not is_ours(beside):
        feedback.info(f"The style {Path(beside).name} beside OUTPUT is not ours and stays.")
        return
    other = _other_of_the_name(output, others)
    if other:
        feedback.info(f"{Path(beside).name} would be the style of {other}, too, so none is written beside OUTPUT.")
        return
    try:
        Path(style_path(staged)).write_text(style(most), encoding="utf-8")
    except OSError as error:
        raise SegmentationError(
            f"The style {Path(beside).name} cannot be written ({error.strerror}): make room on the disk of OUTPUT."
        ) from error


def _other_of_the_name(output: str, others: Sequence[str]) -> str:
    """The name of another file whose style would lie at the same path; empty if there is none."""
    target = Path(output).absolute()
    later = [path for path in map(Path, others) if path.absolute().parent == target.parent]
    for path in sorted([*target.parent.iterdir(), *later]):
        if path.stem == target.stem and path.name != target.name and path.suffix.lower() not in COMPANIONS:
            return path.name
    return ""
