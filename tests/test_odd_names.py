# SPDX-License-Identifier: GPL-2.0-or-later
"""Files in folders of any name: what looks like a part of a URL, an option or a pattern is none."""

import os
import sys

import numpy as np
import pytest
from osgeo import gdal
from rasters import read, run, write_raster
from test_attributes import two_band_scene
from test_update_table import update
from tiledseg.tiledseg_plugin.engine.files import attribute_table
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.progress import Feedback

ODD_FOLDERS = ["a#b", "a?b", "100% of it", "%41b", "a&b=c;d", 'it\'s "so"', "ä ö", "a+b", "[x]*", "#", "-1"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize("name", ODD_FOLDERS)
def test_everything_works_in_folders_of_any_name(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir()
    raster = write_raster(folder / f"{name}.tif", two_band_scene(np.uint8))
    segments = folder / f"{name} s.tif"
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    run(
        raster,
        segments,
        min_pixels=30,
        execution="serial",
        mean_image=str(folder / f"{name} m.tif"),
        polygons=str(folder / f"{name} p.gpkg"),
    )
    update(segments, raster, statistics=("median",), output=folder / f"{name} t.gpkg")
    update(segments, raster, statistics=("p95",), output=folder / f"{name} t.csv")
    for extension in ("shp", "geojson", "fgb"):
        segment_polygons(
            PolygonsParameters(str(segments), str(folder / f"{name}.{extension}"), execution="serial"), Feedback()
        )
    layer = (dataset := gdal.OpenEx(str(folder / f"{name} s_attributes.gpkg"))).GetLayer(0)
    assert layer.GetNextFeature()["p95_2"] is not None and layer.GetFeatureCount() == read(segments).max()
    del layer, dataset
    assert sorted(os.listdir(tmp_path)) == [name]  # nothing was written anywhere else
