# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as text: what to type to have it again, without the panel."""

import re
import shlex
import sys
from typing import Any, Dict, Tuple

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingUtils,
    QgsProperty,
    QgsRectangle,
    QgsReferencedRectangle,
)

from ..compat import is_null


def as_qgis_process(algorithm: Any, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
    """The command line.

    QGIS has a method for it since 3.24 (`asQgisProcessCommand`). This one is the same in every version, is quoted for
    the command line of Windows there, and also says what the user has emptied: DISTANCE_THRESHOLD, left out, would have
    its default again instead of no limit.
    """
    words = ["qgis_process", "run", algorithm.id(), "--"]
    for definition in algorithm.parameterDefinitions():
        value = plain(parameters.get(definition.name()), context)
        if is_null(value):
            if definition.defaultValue() is not None and not definition.isDestination():
                words.append(f"{definition.name()}=")
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words.append(f"{definition.name()}={_text(one)}")
    return " ".join(map(quoted, words))


def quoted(word: str) -> str:
    """A word as the system's command line takes it: what a shell would expand or take for an end is plain text.

    On Windows a percent sign stays what it is, as nothing keeps it from naming a variable.
    """
    if sys.platform != "win32":
        return shlex.quote(word)
    if re.fullmatch(r"[\w./\\:=+-]+", word):
        return word
    doubled = re.sub(r'(\\*)"', r'\1\1\\"', word)  # backslashes count where a quotation mark follows
    return '"' + re.sub(r"(\\+)$", r"\1\1", doubled) + '"'


def as_python(algorithm: Any, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
    """A call of `processing.run`."""
    chosen = {name: value for name, value in parameters.items() if not is_null(plain(value, context))}
    empty = [name for name in parameters if name not in chosen and _has_default(algorithm, name)]
    chosen.update(dict.fromkeys(empty))
    return algorithm.asPythonCommand(chosen, context)


def _has_default(algorithm: Any, name: str) -> bool:
    definition = algorithm.parameterDefinition(name)
    return definition is not None and definition.defaultValue() is not None


def plain(value: Any, context: QgsProcessingContext) -> Any:
    """A parameter's value as text, number or list; a layer as what it is opened from, an extent as QGIS writes it."""
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        value = value.source
    if isinstance(value, QgsProperty):
        value = value.staticValue()
    if isinstance(value, str) and value:
        layer = context.project().mapLayer(value)
        value = layer if layer is not None else value
    if isinstance(value, QgsMapLayer):
        return QgsProcessingUtils.normalizeLayerSource(value.source())
    if isinstance(value, QgsRectangle):
        edges = ",".join(_text(edge) for edge in _edges(value))
        crs = value.crs().authid() if isinstance(value, QgsReferencedRectangle) else ""
        return f"{edges} [{crs}]" if crs else edges
    return value.authid() if hasattr(value, "authid") else value


def _edges(extent: QgsRectangle) -> Tuple[float, float, float, float]:
    return extent.xMinimum(), extent.xMaximum(), extent.yMinimum(), extent.yMaximum()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)
