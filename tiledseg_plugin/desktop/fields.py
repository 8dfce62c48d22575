# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of a form, made from an algorithm's own parameter definitions.

Labels, tooltips, defaults and ranges are those of the definitions, and the widgets those of the toolbox's dialogs.
"""

from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterNumber,
    QgsProject,
    QgsProperty,
    QgsSettings,
)
from qgis.gui import QgsGui, QgsProcessingContextGenerator, QgsProcessingGui, QgsProcessingParameterWidgetContext
from qgis.PyQt.QtCore import QObject, pyqtSignal
from qgis.PyQt.QtWidgets import QLabel, QLineEdit, QWidget

from ..compat import is_null
from .bands_text import BandsText

SETTINGS = "tiledseg/panel"
FORGOTTEN = ("raster", "source", "layer", "band", "extent")  # kinds that belong to the layers of one project


class _Context(QgsProcessingContextGenerator):
    def __init__(self, context: QgsProcessingContext):
        super().__init__()
        self._context = context

    def processingContext(self) -> QgsProcessingContext:
        return self._context


def _surroundings(iface: Any) -> QgsProcessingParameterWidgetContext:
    """What widgets may use; not the message bar, where that of bands would complain when no raster is chosen."""
    surroundings = QgsProcessingParameterWidgetContext()
    surroundings.setProject(QgsProject.instance())
    surroundings.setMapCanvas(iface.mapCanvas())
    surroundings.setActiveLayer(iface.activeLayer())
    return surroundings


def _deselect(widget: QWidget) -> None:
    """The field of an extent selects its 'Not set', as if it were being edited."""
    for edit in widget.findChildren(QLineEdit):
        if not edit.hasFocus():
            edit.deselect()


class Fields(QObject):
    """One field a parameter, in the algorithm's order.

    Parameters
    ----------
    algorithm : QgsProcessingAlgorithm
    iface : QgisInterface
    """

    changed = pyqtSignal(str)  # the id of a parameter whose value is another now

    def __init__(self, algorithm: Any, iface: Any, parent: Any = None):
        super().__init__(parent)
        self.definitions = {definition.name(): definition for definition in algorithm.parameterDefinitions()}
        self._context = QgsProcessingContext()
        self._context.setProject(QgsProject.instance())
        self._generator = _Context(self._context)
        self._wrappers: Dict[str, Any] = {}
        self._widgets: Dict[str, Any] = {}
        self._labels: Dict[str, Any] = {}
        surroundings = _surroundings(iface)
        for name, definition in self.definitions.items():
            _limit_decimals(definition)
            wrapper = QgsGui.processingGuiRegistry().createParameterWidgetWrapper(
                definition, QgsProcessingGui.WidgetType.Standard
            )
            wrapper.setWidgetContext(surroundings)
            wrapper.registerProcessingContextGenerator(self._generator)
            self._wrappers[name] = wrapper
            self._widgets[name] = wrapper.createWrappedWidget(self._context)
            self._widgets[name].setObjectName(name)
            self._widgets[name].setToolTip(definition.toolTip())  # not all kinds do it themselves
            self._labels[name] = wrapper.createWrappedLabel()
        for wrapper in self._wrappers.values():
            wrapper.postInitialize(list(self._wrappers.values()))
        for name, wrapper in self._wrappers.items():
            wrapper.widgetValueHasChanged.connect(lambda *_, name=name: self.changed.emit(name))
        self._bands_text = BandsText(self._wrappers, self)
        for widget in self._widgets.values():
            _deselect(widget)

    def widget(self, name: str) -> QWidget:
        return self._widgets[name]

    def label(self, name: str) -> Optional[QLabel]:
        """The label of a field; None where the widget bears its text itself."""
        label = self._labels[name]
        if isinstance(label, QLabel):
            label.setWordWrap(True)
            label.setToolTip(self._widgets[name].toolTip())
            label.setBuddy(self._widgets[name])
        return label

    def is_advanced(self, name: str) -> bool:
        return bool(self.definitions[name].flags() & QgsProcessingParameterDefinition.Flag.FlagAdvanced)

    def value(self, name: str) -> Any:
        return self._wrappers[name].parameterValue()

    def set_value(self, name: str, value: Any) -> None:
        self._wrappers[name].setParameterValue(value, self._context)
        _deselect(self._widgets[name])

    def values(self) -> Dict[str, Any]:
        """{id: value} of all fields that hold one; destinations as plain text."""
        found = {}
        for name, definition in self.definitions.items():
            value = self.value(name)
            if definition.isDestination():
                value = destination(value)
                if value is None:
                    continue
            found[name] = value
        return found

    def remember(self) -> None:
        """Keep the values for the next time, but for those that belong to a project's layers."""
        settings = QgsSettings()
        for name in self._remembered():
            value = self.value(name)
            settings.setValue(f"{SETTINGS}/{name}", "" if is_null(value) else value)

    def recall(self) -> None:
        """Set the values of the last time."""
        settings = QgsSettings()
        for name in self._remembered():
            if settings.contains(f"{SETTINGS}/{name}"):
                value = settings.value(f"{SETTINGS}/{name}")
                definition = self.definitions[name]
                if definition.type() == "boolean":
                    value = str(value).lower() in ("true", "1")
                elif value == "":
                    value = None
                if value is None or definition.checkValueIsAcceptable(value, self._context):
                    self.set_value(name, value)

    def reset(self) -> None:
        """Set the defaults of all fields that are remembered."""
        for name in self._remembered():
            self.set_value(name, self.definitions[name].defaultValue())

    def _remembered(self) -> List[str]:
        return [
            name
            for name, definition in self.definitions.items()
            if definition.type() not in FORGOTTEN and not definition.isDestination()
        ]


def _limit_decimals(definition: QgsProcessingParameterDefinition) -> None:
    """Show two or four decimals instead of QGIS's six."""
    if isinstance(definition, QgsProcessingParameterNumber):
        decimals = 2 if definition.maximum() <= 1 else 4
        definition.setMetadata({"widget_wrapper": {"decimals": decimals}})


def destination(value: Any) -> Optional[str]:
    """Where an output shall go, as text that scripts and the command line take; None for nowhere."""
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = value.sink
    if isinstance(value, QgsProperty):
        value = value.staticValue()
    return None if is_null(value) else str(value)
