# SPDX-License-Identifier: GPL-2.0-or-later
"""GDAL 3.4 and later will do: nothing newer is called, and a run goes through where it is missing."""

import ast
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from headless import plugin_path
from rasters import write_raster

gdal = pytest.importorskip("osgeo.gdal")
MODULES = ("gdal", "ogr", "osr", "gdal_array")
# what came after GDAL 3.4, of the kind that code is tempted to use
NEWER = {
    "gdal": ("ExceptionMgr", "config_option", "config_options", "quiet_errors", "quiet_warnings", "GetConfigOptions")
    + ("GetGlobalConfigOption", "GetDataTypeSizeBits", "GetDataTypeSizeBytes", "DataTypeUnionWithValue", "Footprint")
    + ("SuggestedWarpOutput", "TileIndex", "Run", "VSIFile", "VSIFErrorL", "VSIFClearErrL", "CopyFile", "MoveFile")
    + (
        "GDT_Int8",
        "GDT_Int64",
        "GDT_UInt64",
        "GDT_UInt8",
        "GDT_Float16",
        "GFT_Boolean",
        "GFT_DateTime",
        "ContourOptions",
    )
    + ("GFT_WKBGeometry", "DCAP_UPDATE", "DMD_MAX_STRING_LENGTH", "OF_THREAD_SAFE", "GCI_NIRBand", "GCI_PanBand"),
    "ogr": ("ExceptionMgr", "CreateGeometryFromEnvelope", "GT_GetSingle", "ALTER_COMMENT_FLAG"),
    "osr": ("ExceptionMgr", "GetAuthorityListFromDatabase"),
}
NEWER_METHODS = {
    "gdal.Dataset": ("Close", "__enter__", "__exit__", "ReadAsMaskedArray", "GetThreadSafeDataset", "GetExtent"),
    "gdal.Band": ("ReadAsMaskedArray", "BlockWindows", "ComputeMinMaxLocation"),
    "gdal.RasterAttributeTable": ("RemoveStatistics", "ReadValuesIOAsDouble", "ReadValuesIOAsInteger"),
    "ogr.Layer": ("UpdateFeature", "UpsertFeature", "GetArrowStreamAsNumPy", "WriteArrow", "GetDataset", "__enter__"),
    "ogr.Feature": ("SetFieldBinary", "DumpReadableAsString", "GetFieldAsISO8601DateTime"),
    "ogr.Geometry": ("UnaryUnion", "SetPrecision", "IsClockwise", "BuildArea", "GeodesicArea"),
}
GUARDED = {"SetTableType", "ExceptionMgr", "config_options"}  # asked for with hasattr

RUN = """
import json, sys
sys.path[:0] = {paths!r}
from osgeo import gdal, ogr, osr, gdal_array
for module, names in {newer!r}.items():
    for name in names:
        vars(globals()[module]).pop(name, None)
for path, names in {methods!r}.items():
    module, _, kind = path.partition(".")
    for name in names:
        if name in vars(getattr(globals()[module], kind)):
            delattr(getattr(globals()[module], kind), name)
from rasters import Log, run
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics

folder = {folder!r}
outputs = {{"mean_image": folder + "/m.tif", "polygons": folder + "/p.gpkg"}}
quick = {{"sampling": 1, "min_pixels": 9, "tile_width": 40}}
ids, result = run(folder + "/in.tif", folder + "/o.img", **quick, **outputs)
parameters = StatisticsParameters(
    folder + "/o.img", folder + "/in.tif", folder + "/t.csv", statistics=("mean", "median"), update_rat=True
)
segment_statistics(parameters, Log())
segment_polygons(PolygonsParameters(folder + "/o.img", folder + "/q.shp", simplify=True), Log())
tiles = preflight(PreflightParameters(folder + "/in.tif"), Log())
print(json.dumps([int(ids.max()), result.segment_count, len(tiles.records)]))
"""


def sources():
    for folder in ("tiledseg_plugin", "algorithms"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def attributes(path):
    """(line, name before the dot or "", attribute) of all attributes that a file uses."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.lineno, node.value.id if isinstance(node.value, ast.Name) else "", node.attr


def test_nothing_is_called_that_gdal_has_only_since_3_4():
    methods = {name for names in NEWER_METHODS.values() for name in names}
    methods -= {"__enter__", "__exit__", "GetExtent"}  # of files and layers they are old
    used = [
        f"{path.relative_to(ROOT)}:{line}: {of}.{name}"
        for path in sources()
        for line, of, name in attributes(path)
        if (name in NEWER.get(of, ()) and name not in GUARDED)
        or (name in methods and "engine" in path.parts)  # Qt has a Close, too
    ]
    assert not used


def test_every_name_of_gdal_exists_here():
    modules = {name: pytest.importorskip(f"osgeo.{name}") for name in MODULES}
    missing = [
        f"{path.relative_to(ROOT)}:{line}: {of}.{name}"
        for path in sources()
        for line, of, name in attributes(path)
        if of in modules and not hasattr(modules[of], name) and name not in GUARDED
    ]
    assert not missing


def test_a_run_and_its_products_need_nothing_newer(tmp_path):
    rng = np.random.default_rng(5)
    values = np.kron(rng.integers(20, 230, (3, 7, 9)), np.ones((1, 10, 10), int)) + rng.integers(0, 9, (3, 70, 90))
    write_raster(tmp_path / "in.tif", values.astype(np.uint8), nodata=0)
    paths = [str(ROOT / "scripts"), str(ROOT / "tests"), str(plugin_path())]
    code = RUN.format(paths=paths, newer=NEWER, methods=NEWER_METHODS, folder=str(tmp_path))
    environment = {**os.environ, "TILEDSEG_KERNELS": "plain"}  # nothing has to be compiled
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    most, count, tiles = json.loads(ended.stdout)
    assert most == count > 10 and tiles == 1
