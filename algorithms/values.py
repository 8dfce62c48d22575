# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading parameters strictly: a value that is not understood is refused in one sentence.

QGIS itself is generous: `parameterAsDouble` takes the default for '50,5', `parameterAsInt` rounds 5.7,
`parameterAsBool` takes 'no' as true, and none of them says so. Here a definition and the raw value (text, number,
property, layer, ...) become a plain value or a SegmentationError. Models do not check the values of the algorithms in
them, so algorithms read with this, too.
"""

import math
import re
from numbers import Integral, Real
from typing import Any, Callable, Dict, Iterable, List, Optional, Pattern, Tuple, Union

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsExpression,
    QgsGeometry,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsProperty,
    QgsRectangle,
    QgsReferencedRectangle,
)

from ..tiledseg_plugin.compat import is_null
from ..tiledseg_plugin.engine.errors import SegmentationError
from .text import NO_LIMIT, tr

PERCENTILES = re.compile(r"p?0*[1-9][0-9]?")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
Reader = Callable[[QgsProcessingParameterDefinition, Any, QgsProcessingContext], Any]
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")
EXTENTS = (str, QgsRectangle, QgsReferencedRectangle, QgsGeometry, QgsMapLayer, QgsProcessingFeatureSourceDefinition)
LONGEST = 60  # characters of a value that a message shows


class WordParameter(QgsProcessingParameterString):
    """A text that may be a number, and is given as one by scripts: `NODATA=0`."""


class ChoiceParameter(QgsProcessingParameterEnum):
    """Several of some words, in a list, and, where they are typed, others like them.

    Parameters
    ----------
    further : what else is accepted
    """

    def __init__(self, name: str, label: str, options: List[str], default: List[str], further: Pattern[str]):
        super().__init__(name, label, options, True, default, False, True)
        self.further = further


def percentiles_in(text: Optional[str], name: str) -> Tuple[str, ...]:
    """The statistics p01 to p99 that a text such as `10;25` or `p10;p25` asks for.

    Raises
    ------
    SegmentationError : it is not understood
    """
    parts = [part.strip() for part in (text or "").replace(",", ";").split(";")]
    for part in parts:
        if part and not PERCENTILES.fullmatch(part):
            raise SegmentationError(
                tr("{} has '{}', which is no percentile: give whole numbers from 1 to 99, as in 10;25;75.").format(
                    name, shown(part)
                )
            )
    return tuple(f"p{int(part.lstrip('p')):02d}" for part in parts if part)


def read(
    definition: QgsProcessingParameterDefinition, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Any:
    """The plain value of a parameter.

    Parameters
    ----------
    definition : QgsProcessingParameterDefinition
    parameters : {id: raw value}; the default stands in for one that is missing

    Returns
    -------
    int, float, bool, str, tuple or, of layers, coordinate systems and destinations, the value as it is; None where
    nothing was given for what may be empty

    Raises
    ------
    SegmentationError : it is not understood, or out of range
    """
    name = definition.name()
    value = evaluated(name, parameters[name], context) if name in parameters else definition.defaultValue()
    if is_null(value):
        value = None if is_optional(definition) else definition.defaultValue()
    if is_null(value):
        return None
    reader = READERS.get(definition.type())
    return value if reader is None else reader(definition, value, context)


def check_values(
    definitions: Iterable[QgsProcessingParameterDefinition], parameters: Dict[str, Any], context: QgsProcessingContext
) -> None:
    """Raise SegmentationError for the first value that is not understood."""
    for definition in definitions:
        read(definition, parameters, context)


def is_read_here(definition: QgsProcessingParameterDefinition) -> bool:
    """Whether what `read` accepts is right, whatever QGIS thinks of it."""
    return definition.type() in READ_HERE


def is_optional(definition: QgsProcessingParameterDefinition) -> bool:
    return bool(definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional)


def evaluated(name: str, value: Any, context: QgsProcessingContext) -> Any:
    """A raw value; of a property (an expression, a field, a fixed value), what it stands for."""
    if not isinstance(value, QgsProperty):
        return value
    if not value.isActive():
        return None
    found, succeeded = value.value(context.expressionContext())
    if not succeeded and value.asExpression():
        expression = QgsExpression(value.asExpression())
        found = expression.evaluate(context.expressionContext())  # a NULL is no error
        if expression.hasParserError() or expression.hasEvalError():
            raise SegmentationError(
                tr("{} is the expression '{}', which cannot be evaluated: correct it, or give a value.").format(
                    name, shown(value.asExpression())
                )
            )
    return found


def shown(value: Any) -> str:
    """A value in a message: one line, not too long."""
    text = " ".join((value.name() if isinstance(value, QgsMapLayer) else str(value)).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _refusal(definition: QgsProcessingParameterDefinition, value: Any, what: str, advice: str) -> SegmentationError:
    return SegmentationError(
        tr("{} is '{}', which is not {}: {}.").format(definition.name(), shown(value), what, advice)
    )


def parse_number(value: Any) -> Union[int, float, None]:
    """A number, or a text that is one in the notation of programs, as int or float; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        found = float(value)
    elif isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        text = value.strip()
        if text.lstrip("+-").isdigit():
            return int(text) if len(text) <= LONGEST else None
        found = float(text)
    else:
        return None
    return found if math.isfinite(found) else None


def _number(
    definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext
) -> Union[int, float]:
    whole = definition.dataType() == QgsProcessingParameterNumber.Type.Integer
    found = parse_number(value)
    if found is not None and whole:
        found = int(found) if found == int(found) else None
    if found is not None and definition.minimum() <= found <= definition.maximum():
        return found if whole else float(found)
    default = definition.defaultValue()
    advice = tr("give one") if is_null(default) else tr("give one, such as {:g}").format(default)
    if isinstance(value, str) and NUMBER.fullmatch(value.strip().replace(",", ".")) and "," in value:
        advice = tr("write decimals with a point, as in {}").format(value.strip().replace(",", "."))
    if is_optional(definition):
        advice += tr(", or leave it empty")
    beyond = found is not None and found > definition.maximum()
    raise _refusal(definition, value, _allowed(definition, whole, beyond), advice)


def _allowed(definition: QgsProcessingParameterDefinition, whole: bool, beyond: bool) -> str:
    noun = tr("a whole number") if whole else tr("a number")
    least, most = definition.minimum(), definition.maximum()
    if most < NO_LIMIT or beyond:
        return tr("{} from {:.10g} to {:.10g}").format(noun, least, most)
    if is_optional(definition):
        return tr("{} above {:.10g}").format(noun, least)
    return tr("{} of at least {:.10g}").format(noun, least)


def _boolean(definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext) -> bool:
    if isinstance(value, bool):
        return value
    number = parse_number(value)
    if not isinstance(value, str) and number in (0, 1):
        return bool(number)
    if isinstance(value, str) and value.strip().lower() in TRUE + FALSE:
        return value.strip().lower() in TRUE
    raise _refusal(definition, value, tr("true or false"), tr("give one of the two"))


def _enum(
    definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext
) -> Union[str, Tuple[str, ...]]:
    options = definition.options()
    if not definition.allowMultiple():
        return _option(definition, value, options)
    if isinstance(value, str):
        parts = [part.strip() for part in value.replace(",", ";").split(";")]
    else:
        parts = list(value) if isinstance(value, (list, tuple)) else [value]
    by_number = dict(enumerate(options))
    return tuple(
        by_number[int(part)]
        if isinstance(part, Integral) and not isinstance(part, bool) and int(part) in by_number
        else _option(definition, part, options)
        for part in parts
    )


def _option(definition: QgsProcessingParameterDefinition, value: Any, options: List[str]) -> str:
    if isinstance(value, str) and (value in options or _is_further(definition, value)):
        return value
    raise _refusal(
        definition, value, tr("one of its values"), tr("give one of {}, in these letters").format(", ".join(options))
    )


def _is_further(definition: QgsProcessingParameterDefinition, value: str) -> bool:
    return isinstance(definition, ChoiceParameter) and definition.further.fullmatch(value) is not None


def _text(definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    if isinstance(definition, WordParameter) and isinstance(value, Real) and not isinstance(value, bool):
        return str(int(value) if isinstance(value, Integral) else float(value))
    advice = tr("give it as text") + (tr(", or leave it empty") if is_optional(definition) else "")
    raise _refusal(definition, value, tr("text"), advice)


def _bands(definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext) -> Tuple[int, ...]:
    parts = value.split(";") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    return tuple(_band(definition, part) for part in parts)


def _band(definition: QgsProcessingParameterDefinition, part: Any) -> int:
    number = parse_number(part)
    if number is None or number != int(number):
        raise SegmentationError(
            tr("{}: '{}' is not a band number: separate numbers by semicolons, as in {}=1;3.").format(
                definition.name(), shown(part), definition.name()
            )
        )
    return int(number)


def _crs(definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext) -> Any:
    if isinstance(value, (str, QgsCoordinateReferenceSystem, QgsMapLayer)):
        return value
    raise _refusal(
        definition, value, tr("a coordinate reference system"), tr("give it as EPSG:code or WKT, or leave it empty")
    )


def _extent(definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext) -> Any:
    if isinstance(value, EXTENTS) and not (isinstance(value, str) and "\0" in value):
        return value
    raise _refusal(
        definition, value, tr("an extent"), tr("give xmin,xmax,ymin,ymax [EPSG:code], or a layer, or leave it empty")
    )


def _layer(definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext) -> Any:
    if isinstance(value, (str, QgsMapLayer, QgsProcessingFeatureSourceDefinition)):
        return value
    raise _refusal(definition, value, tr("a layer"), tr("give a layer, or the path of a file as text"))


def _layers(definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext) -> Tuple[Any, ...]:
    return tuple(_layer(definition, one, context) for one in (value if isinstance(value, (list, tuple)) else [value]))


def _destination(
    definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext
) -> Optional[str]:
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = evaluated(definition.name(), value.sink, context)
    if is_null(value) or (isinstance(value, str) and "\0" not in value):
        return value
    raise _refusal(definition, value, tr("a place for an output"), tr("give the path of a file as text"))


READ_HERE: Dict[str, Reader] = {
    "number": _number,
    "boolean": _boolean,
    "enum": _enum,
    "string": _text,
    "file": _text,
    "field": _text,
    "band": _bands,
}
READERS: Dict[str, Reader] = {
    **READ_HERE,
    "crs": _crs,
    "extent": _extent,
    "raster": _layer,
    "multilayer": _layers,
    "source": _layer,
    "vector": _layer,
    "layer": _layer,
    "rasterDestination": _destination,
    "vectorDestination": _destination,
    "fileDestination": _destination,
    "sink": _destination,
}
