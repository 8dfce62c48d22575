# SPDX-License-Identifier: GPL-2.0-or-later
"""Check tiles: the pre-flight with the values of a form, its layer over the raster and its result in a line."""

from typing import Any, Dict, Optional

from qgis.core import QgsProcessingOutputLayerDefinition, QgsProject, QgsVectorLayer

from ...algorithms.text import tr
from ..engine.machine import used_memory
from ..engine.resources import MEGABYTE
from . import endings, layers
from .tasks import AlgorithmRun

PREFLIGHT = "tiledseg:preflight"
NAME = "S1Tiles"
TILING = (
    "INPUT",
    "BANDS",
    "EXTENT",
    "ZONES",
    "ZONES_OUTSIDE",
    "NODATA",
    "NODATA_RULE",
    "TILE_WIDTH",
    "TILE_HEIGHT",
    "TILES",
    "VALID_DATA_THRESHOLD",
)


def check_run(values: Dict[str, Any]) -> AlgorithmRun:
    """The run of the pre-flight, not yet started.

    Parameters
    ----------
    values : {id: value} of `tiledseg:segment`
    """
    chosen = {name: values[name] for name in (*TILING, "WORKERS") if name in values}
    chosen["OUTPUT"] = QgsProcessingOutputLayerDefinition(f"memory:{NAME}", QgsProject.instance())
    return AlgorithmRun(PREFLIGHT, chosen, [layers.raster_of(values.get("INPUT"))])


def show_layer(run: AlgorithmRun) -> Optional[QgsVectorLayer]:
    """The tile layer of a finished run, in the project right above its raster; None where there is none."""
    made = layers.load(run)
    layer = made.get("OUTPUT")
    if layer is None:
        return None
    layer.setName(NAME)
    layers.insert_above(layer, layers.raster_of(run.parameters.get("INPUT")))
    layers.finish(run, made)
    return layer


def summary(run: AlgorithmRun) -> str:
    """Some sentences on the tiles, on what the run will need, and on what else there is to know."""
    results = run.results
    count, empty, sparse = (int(results[name]) for name in ("TILE_COUNT", "EMPTY_TILES", "SPARSE_TILES"))
    tiles = tr("{} tiles").format(count) if count != 1 else tr("1 tile")
    text = tr(
        "{}: {} empty, {} sparse; {:.0f} % of the pixels are valid. By estimate a run needs {} of memory{} and {} of "
        "disk."
    ).format(
        tiles,
        empty,
        sparse,
        100 * results["VALID_FRACTION"],
        _size(results["ESTIMATED_MEMORY_MB"]),
        _beside_qgis(),
        _size(results["ESTIMATED_DISK_MB"]),
    )
    return "<br>".join([text, *endings.notices(run)])


def _beside_qgis() -> str:
    """What QGIS itself uses now, as that is not in the estimate."""
    used = used_memory()
    return "" if used is None else tr(", besides the {} that QGIS uses now,").format(_size(used / MEGABYTE))


def _size(megabytes: float) -> str:
    return tr("{:.1f} GB").format(megabytes / 1000) if megabytes >= 1000 else tr("{:.0f} MB").format(megabytes)
