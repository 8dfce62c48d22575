# SPDX-License-Identifier: GPL-2.0-or-later
"""Where outputs go: proposed anew for every raster, and never over a file without a question."""

import os
from typing import Any, Dict, List

from qgis.core import QgsProcessing
from qgis.PyQt.QtWidgets import QMessageBox

from ...algorithms.text import tr
from .fields import Fields, destination

OUTPUT, S1TILES = "OUTPUT", "S1TILES"
NAMES = {OUTPUT: "segments", "MEAN_IMAGE": "means", "POLYGONS": "polygons", S1TILES: "S1Tiles"}
EXTENSIONS = {OUTPUT: ".tif", "MEAN_IMAGE": ".tif", "POLYGONS": ".gpkg", S1TILES: ".gpkg"}
TEMPORARY = QgsProcessing.TEMPORARY_OUTPUT
REPLACE, KEEP, CANCEL = "replace", "keep", "cancel"


class Proposals:
    """Names for the outputs of one raster after the other.

    Parameters
    ----------
    fields : of the panel
    """

    def __init__(self, fields: Fields):
        self._fields = fields
        self._proposed = False

    def propose(self, source: str) -> None:
        """Set outputs to files that are not there yet, named for a raster and in the folders they were in before.

        What is temporary or left out stays so; only at first OUTPUT becomes a file beside the raster.

        Parameters
        ----------
        source : what GDAL opens; empty if no raster is chosen
        """
        if not source:
            return
        stem = os.path.splitext(os.path.basename(source))[0] or tr("raster")
        for name in NAMES:
            present = destination(self._fields.value(name))
            folder = os.path.dirname(present) if present and is_file(present) else ""
            if not folder and name == OUTPUT and not self._proposed:
                folder = _writable(os.path.dirname(source))
            if folder:
                extension = os.path.splitext(present)[1] if present and is_file(present) else EXTENSIONS[name]
                self._fields.set_value(name, free_path(os.path.join(folder, f"{stem}_{NAMES[name]}{extension}")))
        self._proposed = True


def with_tiles_file(values: Dict[str, Any]) -> Dict[str, Any]:
    """The values of a run, with the tile layer in a file beside OUTPUT unless that is temporary or it is elsewhere."""
    output = values.get(OUTPUT)
    if values.get(S1TILES) or not is_file(output):
        return values
    beside = f"{os.path.splitext(str(output))[0]}_{NAMES[S1TILES]}.gpkg"
    return {**values, S1TILES: beside if os.path.exists(str(output)) else free_path(beside)}


def existing(values: Dict[str, Any]) -> List[str]:
    """The ids of outputs whose files are there already."""
    return [name for name in NAMES if is_file(values.get(name)) and os.path.lexists(str(values[name]))]


def ask(values: Dict[str, Any], names: List[str], parent: Any) -> str:
    """Ask what shall become of files that are there: REPLACE, KEEP (and write to others) or CANCEL."""
    files = "\n".join(str(values[name]) for name in names)
    box = QMessageBox(parent)
    box.setObjectName("TiledSegmentationQuestion")
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(tr("Tiled segmentation"))
    box.setText(
        tr("There is such a file already. Replace it?") if len(names) == 1 else tr("These files exist. Replace them?")
    )
    box.setInformativeText(files)
    replace = box.addButton(tr("&Replace"), QMessageBox.ButtonRole.DestructiveRole)
    keep = box.addButton(tr("&Keep, write to new names"), QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(keep)
    box.setEscapeButton(cancel)
    box.exec()
    return {replace: REPLACE, keep: KEEP}.get(box.clickedButton(), CANCEL)


def renamed(values: Dict[str, Any], names: List[str]) -> Dict[str, str]:
    """{id: path that is free} for outputs whose files shall stay."""
    return {name: free_path(str(values[name])) for name in names}


def is_file(path: Any) -> bool:
    """Whether an output goes to a file that the user knows of."""
    return isinstance(path, str) and bool(path) and path != TEMPORARY and os.path.isabs(path)


def free_path(path: str) -> str:
    """A path at which there is nothing: this one, or with the lowest number that is free behind its name."""
    stem, extension = os.path.splitext(path)
    number, free = 2, path
    while os.path.lexists(free):
        free = f"{stem}_{number}{extension}"
        number += 1
    return free


def _writable(folder: str) -> str:
    return folder if folder and os.path.isdir(folder) and os.access(folder, os.W_OK) else ""
