# SPDX-License-Identifier: GPL-2.0-or-later
"""The panel's slider over the levels of a result, in QGIS Desktop: outlines of each, at once, on many segments too."""

import shutil

import numpy as np
import pytest
from in_desktop import Repeated, in_desktop

gdal = pytest.importorskip("osgeo.gdal")

from rasters import write_raster  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.attribute_table import write_table_beside  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.tables import Column  # noqa: E402

pytestmark = [pytest.mark.desktop, pytest.mark.slow, pytest.mark.alone]
GUI_SECONDS = 0.15  # the longest that the GUI may be blocked
PARAMETERS = {
    "NUM_CLUSTERS": 12, "SAMPLING": 3, "TILE_WIDTH": 64, "TILE_HEIGHT": 64, "MIN_PIXELS": 20, "LEVELS": "100;400",
}  # fmt: skip


@pytest.fixture(scope="module")
def scales(data, tmp_path_factory):
    return Repeated(lambda: find_scales(data, tmp_path_factory.mktemp("scales")))


def find_scales(data, folder):
    raster, many = folder / "in.tif", folder / "many.tif"
    shutil.copy(data / "synthetic_full.tif", raster)
    ids = np.arange(1, 200_001).reshape(400, 500)
    write_raster(many, np.kron(ids, np.ones((4, 4), int))[None].astype(np.uint32), nodata=0)
    columns = [Column("Histogram", np.full(ids.size, 16.0))]
    for side in (2, 10):  # blocks of so many segments, by the first of each
        first = ids[::side, ::side].repeat(side, axis=0).repeat(side, axis=1)
        columns.append(Column(f"level_{16 * side * side}", first.ravel()))
    write_table_beside(str(many), columns, lambda: None)
    return in_desktop("scales", folder, parameters=PARAMETERS, raster=raster, many=many)


def test_slider_is_there_when_the_result_has_levels(scales):
    assert scales["at first"] is False and scales["ran"] == [True]


def test_each_place_shows_the_outlines_of_its_level(scales):
    names, lengths = zip(*scales["shown"])
    assert names == ("20 pixels", "100 pixels", "400 pixels")
    assert lengths[0] > lengths[1] > lengths[2] > 0  # larger segments have fewer borders, and all of them are kept
    assert scales["switched off"] is True


def test_200000_segments_do_not_hold_the_window_up(scales):
    quickest = scales.quickest(lambda found: found["many"]["blocked"], GUI_SECONDS)
    assert quickest["many"]["blocked"] < GUI_SECONDS, quickest["many"]
    assert max(quickest["many"]["seconds"]) < 5
