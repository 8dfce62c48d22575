# SPDX-License-Identifier: GPL-2.0-or-later
"""The toolbox's dialog of `tiledseg:segment` with **Check tiles** beside Run."""

from typing import Any

from qgis.core import Qgis, QgsProject
from qgis.PyQt.QtWidgets import QDialogButtonBox, QPushButton

from ...algorithms.text import tr
from ..compat import algorithm_dialog
from . import checks, layers
from .bands_text import BandsText
from .tasks import wait_until

Dialog: Any
Dialog, InvalidParameterValue, InvalidOutputExtension = algorithm_dialog()


class SegmentDialog(Dialog):
    """The standard dialog; only the button is added."""

    def __init__(self, algorithm: Any, parent: Any = None):
        super().__init__(algorithm, parent=parent)
        self.tile_layer: Any = None
        self._bands_text = BandsText(getattr(self.mainWidget(), "wrappers", {}), self)
        self._check: Any = None
        self.check_button = QPushButton(tr("Check &tiles"))
        self.check_button.setObjectName("check")
        self.check_button.setToolTip(tr("Which tiles are empty or sparse, and what a run needs"))
        self.check_button.clicked.connect(self.check_tiles)
        self.buttonBox().addButton(self.check_button, QDialogButtonBox.ButtonRole.ActionRole)

    def check_tiles(self) -> None:
        """The pre-flight with the dialog's values; its layer over the raster, its summary in the message bar."""
        self.messageBar().clearWidgets()
        try:
            # not the dialog's own method, which since QGIS 4.2 shows the errors itself and returns nothing
            values = self.mainWidget().createProcessingParameters()
        except InvalidParameterValue as error:
            name = error.parameter.description()
            self._show_message(tr("Wrong or missing value: {}.").format(name), Qgis.MessageLevel.Warning)
            return
        except InvalidOutputExtension as error:
            self._show_message(error.message, Qgis.MessageLevel.Warning)
            return
        self._check = checks.check_run(values)
        self._check.finished.connect(self._checked)
        if self._check.start():
            self.check_button.setEnabled(False)
            self._show_message(tr("Checking tiles…"), Qgis.MessageLevel.Info, 0)
        else:
            self._show_message(self._check.error, Qgis.MessageLevel.Critical)

    def _checked(self, succeeded: bool) -> None:
        self.check_button.setEnabled(True)
        self.messageBar().clearWidgets()
        if not succeeded:
            if not self._check.was_cancelled:
                self._show_message(self._check.error, Qgis.MessageLevel.Critical)
            return
        if layers.is_there(self.tile_layer):
            QgsProject.instance().removeMapLayer(self.tile_layer.id())
        self.tile_layer = checks.show_layer(self._check)
        self._show_message(checks.summary(self._check).replace("<br>", " "), Qgis.MessageLevel.Info, 0)

    def _show_message(self, text: str, level: Any, seconds: int = 8) -> None:
        self.messageBar().pushMessage("", text, level, seconds)

    def blockAdditionalControlsWhileRunning(self) -> None:
        super().blockAdditionalControlsWhileRunning()
        self.check_button.setEnabled(False)

    def resetAdditionalGui(self) -> None:
        super().resetAdditionalGui()
        self.check_button.setEnabled(True)

    def closeEvent(self, event: Any) -> None:
        if self._check is not None and self._check.is_running:
            self._check.cancel()
            wait_until(lambda: not self._check.is_running)
        super().closeEvent(event)
