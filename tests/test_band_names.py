# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of bands go where people read them; the names of columns stay as they are published."""

import numpy as np
import pytest
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.products import segment_polygons as products
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.stages.rsgislib_stretch import as_rsgislib_sees

gdal = pytest.importorskip("osgeo.gdal")
ogr = pytest.importorskip("osgeo.ogr")
NAMES = ["B2 blue", "", 'Größe "x";\n  y', "B2 blue"]  # without one, odd, twice
QUICK = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A raster of four bands with such names."""
    path = str(tmp_path_factory.mktemp("named") / "named.tif")
    values = np.kron(np.random.default_rng(4).integers(1, 250, (4, 5, 6)), np.ones((1, 7, 7), int)).astype(np.uint8)
    write_raster(path, values, nodata=0)
    dataset = gdal.Open(path, gdal.GA_Update)
    for number, name in enumerate(NAMES, 1):
        dataset.GetRasterBand(number).SetDescription(name)
    del dataset
    return path


def aliases(path):
    """{field: what people are shown}."""
    dataset = ogr.Open(path)
    definition = dataset.GetLayer().GetLayerDefn()
    fields = [definition.GetFieldDefn(index) for index in range(definition.GetFieldCount())]
    return {field.GetName(): field.GetAlternativeName() for field in fields}


@pytest.fixture(scope="module", autouse=True)
def are_held(tmp_path_factory):
    """Whether this GDAL keeps aliases in a GeoPackage; that of Debian 12 (3.6) does not."""
    path = str(tmp_path_factory.mktemp("aliases") / "a.gpkg")
    dataset = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    field = ogr.FieldDefn("a", ogr.OFTReal)
    field.SetAlternativeName("b")
    dataset.CreateLayer("a", geom_type=ogr.wkbNone).CreateField(field)
    del dataset
    expected.held = aliases(path)["a"] == "b"
    assert expected.held or int(gdal.VersionInfo()) < 3070000
    return expected.held


def expected(statistics, bands=(1, 2, 3, 4)):
    shown = {1: "B2 blue", 2: "", 3: 'Größe "x"; y', 4: "B2 blue"} if expected.held else dict.fromkeys(bands, "")
    return {f"{s}_{b}": f"{s} of band {b}, {shown[b]}" if shown[b] else "" for b in bands for s in statistics}


def test_a_band_knows_its_name(named):
    assert describe(named).names == ["B2 blue", "", 'Größe "x"; y', "B2 blue"]


@pytest.mark.parametrize("end", [".gpkg", ".shp", ".geojson", ".fgb"])
def test_fields_of_polygons_have_them_as_aliases_in_a_geopackage(named, tmp_path, end):
    polygons = str(tmp_path / f"polygons{end}")
    run(named, tmp_path / "out.tif", polygons=polygons, **QUICK)
    found = aliases(polygons)
    wanted = expected(("mean", "min", "max", "std"))
    assert set(wanted) <= set(found)
    assert {name: found[name] for name in wanted} == (wanted if end == ".gpkg" else dict.fromkeys(wanted, ""))


def test_mean_images_have_them_as_descriptions(named, tmp_path):
    for end in (".tif", ".img", ".cog.tif"):
        image = str(tmp_path / f"mean{end}")
        run(named, tmp_path / f"out{end}", bands=(3, 1), mean_image=image, **QUICK)
        dataset = gdal.Open(image)
        assert [dataset.GetRasterBand(number).GetDescription() for number in (1, 2)] == ['Größe "x"; y', "B2 blue"]


def test_products_of_existing_segments_have_them(named, tmp_path):
    segments = str(tmp_path / "out.tif")
    run(named, segments, **QUICK)
    table, polygons, image = (str(tmp_path / name) for name in ("table.gpkg", "polygons.gpkg", "mean.tif"))
    common = {"segments": segments, "values": named, "bands": (4, 1)}
    statistics = ("mean", "median", "count")
    segment_statistics(StatisticsParameters(output=table, statistics=statistics, **common), Log())
    wanted = expected(statistics, (4, 1))
    assert {name: alias for name, alias in aliases(table).items() if name in wanted} == wanted
    products.segment_polygons(products.PolygonsParameters(output=polygons, **common), Log())
    assert aliases(polygons)["mean_4"] == expected(["mean"])["mean_4"]
    products.segment_mean_image(products.MeanImageParameters(output=image, **common), Log())
    dataset = gdal.Open(image)
    assert dataset.GetRasterBand(1).GetDescription() == "B2 blue"


def test_a_table_beside_a_geotiff_has_them(named, tmp_path, monkeypatch):
    from tiledseg.tiledseg_plugin.engine.files import attribute_table

    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 1)
    run(named, tmp_path / "out.tif", **QUICK)
    assert aliases(str(tmp_path / "out_attributes.gpkg"))["std_3"] == expected(["std"])["std_3"]


@pytest.mark.qgis
def test_qgis_shows_them(plugin, named, tmp_path, are_held):
    from qgis.core import QgsVectorLayer

    polygons = str(tmp_path / "polygons.gpkg")
    run(named, tmp_path / "out.tif", polygons=polygons, **QUICK)
    layer = QgsVectorLayer(polygons, "polygons")
    index = layer.fields().lookupField("mean_1")
    assert layer.attributeDisplayName(index) == ("mean of band 1, B2 blue" if are_held else "mean_1")
    assert layer.fields().at(index).name() == "mean_1"


@pytest.mark.qgis
def test_the_panel_names_fields_whatever_the_file_holds(plugin, named, tmp_path):
    from qgis.core import QgsRasterLayer, QgsVectorLayer
    from tiledseg.tiledseg_plugin.desktop.style_by import name_bands

    polygons = str(tmp_path / "polygons.gpkg")
    run(named, tmp_path / "out.tif", polygons=polygons, **QUICK)
    layer = QgsVectorLayer(polygons, "polygons")
    name_bands([layer], QgsRasterLayer(named, "raster"))
    shown = [layer.attributeDisplayName(layer.fields().lookupField(name)) for name in ("mean_1", "std_4", "segment")]
    assert shown[0] == "mean of band 1, B2 blue" and shown[1].startswith("std of band 4, ") and shown[2] == "segment"


def test_the_stretch_of_rsgislib_changes_nothing_else_about_a_band(tmp_path):
    """Scale, offset and name stay; what is reported of the values has them applied."""
    path = write_raster(tmp_path / "in.tif", np.full((1, 9, 9), 7, np.uint8), nodata=0)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(1).SetScale(0.5)
    dataset.GetRasterBand(1).SetOffset(3)
    dataset.GetRasterBand(1).SetDescription("red")
    del dataset
    (band,) = as_rsgislib_sees(describe(path)).bands
    assert (band.scale, band.offset, band.name, band.nodata) == (0.5, 3.0, "red", None)
