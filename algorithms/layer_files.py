# SPDX-License-Identifier: GPL-2.0-or-later
"""Layers of a project and the files that they show; which of them the plugin has made."""

import os
from typing import Any, List, Optional

from qgis.core import QgsDataProvider, QgsMapLayer, QgsProject

RESULT = "tiledseg/result"  # a layer's property: the output that it is


def file_of(layer: QgsMapLayer) -> str:
    """The path of what a layer shows; of a layer in memory or in a database it is no file's."""
    return layer.source().split("|")[0]


def layers_of(project: Optional[QgsProject], path: str) -> List[QgsMapLayer]:
    """The layers of a project that show a file."""
    if project is None or not path:
        return []
    wanted = os.path.normpath(path.split("|")[0])
    return [layer for layer in project.mapLayers().values() if os.path.normpath(file_of(layer)) == wanted]


def reopen(layer: QgsMapLayer) -> None:
    """Read a layer's file anew, after another one took its place: pixels, statistics, features and counts."""
    if layer.dataProvider() is not None:
        layer.dataProvider().reloadData()
    options = QgsDataProvider.ProviderOptions()
    layer.setDataSource(layer.source(), layer.name(), layer.providerType(), options, False)
    layer.triggerRepaint()


def mark_as_result(layer: QgsMapLayer, output: str) -> None:
    layer.setCustomProperty(RESULT, output)


def result_of(layer: Any) -> str:
    """The id of the output that a layer is; empty for one that the plugin has not made."""
    return str(layer.customProperty(RESULT, "") or "")
