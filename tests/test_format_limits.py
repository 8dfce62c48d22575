# SPDX-License-Identifier: GPL-2.0-or-later
"""What a format cannot hold is refused before there is an output: ids, columns, reference systems."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from guarded import contents, ids, values
from osgeo import ogr
from rasters import UTM, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.vector_trial import MOST_COLUMNS, check_columns, check_place
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment


def test_ids_beyond_the_table_are_refused_before_there_is_an_output(tmp_path):
    large = ids()
    large[large == 6] = 4_000_000_000
    segments = write_raster(tmp_path / "s.tif", large, 0)
    raster = write_raster(tmp_path / "v.tif", values())
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match="reach 4000000000.*switch UPDATE_RAT off"):
        parameters = StatisticsParameters(
            segments, raster, str(tmp_path / "o.csv"), update_rat=True, execution="serial"
        )
        segment_statistics(parameters, Feedback())
    assert contents(tmp_path) == before
    far = ids() + 200_000
    segments = write_raster(tmp_path / "s.tif", far, 0)
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match="too large for the side file of a GeoTIFF"):
        segment_statistics(replace(parameters, segments=segments), Feedback())
    assert contents(tmp_path) == before


def test_a_table_with_more_columns_than_the_format_has_is_refused(tmp_path):
    raster = write_raster(tmp_path / "in.tif", np.ones((500, 4, 4), np.uint8))
    segments = write_raster(tmp_path / "s.tif", np.ones((1, 4, 4), np.uint32), 0)
    for path, message in (("p.gpkg", "2002 columns"), ("p.sqlite", "2002 columns"), ("p.shp", "2002 columns")):
        with pytest.raises(SegmentationError, match=message):
            segment_polygons(PolygonsParameters(segments, str(tmp_path / path), raster, execution="serial"), Feedback())
    with pytest.raises(SegmentationError, match="OUTPUT .* 2006 columns for 500 bands"):
        segment(SegmentParameters(raster, str(tmp_path / "o.tif"), execution="serial"), Feedback())
    with pytest.raises(SegmentationError, match="2001 columns"):
        parameters = StatisticsParameters(segments, raster, str(tmp_path / "t.gpkg"), execution="serial")
        segment_statistics(parameters, Feedback())
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "s.tif"}
    segment_polygons(PolygonsParameters(segments, str(tmp_path / "p.fgb"), raster, execution="serial"), Feedback())
    assert ogr.Open(str(tmp_path / "p.fgb")).GetLayer(0).GetLayerDefn().GetFieldCount() == 2002


@pytest.mark.parametrize("extension, driver", [(".gpkg", "GPKG"), (".sqlite", "SQLite")])
def test_as_many_columns_as_are_allowed_can_be_read(tmp_path, extension, driver):
    most = MOST_COLUMNS[driver]
    check_columns("OUTPUT", "x", driver, most)
    path = str(tmp_path / f"t{extension}")
    dataset = ogr.GetDriverByName(driver).CreateDataSource(path)
    layer = dataset.CreateLayer("t", None, ogr.wkbPolygon)
    for index in range(most):
        layer.CreateField(ogr.FieldDefn(f"c{index}", ogr.OFTReal))
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetField(most - 1, 1.5)
    assert layer.CreateFeature(feature) == 0
    del feature, layer, dataset
    assert ogr.Open(path).GetLayer(0).GetNextFeature().GetField(most - 1) == 1.5
    with pytest.raises(SegmentationError):
        check_columns("OUTPUT", "x", driver, most + 1)


OWN_CRS = "+proj=laea +lat_0=12 +lon_0=33 +x_0=7 +ellps=bessel +units=m"


@pytest.mark.parametrize(
    "crs, extension, driver, holds",
    [
        *(
            (UTM, end, driver, True)
            for end, driver in (
                (".gpkg", "GPKG"),
                (".geojson", "GeoJSON"),
                (".shp", "ESRI Shapefile"),
                (".gml", "GML"),
                (".fgb", "FlatGeobuf"),
                (".sqlite", "SQLite"),
            )
        ),
        *((OWN_CRS, end, driver, True) for end, driver in ((".gpkg", "GPKG"), (".fgb", "FlatGeobuf"))),
        *((OWN_CRS, end, driver, False) for end, driver in ((".geojson", "GeoJSON"), (".gml", "GML"))),
        *((None, end, driver, True) for end, driver in ((".gpkg", "GPKG"), (".geojson", "GeoJSON"))),
    ],
)
@pytest.mark.parametrize(
    "geotransform", [(500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0), (500000.0, 9.0, 3.0, 6000000.0, 2.0, -10.0)]
)
def test_formats_that_lose_the_reference_system_are_refused(tmp_path, crs, extension, driver, holds, geotransform):
    raster = write_raster(tmp_path / "in.tif", values(1), crs=crs, geotransform=geotransform)
    if holds:
        check_place("POLYGONS", f"p{extension}", driver, raster)
    else:
        with pytest.raises(SegmentationError, match="cannot hold the coordinate reference system"):
            check_place("POLYGONS", f"p{extension}", driver, raster)
        segments = write_raster(tmp_path / "s.tif", ids(), 0, crs=crs)
        with pytest.raises(SegmentationError, match="cannot hold the coordinate reference system"):
            segment_polygons(
                PolygonsParameters(segments, str(tmp_path / f"p{extension}"), execution="serial"), Feedback()
            )
    assert not (tmp_path / f"p{extension}").exists()
    assert not shutil.os.path.exists(f"p{extension}")
