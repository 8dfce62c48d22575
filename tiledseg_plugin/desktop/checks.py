# SPDX-License-Identifier: GPL-2.0-or-later
"""Check tiles: the pre-flight with the values of a form, its layer over the raster and its result in a line."""

from typing import Any, Dict, Optional

from qgis.core import QgsProcessingOutputLayerDefinition, QgsProject, QgsVectorLayer

from ...algorithms.text import tr
from . import layers
from .tasks import AlgorithmRun

PREFLIGHT = "tiledseg:preflight"
NAME = "S1Tiles"
TILING = ("INPUT", "BANDS", "NODATA_RULE", "TILE_WIDTH", "TILE_HEIGHT", "TILES", "VALID_DATA_THRESHOLD")


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


def summary(results: Dict[str, Any]) -> str:
    """One or two sentences on the tiles and on what the run will need."""
    count, empty, sparse = (int(results[name]) for name in ("TILE_COUNT", "EMPTY_TILES", "SPARSE_TILES"))
    tiles = tr("{} tiles").format(count) if count != 1 else tr("1 tile")
    return tr(
        "{}: {} empty, {} sparse; {:.0f} % of the pixels are valid. A run needs about {} of memory and {} of disk."
    ).format(
        tiles,
        empty,
        sparse,
        100 * results["VALID_FRACTION"],
        _size(results["ESTIMATED_MEMORY_MB"]),
        _size(results["ESTIMATED_DISK_MB"]),
    )


def _size(megabytes: float) -> str:
    return tr("{:.1f} GB").format(megabytes / 1000) if megabytes >= 1000 else tr("{:.0f} MB").format(megabytes)
