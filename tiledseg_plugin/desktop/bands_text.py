# SPDX-License-Identifier: GPL-2.0-or-later
"""Fields of bands say that all are used where none is chosen, instead of "0 bands selected"."""

from typing import Any, Dict

from qgis.PyQt.QtCore import QObject, QTimer
from qgis.PyQt.QtWidgets import QLineEdit

from ...algorithms.text import tr


class BandsText(QObject):
    """Watches the fields of a form.

    Parameters
    ----------
    wrappers : {id: widget wrapper}
    """

    def __init__(self, wrappers: Dict[str, Any], parent: Any):
        super().__init__(parent)
        self._bands = [one for one in wrappers.values() if one.parameterDefinition().type() == "band"]
        self._later = QTimer(self)  # QGIS writes into fields of bands while it changes them, and after
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self.say)
        for wrapper in wrappers.values():
            if wrapper.parameterDefinition().type() in ("raster", "band"):
                wrapper.widgetValueHasChanged.connect(lambda *_: self._later.start())
        self.say()

    def say(self) -> None:
        for wrapper in self._bands:
            line = wrapper.wrappedWidget().findChild(QLineEdit)
            if line is not None and not wrapper.parameterValue() and line.text() != tr("All bands"):
                line.setText(tr("All bands"))
