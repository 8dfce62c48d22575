# SPDX-License-Identifier: GPL-2.0-or-later
"""Layers that a run made: into the project, in their place and group, with their style."""

from typing import Any, Dict, Iterator, List, Optional, Tuple

from qgis.core import QgsLayerTreeGroup, QgsLayerTreeLayer, QgsMapLayer, QgsProcessingUtils, QgsProject, QgsRasterLayer

from ...algorithms.layer_files import layers_of, mark_as_result, result_of
from ...algorithms.looks import fold
from ...algorithms.text import tr
from .tasks import AlgorithmRun

GROUP = "tiledseg/output"  # property of a group: the path of the OUTPUT of its run
ORDER = ("S1TILES", "POLYGONS", "MEAN_IMAGE", "OUTPUT")  # in a group, uppermost first


def load(run: AlgorithmRun) -> Dict[str, QgsMapLayer]:
    """All that `loading` loads, at once."""
    found: Dict[str, QgsMapLayer] = {}
    for _ in loading(run, found):
        pass
    return found


def loading(run: AlgorithmRun, found: Dict[str, QgsMapLayer]) -> Iterator[None]:
    """Put the layers that an AlgorithmRun made into the project, and into none of its groups yet; a step a layer.

    Parameters
    ----------
    found : {name of the output: layer}, to be filled; one that showed the same file before is the layer
    """
    project = QgsProject.instance()
    opened, run.rasters = run.rasters, {}
    for layer_id, details in run.context.layersToLoadOnCompletion().items():
        present = layers_of(project, layer_id)
        if present:
            found[details.outputName] = present[0]
            continue
        layer = opened.get(layer_id)
        if layer is None:
            layer = QgsProcessingUtils.mapLayerFromString(layer_id, run.context, True, details.layerTypeHint)
        if layer is None:
            continue
        details.setOutputLayerName(layer)
        taken = run.context.temporaryLayerStore().takeMapLayer(layer)
        project.addMapLayer(taken if taken is not None else layer, False)
        found[details.outputName] = layer
        yield


def finish(run: AlgorithmRun, layers: Dict[str, QgsMapLayer]) -> None:
    """All that `finishing` does, at once."""
    for _ in finishing(run, layers):
        pass


def finishing(run: AlgorithmRun, layers: Dict[str, QgsMapLayer]) -> Iterator[None]:
    """Let the algorithm style the layers that it made and that are in the layer tree; a step a layer."""
    for details in run.context.layersToLoadOnCompletion().values():
        layer = layers.get(details.outputName)
        if is_there(layer) and details.postProcessor() is not None:
            details.postProcessor().postProcessLayer(layer, run.context, run.feedback)
            yield


def insert_above(layer: QgsMapLayer, raster: Optional[QgsRasterLayer]) -> None:
    """Add a layer of the project to the layer tree, above a raster and outside of the groups of results."""
    parent, index = place_above(raster)
    parent.insertLayer(index, layer)


def place_above(layer: Optional[QgsMapLayer]) -> Tuple[QgsLayerTreeGroup, int]:
    """A group and an index in it, above a layer and the groups of results right above it; the top for None."""
    root = QgsProject.instance().layerTreeRoot()
    node: Any = None if layer is None else root.findLayer(layer.id())
    if node is None:
        return root, 0
    while is_of_results(node.parent()):
        node = node.parent()
    beside = node.parent().children()
    index = beside.index(node)
    while index > 0 and is_of_results(beside[index - 1]):
        index -= 1
    return node.parent(), index


def is_of_results(node: Any) -> bool:
    return isinstance(node, QgsLayerTreeGroup) and bool(node.customProperty(GROUP, ""))


def groups_of_results(parent: Optional[QgsLayerTreeGroup] = None) -> List[QgsLayerTreeGroup]:
    parent = QgsProject.instance().layerTreeRoot() if parent is None else parent
    found = []
    for child in parent.children():
        if isinstance(child, QgsLayerTreeGroup):
            found += ([child] if is_of_results(child) else []) + groups_of_results(child)
    return found


def gather(output: str, made: Dict[str, QgsMapLayer], raster: Optional[QgsRasterLayer]) -> QgsLayerTreeGroup:
    """Put the layers of a run into its group.

    A run to the same OUTPUT has the group of the one before. Layers that are in the layer tree stay where they are,
    but for the tiles, which come from above the raster.

    Parameters
    ----------
    output : path of OUTPUT
    made : {name of the output: layer}
    """
    root = QgsProject.instance().layerTreeRoot()
    group = next((one for one in groups_of_results() if one.customProperty(GROUP) == output), None)
    if group is None:
        parent, index = place_above(raster)
        group = parent.insertGroup(index, _free_name(raster))
        group.setCustomProperty(GROUP, output)
    for name in sorted(made, key=ORDER.index):
        mark_as_result(made[name], name)
        node = root.findLayer(made[name].id())
        if node is not None and (name != "S1TILES" or is_of_results(node.parent())):
            continue
        before = [child for child in group.children() if _rank(child) < ORDER.index(name)]
        if node is None:
            node = QgsLayerTreeLayer(made[name])
            if name == "OUTPUT":
                fold(node)  # before it is in the tree, which would make its legend otherwise
            group.insertChildNode(len(before), node)
        else:
            group.insertChildNode(len(before), node.clone())
            node.parent().removeChildNode(node)
    return group


def _rank(node: Any) -> int:
    name = result_of(node.layer()) if hasattr(node, "layer") and node.layer() is not None else ""
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _free_name(raster: Optional[QgsRasterLayer]) -> str:
    name = tr("Segmentation of {}").format(raster.name() if raster else tr("a raster"))
    taken = {group.name() for group in groups_of_results()}
    numbers = iter(range(2, len(taken) + 3))
    free = name
    while free in taken:
        free = f"{name} ({next(numbers)})"
    return free


def switch_off(layer: Any) -> None:
    """Hide a layer, though it stays in the layer tree."""
    node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
    if node is not None:
        node.setItemVisibilityChecked(False)


def still_there(layers: Dict[str, QgsMapLayer]) -> Dict[str, QgsMapLayer]:
    """Those of some layers that still exist."""
    return {name: layer for name, layer in layers.items() if is_there(layer)}


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
