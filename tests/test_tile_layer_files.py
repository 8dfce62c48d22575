# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of tile layers: an earlier one is there until the new one is complete, whatever happens in between."""

# ruff: noqa: F401, F811 (the fixture that is shared)

import json
import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest
from test_preflight_algorithm import QUICK, layer_of, run, slanted

pytest.importorskip("osgeo.gdal")
pytestmark = pytest.mark.qgis

FILES = {
    "gpkg": {"tiles.gpkg"},
    "shp": {"tiles.shp", "tiles.shx", "tiles.dbf", "tiles.prj"},
    "geojson": {"tiles.geojson"},
    "fgb": {"tiles.fgb"},
}
ENCODING = {"tiles.cpg"}  # of a Shapefile; QGIS writes it unless the encoding is that of the system
OUTPUTS = [("preflight", "OUTPUT"), ("segment", "S1TILES")]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tiles_run(plugin, raster, name, path, size, **more):
    """Write tiles of a size to a path, by pre-flight or run; the segments of a run lie elsewhere."""
    output = dict(OUTPUTS)[name]
    parameters = {"INPUT": raster, "TILE_WIDTH": size, "TILE_HEIGHT": size, output: path, **more}
    if name == "segment":
        parameters.update(QUICK, OUTPUT=str(Path(raster).with_name("segments.tif")))
    return run(plugin, name, **parameters)[0][output]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    return path


def is_staged(written, path):
    """Whether it is written in a hidden folder beside its place."""
    written = Path(written)
    return written.name == path.name and written.parent.name.startswith(".") and written.parent.parent == path.parent


@pytest.mark.parametrize("extension", FILES)
@pytest.mark.parametrize("name", dict(OUTPUTS))
@pytest.mark.parametrize("there_is_one", [True, False])
def test_a_file_that_lost_its_end_is_no_output_and_the_earlier_one_stays(
    plugin, slanted, folder, monkeypatch, extension, name, there_is_one
):  # fmt: skip
    from qgis.core import QgsProcessingException
    from tiledseg.tiledseg_plugin.engine.files import verification

    path = folder / f"tiles.{extension}"
    if there_is_one:
        tiles_run(plugin, slanted(), name, str(path), 32)
    before = contents(folder)
    verify = verification.verify_features

    def verify_less(written, *arguments):
        assert is_staged(written, path)
        os.truncate(written, os.path.getsize(written) // 2)
        return verify(written, *arguments)

    monkeypatch.setattr(verification, "verify_features", verify_less)
    match = f"{dict(OUTPUTS)[name]} tiles.* is not on the disk as it was written"
    with pytest.raises(QgsProcessingException, match=match):
        tiles_run(plugin, slanted(), name, str(path), 20)
    assert contents(folder) == before


@pytest.mark.parametrize("how", ["no sink", "no feature"])
@pytest.mark.parametrize("name", dict(OUTPUTS))
def test_what_cannot_be_written_leaves_the_earlier_file(plugin, slanted, folder, monkeypatch, name, how):
    from qgis.core import QgsProcessingException
    from tiledseg.algorithms.tiling import TilingAlgorithm

    path = folder / "tiles.gpkg"
    tiles_run(plugin, slanted(), name, str(path), 32)
    before, open_sink = contents(folder), TilingAlgorithm.parameterAsSink

    class Full:
        def addFeature(self, *_):
            return False

        def lastError(self):
            return "the disk is full"

    def refuse(algorithm, parameters, key, *arguments):
        assert is_staged(parameters[key], path)
        if how == "no sink":
            raise QgsProcessingException(f"Could not create layer {parameters[key]}.")
        open_sink(algorithm, parameters, key, *arguments)
        return Full(), parameters[key]

    monkeypatch.setattr(TilingAlgorithm, "parameterAsSink", refuse)
    with pytest.raises(QgsProcessingException, match="cannot be written") as error:
        tiles_run(plugin, slanted(), name, str(path), 20)
    assert ".tiledseg" not in str(error.value)
    assert how == "no feature" or f"(Could not create layer {path})" in str(error.value)
    assert contents(folder) == before


@pytest.mark.parametrize("extension", FILES)
@pytest.mark.parametrize("name", dict(OUTPUTS))
def test_a_good_one_replaces_the_earlier_with_all_its_files(plugin, slanted, folder, extension, name):
    path = folder / f"tiles.{extension}"
    for size, tiles in ((32, 9), (20, 20)):
        assert tiles_run(plugin, slanted(), name, str(path), size) == str(path)
        assert set(contents(folder)) - ENCODING == FILES[extension]
        layer = layer_of({"OUTPUT": str(path)})
        assert layer.featureCount() == tiles
        del layer
        if extension == "shp":
            (folder / "tiles.qix").write_bytes(b"an index of the earlier one")


def test_a_name_without_extension_is_that_of_a_geopackage(plugin, slanted, folder):
    assert tiles_run(plugin, slanted(), "preflight", str(folder / "tiles"), 20) == str(folder / "tiles.gpkg")
    assert set(contents(folder)) == {"tiles.gpkg"}


def test_a_table_is_added_to_a_geopackage_that_stays(plugin, slanted, folder):
    path = folder / "tiles.gpkg"
    tiles_run(plugin, slanted(), "preflight", str(path), 32)
    inode = path.stat()[stat.ST_INO]
    given = f"ogr:dbname='{path}' table=\"more\" (geom)"
    tiles_run(plugin, slanted(), "preflight", given, 20)
    assert path.stat()[stat.ST_INO] == inode and set(contents(folder)) == {"tiles.gpkg"}
    with sqlite3.connect(path) as database:
        counts = {table: database.execute(f"select count(*) from {table}").fetchone() for table in ("tiles", "more")}
    assert counts == {"tiles": (9,), "more": (20,)}


@pytest.mark.parametrize("name", dict(OUTPUTS))
@pytest.mark.parametrize("options", [{}, {"layerName": "mine"}])
@pytest.mark.parametrize("in_a_thread", [False, True])
def test_qgis_loads_it_from_its_place_with_name_and_style(
    plugin, slanted, folder, name, options, in_a_thread
):  # fmt: skip
    from processing.gui.Postprocessing import handleAlgorithmResults
    from qgis.core import (
        QgsApplication,
        QgsProcessingAlgRunnerTask,
        QgsProcessingContext,
        QgsProcessingFeedback,
        QgsProcessingOutputLayerDefinition,
        QgsProject,
        QgsRasterLayer,
    )
    from qgis.PyQt.QtCore import QEventLoop

    project, output = QgsProject.instance(), dict(OUTPUTS)[name]
    raster = QgsRasterLayer(slanted(), "scene")
    project.addMapLayer(raster)
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    context.setProject(project)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"tiledseg:{name}")
    path = folder / "tiles.gpkg"
    destination = QgsProcessingOutputLayerDefinition(str(path), project)
    destination.destinationName, destination.createOptions = "my tiles", options
    parameters = {"INPUT": raster, "TILE_WIDTH": 20, "TILE_HEIGHT": 20, output: destination}
    if name == "segment":
        parameters.update(QUICK, OUTPUT=str(path.parent.parent / "segments.tif"))
    try:
        if in_a_thread:
            outcome, loop = [], QEventLoop()
            task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
            task.executed.connect(lambda *given: (outcome.extend(given), loop.quit()))
            QgsApplication.taskManager().addTask(task)
            loop.exec()
            succeeded, results = outcome
        else:
            results, succeeded = algorithm.run(parameters, context, feedback)
        assert succeeded, feedback.textLog()
        place = str(path) + ("|layername=mine" if options else "")
        assert results[output] == place and set(context.layersToLoadOnCompletion()) == {place}
        assert handleAlgorithmResults(algorithm, context, feedback, parameters=parameters)
        order = project.layerTreeRoot().layerOrder()
        assert [layer.name() for layer in order] == ["my tiles", "scene"]
        assert order[0].source() == place and order[0].featureCount() == 20
        assert order[0].renderer().type() == "categorizedSymbol"
    finally:
        project.clear()
    assert set(contents(folder)) == {"tiles.gpkg"}


@pytest.mark.command
def test_qgis_process_replaces_an_earlier_one(plugin, qgis_process, slanted, folder):
    for size, tiles in ((32, 9), (20, 20)):
        given = [f"INPUT={slanted()}", f"TILE_WIDTH={size}", f"TILE_HEIGHT={size}", f"OUTPUT={folder}/tiles.shp"]
        finished = qgis_process("--json", "run", "tiledseg:preflight", "--", *given)
        assert finished.returncode == 0, finished.stderr
        assert json.loads(finished.stdout)["results"]["OUTPUT"] == f"{folder}/tiles.shp"
        assert set(contents(folder)) - ENCODING == FILES["shp"]
        assert layer_of({"OUTPUT": f"{folder}/tiles.shp"}).featureCount() == tiles


@pytest.mark.command
@pytest.mark.parametrize("extension", ["gpkg", "shp"])
def test_a_full_disk_leaves_the_earlier_file(qgis_process, tmp_path, folder, extension):
    resource = pytest.importorskip("resource", reason="file sizes cannot be limited here")
    from rasters import write_raster

    raster = write_raster(tmp_path / "a.tif", np.arange(800 * 800, dtype=np.uint16).reshape(1, 800, 800))
    path = folder / f"tiles.{extension}"

    def write(size):
        given = [f"INPUT={raster}", f"TILE_WIDTH={size}", f"TILE_HEIGHT={size}", f"OUTPUT={path}"]
        return qgis_process("run", "tiledseg:preflight", "--", *given)

    assert write(400).returncode == 0  # the first call also makes the files of the profile
    before, limits = contents(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
    try:
        finished = write(16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert finished.returncode == 1 and "Traceback" not in finished.stderr
    assert "is not on the disk as it was written" in finished.stderr or "cannot be written" in finished.stderr
    assert contents(folder) == before
