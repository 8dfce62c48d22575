# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing of the user's is lost: no output is a file of another output, or of somebody else's making."""

import json

import numpy as np
import pytest
from guarded import contents, values, write_tiles
from osgeo import gdal
from rasters import leftovers, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.output_files import (
    IMAGE,
    SEGMENTS,
    VECTOR,
    Output,
    check_files,
    is_attribute_table,
    names_of,
    replaced_files,
)
from tiledseg.tiledseg_plugin.engine.files.tables import Column, write_table
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment


def test_outputs_do_not_go_into_a_folder_that_is_an_input(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    write_tiles(folder / "t.shp", "ESRI Shapefile")
    with pytest.raises(SegmentationError, match="TILES"):
        check_files([Output("OUTPUT", str(folder / "new.tif"), SEGMENTS)], [("TILES", f"{folder}|layername=t")])


COLLISIONS = {
    "tiles and polygons": ({"polygons": "a.gpkg", "s1tiles": "a.gpkg"}, "one name"),
    "tiles in the polygons": (
        {"polygons": "a.gpkg", "s1tiles": "ogr:dbname='{}/a.gpkg' table=\"t\" (geom)"},
        "one name",
    ),
    "tiles without extension": ({"polygons": "a.gpkg", "s1tiles": "a"}, "one name"),
    "mean image": ({"mean_image": "o.tif"}, "one name"),
    "mean image by another path": ({"mean_image": "./x/../o.tif"}, "one name"),
    "polygons and attribute table": ({"polygons": "o_attributes.gpkg"}, "both write"),
    "tiles and attribute table": ({"s1tiles": "o_attributes.gpkg"}, "both write"),
    "tiles and report": ({"s1tiles": "o_report.json"}, "both write"),
    "polygons and report": ({"polygons": "o_report.json"}, "both write"),
    "world files": ({"mean_image": "o.tiff", "creation_options": "TFW=YES"}, "both write"),
    "sides of shapefiles": ({"polygons": "o.shp", "s1tiles": "o.SHP"}, "both write|one name"),
}


@pytest.mark.parametrize("case", COLLISIONS)
def test_outputs_of_one_run_must_not_collide(tmp_path, case):
    outputs, message = COLLISIONS[case]
    (tmp_path / "x").mkdir()
    raster = write_raster(tmp_path / "in.tif", values())
    paths = {name: given.format(tmp_path) if "=" in given else str(tmp_path / given) for name, given in outputs.items()}
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match=message):
        segment(SegmentParameters(raster, str(tmp_path / "o.tif"), execution="serial", **paths), Feedback())
    assert contents(tmp_path) == before


def test_what_is_the_users_is_not_taken_for_a_side_file(tmp_path):
    raster = write_raster(tmp_path / "in.tif", values())
    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    segments = str(tmp_path / "seg.tif")
    segment(SegmentParameters(raster, segments, **quick), Feedback())
    table = tmp_path / "seg_attributes.gpkg"
    segment_statistics(StatisticsParameters(segments, raster, str(table), execution="serial"), Feedback())
    assert not is_attribute_table(str(table))
    segment_statistics(
        StatisticsParameters(segments, raster, statistics=("sum",), update_rat=True, execution="serial"), Feedback()
    )
    dataset = gdal.Open(segments)
    rat = dataset.GetRasterBand(1).GetDefaultRAT()
    assert "sum_1" in [rat.GetNameOfCol(column) for column in range(rat.GetColumnCount())]
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match="seg_attributes.gpkg is in the way of OUTPUT"):
        segment(SegmentParameters(raster, segments, **quick), Feedback())
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "output, kind, stranger",
    [
        ("o.tif", SEGMENTS, "o_report.json"),
        ("o.tif", SEGMENTS, "o_attributes.gpkg"),
        ("o.tif", IMAGE, "o.tif.ovr"),
        ("o.tif", IMAGE, "o.tif.msk"),
        ("o.img", SEGMENTS, "o.ige"),
        ("o.shp", VECTOR, "o.dbf"),
        ("o.shp", VECTOR, "o.prj"),
        ("o.csv", VECTOR, "o.csvt"),
        ("o.gpkg", VECTOR, "o.gpkg-wal"),
        ("o.tab", VECTOR, "o.dat"),
    ],
)
def test_a_strangers_file_is_in_the_way(tmp_path, output, kind, stranger):
    (tmp_path / stranger).write_text('{"mine": 1}')
    with pytest.raises(SegmentationError, match=f"{stranger} is in the way of NAME .*move it, or choose"):
        check_files([Output("NAME", str(tmp_path / output), kind)], [])
    assert (tmp_path / stranger).read_text() == '{"mine": 1}'


def test_strange_files_that_no_run_writes_stay(tmp_path):
    for name in ("o.rrd", "o.tfw", "o_attributes.csv", "o.qix", "o.prj"):
        (tmp_path / name).write_text("mine")
    raster = write_raster(tmp_path / "in.tif", values())
    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    for _ in range(2):
        segment(SegmentParameters(raster, str(tmp_path / "o.img"), **quick), Feedback())
        segment(SegmentParameters(raster, str(tmp_path / "o.tif"), **quick), Feedback())
    for name in ("o.rrd", "o.tfw", "o_attributes.csv", "o.qix", "o.prj"):
        assert (tmp_path / name).read_text() == "mine"


def test_what_belongs_to_an_earlier_output_goes_with_it(tmp_path):
    target = tmp_path / "o.img"
    write_raster(target, values(1), driver="HFA")
    with_overviews = gdal.Open(str(target), gdal.GA_Update)
    gdal.SetConfigOption("HFA_USE_RRD", "YES")
    with_overviews.BuildOverviews("NEAREST", [2])
    gdal.SetConfigOption("HFA_USE_RRD", None)
    del with_overviews
    assert (tmp_path / "o.rrd").exists()
    assert target.with_suffix(".rrd") in replaced_files(Output("OUTPUT", str(target), SEGMENTS))(target)
    table = tmp_path / "t_attributes.gpkg"
    write_table(table, [Column("segment", np.arange(1, 4)), Column("Histogram", np.ones(3))], lambda: None)
    (tmp_path / "t_report.json").write_text(json.dumps({"parameters": {}, "results": {}, "versions": {}}))
    write_raster(tmp_path / "t.tif", values(1))
    (tmp_path / "t.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")
    replaced = replaced_files(Output("OUTPUT", str(tmp_path / "t.tif"), SEGMENTS))(tmp_path / "t.tif")
    assert {path.name for path in replaced} == {"t_attributes.gpkg", "t_report.json", "t.tif.aux.xml"}
    image = replaced_files(Output("MEAN_IMAGE", str(tmp_path / "t.tif"), IMAGE))(tmp_path / "t.tif")
    assert {path.name for path in image} == {"t.tif.aux.xml"}


def test_metadata_that_a_deleted_raster_left_are_no_hindrance(tmp_path):
    (tmp_path / "o.tif.aux.xml").write_text("<PAMDataset>\n</PAMDataset>")
    check_files([Output("OUTPUT", str(tmp_path / "o.tif"), SEGMENTS)], [])


def test_every_file_that_a_run_leaves_was_expected(tmp_path):
    raster = write_raster(tmp_path / "in.tif", values())
    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    for number, (output, image, polygons) in enumerate(
        (("o.tif", "m.tif", "p.gpkg"), ("o.img", "m.img", "p.shp"), ("o.cog.tif", "m.cog.tif", "p.gml"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths = {"mean_image": str(folder / image), "polygons": str(folder / polygons)}
        segment(SegmentParameters(raster, str(folder / output), **quick, **paths), Feedback())
        expected = {
            path.name
            for name, kind in ((output, SEGMENTS), (image, IMAGE), (polygons, VECTOR))
            for path in names_of(Output("x", str(folder / name), kind))
        }
        assert {path.name for path in folder.iterdir()} <= expected


@pytest.mark.parametrize("name", ["n" * 247 + ".tif", "ü" * 120 + ".tif", "n" * 240 + ".tif", "n" * 246 + ".cog.tif"])
def test_a_name_that_leaves_no_room_for_side_files_is_called_too_long(tmp_path, name):
    raster = write_raster(tmp_path / "in.tif", values())
    with pytest.raises(SegmentationError, match="too long for its folder"):
        segment(SegmentParameters(raster, str(tmp_path / name), execution="serial"), Feedback())
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize("blocked", ["o.tif.aux.xml", "o.tif.ovr"])
def test_a_side_file_that_cannot_be_replaced_leaves_output_as_it_was(tmp_path, blocked):
    path = write_raster(tmp_path / "in.tif", np.indices((2, 40, 50)).sum(axis=0).astype(np.uint8))
    (tmp_path / "o.tif").write_bytes(b"before")
    (tmp_path / "o.tif.msk").write_bytes(b"mask before")
    (tmp_path / blocked).mkdir()
    with pytest.raises(SegmentationError, match=f"{blocked} is in the way of OUTPUT"):
        run(path, tmp_path / "o.tif", min_pixels=30)
    assert (tmp_path / "o.tif").read_bytes() == b"before"
    assert (tmp_path / "o.tif.msk").read_bytes() == b"mask before"
    assert not leftovers(tmp_path, {"in.tif", "o.tif", "o.tif.msk", blocked})
