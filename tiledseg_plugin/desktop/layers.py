# SPDX-License-Identifier: GPL-2.0-or-later
"""Layers that a run made: into the project, in their place and group, with their style."""

from typing import Any, Dict, Iterable, Optional, Tuple

from qgis.core import QgsLayerTreeGroup, QgsMapLayer, QgsProcessingUtils, QgsProject, QgsRasterLayer

from ...algorithms.text import tr
from .tasks import AlgorithmRun


def load(run: AlgorithmRun) -> Dict[str, QgsMapLayer]:
    """Put the layers that an AlgorithmRun made into the project, and into none of its groups yet.

    Returns
    -------
    {name of the output: layer}
    """
    project, found = QgsProject.instance(), {}
    for layer_id, details in run.context.layersToLoadOnCompletion().items():
        layer = QgsProcessingUtils.mapLayerFromString(layer_id, run.context, True, details.layerTypeHint)
        if layer is None:
            continue
        details.setOutputLayerName(layer)
        taken = run.context.temporaryLayerStore().takeMapLayer(layer)
        project.addMapLayer(taken if taken is not None else layer, False)
        found[details.outputName] = layer
    return found


def finish(run: AlgorithmRun, layers: Dict[str, QgsMapLayer]) -> None:
    """Let the algorithm style the layers that it made; afterwards they are in the layer tree."""
    for details in run.context.layersToLoadOnCompletion().values():
        layer = layers.get(details.outputName)
        if layer is not None and details.postProcessor() is not None:
            details.postProcessor().postProcessLayer(layer, run.context, run.feedback)


def insert_above(layer: QgsMapLayer, raster: Optional[QgsRasterLayer]) -> None:
    """Add a layer of the project to the layer tree, right above a raster."""
    parent, index = place_of(raster)
    parent.insertLayer(index, layer)


def place_of(layer: Optional[QgsMapLayer]) -> Tuple[QgsLayerTreeGroup, int]:
    """The group that holds a layer, and its index in there; the top where it is in none."""
    root = QgsProject.instance().layerTreeRoot()
    node = None if layer is None else root.findLayer(layer.id())
    if node is None:
        return root, 0
    return node.parent(), node.parent().children().index(node)


def group_above(raster: Optional[QgsRasterLayer], layers: Iterable[QgsMapLayer]) -> QgsLayerTreeGroup:
    """Put layers, uppermost first, into a new group right above their raster."""
    root = QgsProject.instance().layerTreeRoot()
    parent, index = place_of(raster)
    group = parent.insertGroup(index, tr("Segmentation of {}").format(raster.name() if raster else tr("a raster")))
    for layer in layers:
        node = root.findLayer(layer.id())
        if node is None:
            group.addLayer(layer)
        else:
            group.addChildNode(node.clone())
            node.parent().removeChildNode(node)
    return group


def is_there(layer: Any) -> bool:
    """Whether a layer still exists; Qt may have deleted it meanwhile."""
    try:
        return layer is not None and isinstance(layer, QgsMapLayer) and bool(layer.id())
    except RuntimeError:
        return False


def raster_of(value: Any) -> Optional[QgsRasterLayer]:
    """The raster layer of the project that a parameter's value names; None if there is none."""
    project = QgsProject.instance()
    layer = project.mapLayer(str(value)) if value else None
    if layer is None and value:
        layer = next((one for one in project.mapLayers().values() if one.source() == str(value)), None)
    return layer if isinstance(layer, QgsRasterLayer) else None
