# SPDX-License-Identifier: GPL-2.0-or-later
"""The toolbox's dialog with its button; the plain dialogs of batches and models; the panel's run as a command."""

import driver
import processing
from driver import ARGUMENTS, FOLDER, found
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
from processing.modeler.ModelerParametersDialog import ModelerParametersDialog
from qgis.core import QgsApplication, QgsProcessingModelAlgorithm, QgsProject
from qgis.PyQt.QtWidgets import QApplication, QDialogButtonBox, QPushButton
from qgis.utils import iface
from tiledseg.tiledseg_plugin.compat import algorithm_dialog


def main():
    raster = driver.open_raster(ARGUMENTS["raster"])
    dialog(raster)
    others()
    commands(raster)


def dialog(raster):
    one = processing.createAlgorithmDialog("tiledseg:segment", {"INPUT": raster.id(), **ARGUMENTS["parameters"]})
    one.show()
    driver.pause(0.5)
    buttons = [button.text() for button in one.buttonBox().buttons()]
    found["dialog"] = {"is standard": isinstance(one, algorithm_dialog()[0]), "buttons": buttons}
    driver.click(one.check_button)
    driver.wait(lambda: one.tile_layer is not None, 60, "the check")
    found["dialog"]["order after check"] = driver.order()
    found["dialog"]["summary"] = one.messageBar().currentItem().text()
    driver.picture("10 dialog", one)
    ended = []
    one.algorithmFinished.connect(lambda succeeded, results: ended.append((succeeded, results)))
    outputs = {"MEAN_IMAGE": "means of the dialog.tif", "POLYGONS": "polygons of the dialog.gpkg"}
    outputs = {name: str(FOLDER / file) for name, file in {"OUTPUT": "of the dialog.tif", **outputs}.items()}
    found["dialog"]["shown"] = []
    for least in (50, ARGUMENTS["parameters"]["MIN_PIXELS"]):  # the second time to the files that are loaded
        one.setParameters({**one.createProcessingParameters(), **outputs, "MIN_PIXELS": least})
        driver.click(one.buttonBox().button(QDialogButtonBox.StandardButton.Ok))
        driver.wait(lambda: ended, 120, "the run")
        found["dialog"]["results"] = ended.pop()[1]
        driver.pause(0.3)
        found["dialog"]["shown"].append(shown(found["dialog"]["results"]))
        one.showParameters()
    found["dialog"]["loaded"] = [one.source() for one in QgsProject.instance().mapLayers().values()]
    one.close()
    QgsProject.instance().removeMapLayer(one.tile_layer.id())


def shown(results):
    """How the outputs lie, which are on, and how many segments the polygons' layer says that there are."""
    root = QgsProject.instance().layerTreeRoot()
    names = {results[name]: name for name in ("OUTPUT", "MEAN_IMAGE", "POLYGONS")}
    nodes = [(names.get(node.layer().source().split("|")[0]), node) for node in root.findLayers()]
    polygons = next(node.layer() for name, node in nodes if name == "POLYGONS")
    return {
        "order": [name for name, _ in nodes if name],
        "on": [name for name, node in nodes if name and node.isVisible()],
        "features": [polygons.featureCount(), sum(1 for _ in polygons.getFeatures()), results["SEGMENT_COUNT"]],
    }


def others():
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:segment")
    batch = BatchAlgorithmDialog(algorithm, iface.mainWindow())
    model = ModelerParametersDialog(algorithm, QgsProcessingModelAlgorithm())
    for name, one in (("batch", batch), ("modeler", model)):
        one.show()
        driver.pause(0.3)
        found[name] = [button.text() for button in one.findChildren(QPushButton)]
        one.close()


def commands(raster):
    panel, session = driver.open_panel()
    panel.fields.set_value("INPUT", raster.id())
    for name, value in ARGUMENTS["parameters"].items():
        panel.fields.set_value(name, value)
    panel.fields.set_value("OUTPUT", str(FOLDER / "of a command.tif"))
    panel.copy_command.trigger()
    found["command"] = QApplication.clipboard().text()
    panel.copy_python.trigger()
    found["python"] = QApplication.clipboard().text()
    found["tooltips"] = {
        name: [panel.fields.widget(name).toolTip(), definition.help()]
        for name, definition in panel.fields.definitions.items()
    }
    session.panel.fields.remember()


driver.drive(main)
