# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the models in resources/models (the modeler can change them afterwards).

usage: QT_HASH_SEED=0 QT_QPA_PLATFORM=offscreen /usr/bin/python3 scripts/make_model.py

To be run when an algorithm in it gets another parameter; the seed keeps the order of what is written.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import headless

os.environ.update(headless.environment(Path(tempfile.mkdtemp())))
sys.path.insert(0, str(headless.plugin_path()))

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterBand,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QPointF, QSizeF  # noqa: E402
from tiledseg.tiledseg_plugin.engine.parameters import STATISTICS, USUAL_STATISTICS  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "resources" / "models"
INTEGER, DOUBLE = QgsProcessingParameterNumber.Type.Integer, QgsProcessingParameterNumber.Type.Double
NUMBERS = {  # label, kind, default, least, most
    "NUM_CLUSTERS": ("Number of clusters", INTEGER, 60, 2, 65534),
    "MIN_PIXELS": ("Minimum segment size [pixels]", INTEGER, 100, 1, None),
    "TILE_WIDTH": ("Tile width [pixels]", INTEGER, 2000, 16, None),
    "TILE_HEIGHT": ("Tile height [pixels]", INTEGER, 2000, 16, None),
    "VALID_DATA_THRESHOLD": ("Valid data threshold", DOUBLE, 0.3, 0, 1),
}


@dataclass
class Step:
    """A step of a model.

    links : of its parameters: the name of a model input, (step, output), or [a fixed value]
    result : what its output is called; empty if that is none of the model
    mandatory : whether the output has to be named; those that were published first have to, and later ones must not
    """

    algorithm: str
    label: str
    links: dict
    result: str = ""
    mandatory: bool = True


def same(*names):
    return {name: name for name in names}


def workflow_inputs():
    yield QgsProcessingParameterRasterLayer("INPUT", "Raster to segment")
    yield QgsProcessingParameterBand("BANDS", "Bands", None, "INPUT", True, True)
    for name, (label, kind, default, least, most) in NUMBERS.items():
        yield QgsProcessingParameterNumber(name, label, kind, default, False, least, most or 2**31 - 1)


WORKFLOW = {
    "preflight": Step(
        "tiledseg:preflight",
        "Check tiles before a run",
        same("INPUT", "BANDS", "TILE_WIDTH", "TILE_HEIGHT", "VALID_DATA_THRESHOLD"),
        "Tiles",
    ),
    "segment": Step(
        "tiledseg:segment",
        "Segment raster",
        {
            **same("INPUT", "BANDS", "NUM_CLUSTERS", "MIN_PIXELS", "VALID_DATA_THRESHOLD"),
            "TILES": ("preflight", "OUTPUT"),
        },
        "Segments",
    ),
    "statistics": Step(
        "tiledseg:statistics",
        "Statistics of segments",
        {"BANDS": "BANDS", "SEGMENTS": ("segment", "OUTPUT"), "VALUES": "INPUT"},
        "Statistics",
    ),
    "shape": Step("tiledseg:shape", "Shape of segments", {"SEGMENTS": ("segment", "OUTPUT")}, "Shape", False),
    "join": Step(
        "native:joinattributestable",
        "Join both tables by the segments' numbers",
        {
            "INPUT": ("shape", "OUTPUT"),
            "FIELD": ["segment"],
            "INPUT_2": ("statistics", "OUTPUT"),
            "FIELD_2": ["segment"],
            "METHOD": [1],
        },
    ),
    "joined": Step(
        "native:deletecolumn",
        "Leave out what is there twice",
        {"INPUT": ("join", "OUTPUT"), "COLUMN": [["segment_2", "fid_2"]]},
        "Joined",
        False,
    ),
}


def colouring_inputs():
    yield QgsProcessingParameterRasterLayer("SEGMENTS", "Segments")
    yield QgsProcessingParameterRasterLayer("VALUES", "Raster of values")
    yield QgsProcessingParameterEnum(
        "STATISTICS", "Statistics", list(STATISTICS), True, list(USUAL_STATISTICS), False, True
    )
    yield QgsProcessingParameterString("COLUMN", "Column", "mean_1")


COLOURING = {
    "statistics": Step(
        "tiledseg:statistics", "Statistics of segments", same("SEGMENTS", "VALUES", "STATISTICS"), "Statistics", False
    ),
    "rasterise": Step(
        "tiledseg:rasterise",
        "Column to raster",
        {**same("SEGMENTS", "COLUMN"), "TABLE": ("statistics", "OUTPUT")},
        "Coloured",
    ),
}
MODELS = {  # inputs, steps, what the modeler says of it
    "checksegmentstatistics": (
        workflow_inputs,
        WORKFLOW,
        "Checks the tiles, segments the raster with them, and makes a table of the segments' shape and statistics.",
    ),
    "coloursegments": (
        colouring_inputs,
        COLOURING,
        "Makes a table of statistics of segments, and a raster that shows one of its columns in colours.",
    ),
}


def source(of):
    if isinstance(of, list):
        return QgsProcessingModelChildParameterSource.fromStaticValue(of[0])
    if isinstance(of, tuple):
        return QgsProcessingModelChildParameterSource.fromChildOutput(*of)
    return QgsProcessingModelChildParameterSource.fromModelParameter(of)


def add_inputs(model, definitions):
    order = []
    for place, definition in enumerate(definitions):
        component = QgsProcessingModelParameter(definition.name())
        component.setPosition(QPointF(120, 60 + 90 * place))
        component.setSize(QSizeF(200, 30))
        component.setDescription(definition.description())
        model.addModelParameter(definition, component)
        order.append(definition.name())
    model.setParameterOrder(order)


def add_step(model, name, step, place):
    child = QgsProcessingModelChildAlgorithm(step.algorithm)
    child.setChildId(name)
    child.setDescription(step.label)
    for parameter, of in step.links.items():
        child.addParameterSources(parameter, [source(of)])
    for definition in child.algorithm().parameterDefinitions() if child.algorithm() else ():
        # the modeler shows a step as broken if a value is left to its default
        if definition.name() not in child.parameterSources() and definition.defaultValue() is not None:
            value = QgsProcessingModelChildParameterSource.fromStaticValue(definition.defaultValue())
            child.addParameterSources(definition.name(), [value])
    child.setPosition(QPointF(450, 100 + 190 * place))
    child.setSize(QSizeF(220, 30))
    if step.result:
        output = QgsProcessingModelOutput(step.result, step.result)
        output.setChildId(name)
        output.setChildOutputName("OUTPUT")
        output.setMandatory(step.mandatory)
        output.setPosition(QPointF(750, 145 + 190 * place))
        output.setSize(QSizeF(200, 30))
        child.setModelOutputs({step.result: output})
    model.addChildAlgorithm(child)


def make(name):
    inputs, steps, says = MODELS[name]
    model = QgsProcessingModelAlgorithm(name, "Segmentation", "segmentation")
    add_inputs(model, inputs())
    for place, (child, step) in enumerate(steps.items()):
        add_step(model, child, step, place)
    for child in steps:
        _, issues = model.validateChildAlgorithm(child)
        print(child, issues)
    model.setHelpContent({"ALG_DESC": says, "ALG_VERSION": "1"})
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{name}.model3"
    if not model.toFile(str(target)):
        raise SystemExit(f"{target} cannot be written")
    print(target)


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    from qgis.analysis import QgsNativeAlgorithms

    QgsApplication.processingRegistry().addProvider(QgsNativeAlgorithms(QgsApplication.processingRegistry()))
    import tiledseg

    plugin = tiledseg.classFactory(None)
    plugin.initProcessing()
    for name in MODELS:
        make(name)
    plugin.unload()
    application.exitQgis()
