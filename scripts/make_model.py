# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes resources/models/checksegmentstatistics.model3 (the modeler can change it afterwards).

usage: QT_HASH_SEED=0 QT_QPA_PLATFORM=offscreen /usr/bin/python3 scripts/make_model.py

To be run when an algorithm in it gets another parameter; the seed keeps the order of what is written.
"""

import os
import sys
import tempfile
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
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtCore import QPointF, QSizeF  # noqa: E402

NAME = "checksegmentstatistics"
TARGET = Path(__file__).resolve().parent.parent / "resources" / "models" / f"{NAME}.model3"
INTEGER, DOUBLE = QgsProcessingParameterNumber.Type.Integer, QgsProcessingParameterNumber.Type.Double
NUMBERS = {  # label, kind, default, least, most
    "NUM_CLUSTERS": ("Number of clusters", INTEGER, 60, 2, 65534),
    "MIN_PIXELS": ("Minimum segment size [pixels]", INTEGER, 100, 1, None),
    "TILE_WIDTH": ("Tile width [pixels]", INTEGER, 2000, 16, None),
    "TILE_HEIGHT": ("Tile height [pixels]", INTEGER, 2000, 16, None),
    "VALID_DATA_THRESHOLD": ("Valid data threshold", DOUBLE, 0.3, 0, 1),
}
STEPS = {  # parameters: name of a model input, or (step, output)
    "preflight": (
        "Check tiles before a run",
        ("INPUT", "BANDS", "TILE_WIDTH", "TILE_HEIGHT", "VALID_DATA_THRESHOLD"),
        {},
        "Tiles",
    ),
    "segment": (
        "Segment raster",
        ("INPUT", "BANDS", "NUM_CLUSTERS", "MIN_PIXELS", "VALID_DATA_THRESHOLD"),
        {"TILES": ("preflight", "OUTPUT")},
        "Segments",
    ),
    "statistics": (
        "Statistics of segments",
        ("BANDS",),
        {"SEGMENTS": ("segment", "OUTPUT"), "VALUES": "INPUT"},
        "Statistics",
    ),
}


def inputs():
    yield QgsProcessingParameterRasterLayer("INPUT", "Raster to segment")
    yield QgsProcessingParameterBand("BANDS", "Bands", None, "INPUT", True, True)
    for name, (label, kind, default, least, most) in NUMBERS.items():
        yield QgsProcessingParameterNumber(name, label, kind, default, False, least, most or 2**31 - 1)


def source(of):
    if isinstance(of, tuple):
        return QgsProcessingModelChildParameterSource.fromChildOutput(*of)
    return QgsProcessingModelChildParameterSource.fromModelParameter(of)


def make():
    model = QgsProcessingModelAlgorithm(NAME, "Segmentation", "segmentation")
    order = []
    for place, definition in enumerate(inputs()):
        component = QgsProcessingModelParameter(definition.name())
        component.setPosition(QPointF(120, 60 + 90 * place))
        component.setSize(QSizeF(200, 30))
        component.setDescription(definition.description())
        model.addModelParameter(definition, component)
        order.append(definition.name())
    model.setParameterOrder(order)
    for place, (step, (label, names, links, result)) in enumerate(STEPS.items()):
        child = QgsProcessingModelChildAlgorithm(f"tiledseg:{step}")
        child.setChildId(step)
        child.setDescription(label)
        for name, of in {**{name: name for name in names}, **links}.items():
            child.addParameterSources(name, [source(of)])
        for definition in child.algorithm().parameterDefinitions() if child.algorithm() else ():
            # the modeler shows a step as broken if a value is left to its default
            if definition.name() not in child.parameterSources() and definition.defaultValue() is not None:
                value = QgsProcessingModelChildParameterSource.fromStaticValue(definition.defaultValue())
                child.addParameterSources(definition.name(), [value])
        child.setPosition(QPointF(450, 100 + 190 * place))
        child.setSize(QSizeF(220, 30))
        output = QgsProcessingModelOutput(result, result)
        output.setChildId(step)
        output.setChildOutputName("OUTPUT")
        output.setPosition(QPointF(750, 145 + 190 * place))
        output.setSize(QSizeF(200, 30))
        child.setModelOutputs({result: output})
        model.addChildAlgorithm(child)
    for step in STEPS:
        _, issues = model.validateChildAlgorithm(step)
        print(step, issues)
    model.setHelpContent(
        {
            "ALG_DESC": "Checks the tiles, segments the raster with them, and makes a table of their statistics.",
            "ALG_VERSION": "1",
        }
    )
    TARGET.parent.mkdir(exist_ok=True)
    if not model.toFile(str(TARGET)):
        raise SystemExit(f"{TARGET} cannot be written")
    print(TARGET)


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    import tiledseg

    plugin = tiledseg.classFactory(None)
    plugin.initProcessing()
    make()
    plugin.unload()
    application.exitQgis()
