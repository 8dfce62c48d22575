# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of segments as a raster that looks ids up, from each place where a table can be."""

import numpy as np
import pytest

gdal = pytest.importorskip("osgeo.gdal")

from rasters import write_raster  # noqa: E402
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.attribute_table import (  # noqa: E402
    write_attribute_table,
    write_table_beside,
)
from tiledseg.tiledseg_plugin.engine.files.tables import Column  # noqa: E402
from tiledseg.tiledseg_plugin.engine.products.segment_values import (  # noqa: E402
    ABSENT,
    breaks,
    index_of,
    is_ours,
    limits,
    numeric_columns,
    read_columns,
    write_values,
)

IDS = np.array([[0, 1, 1, 2], [3, 3, 0, 2], [4, 4, 4, 4]], np.uint32)
COLUMNS = [
    Column("Histogram", np.array([2.0, 2.0, 2.0, 4.0])),
    Column("mean_1", np.array([1.5, -2.0, np.nan, 7.25])),
    Column("mean_2", np.array([0.5, 2.0, 3.0, 1.0])),
]


@pytest.fixture(params=["raster.tif", "raster.img", "beside.tif", "a & b <c>.tif"])
def segments(request, tmp_path):
    (tmp_path / "here").mkdir()
    path = str(tmp_path / "here" / request.param)
    write_raster(path, IDS[None], nodata=0, driver="HFA" if path.endswith(".img") else "GTiff")
    if request.param.startswith("beside"):
        write_table_beside(path, COLUMNS, lambda: None)
    else:
        write_attribute_table(path, COLUMNS)
    return path


def test_columns_are_those_of_the_table(segments):
    assert numeric_columns(segments) == ["Histogram", "mean_1", "mean_2"]
    found = read_columns(segments, ["mean_2", "mean_1"])
    np.testing.assert_array_equal(found["mean_2"][1:], COLUMNS[2].values)
    np.testing.assert_array_equal(found["mean_1"][1:], COLUMNS[1].values)


def test_every_pixel_has_the_value_of_its_segment(segments, tmp_path):
    values = read_columns(segments, ["mean_1"])["mean_1"]
    values[0] = np.nan
    path = str(tmp_path / "values.vrt")
    write_values(path, segments, values)
    assert is_ours(path)
    dataset = gdal.Open(path)
    found, absent = dataset.ReadAsArray(), np.float32(dataset.GetRasterBand(1).GetNoDataValue())
    assert absent == np.float32(ABSENT)
    expected = np.where(np.isfinite(values), values, absent)[IDS]
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert gdal.Open(path).GetGeoTransform() == gdal.Open(segments).GetGeoTransform()
    assert sorted(one.name for one in tmp_path.iterdir() if "part" in one.name) == []


def test_values_move_with_their_segments(segments, tmp_path):
    write_values(str(tmp_path / "here" / "values.vrt"), segments, np.array([0.0, 5, 6, 7, 8]))
    moved = (tmp_path / "here").rename(tmp_path / "there")
    np.testing.assert_array_equal(gdal.Open(str(moved / "values.vrt")).ReadAsArray()[2], [8, 8, 8, 8])


def test_a_raster_without_a_table_and_a_column_that_is_missing_are_told(segments, tmp_path):
    bare = write_raster(tmp_path / "bare.tif", IDS[None])
    with pytest.raises(SegmentationError, match="no attribute table"):
        read_columns(str(bare), ["mean_1"])
    with pytest.raises(SegmentationError, match="mean_9"):
        read_columns(segments, ["mean_9"])


def test_index_is_nothing_where_the_sum_is_zero():
    found = index_of(np.array([3.0, 0.0, 2.0, np.nan]), np.array([1.0, 0.0, -2.0, 1.0]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("values", [[], [np.nan], [4.0], [1.0, 1.0, np.inf]])
def test_classes_of_few_values_are_still_classes(values):
    ends, (low, high) = breaks(np.array(values)), limits(np.array(values))
    assert len(ends) >= 2 and ends == sorted(ends) and low < high


def test_classes_hold_equally_many():
    ends = breaks(np.arange(1000.0) ** 2, 4)
    np.testing.assert_array_equal(np.histogram(np.arange(1000.0) ** 2, ends)[0], [250, 250, 250, 250])
