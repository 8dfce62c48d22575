# SPDX-License-Identifier: GPL-2.0-or-later
"""EXTENT: the result is that of the raster cut to it, bit for bit, as GDAL cuts it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasters import GEOTRANSFORM, UTM, Log, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.preview import Previewer, window_in_view
from tiledseg.tiledseg_plugin.engine.stages.polygon_tiles import window_of_extent

gdal = pytest.importorskip("osgeo.gdal")
osr = pytest.importorskip("osgeo.osr")
COLS, ROWS = 150, 110
TILED = ["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"]
ROTATED = (500000.0, 10.0, 2.0, 6000000.0, 3.0, -10.0)
QUICK = {"num_clusters": 7, "min_pixels": 9, "sampling": 3, "execution": "serial"}


def made(path, dtype=np.uint8, **options):
    """A raster with patches, noise, and no data in a corner and a hole."""
    rng = np.random.default_rng(8)
    values = np.kron(rng.integers(1, 200, (3, 11, 15)), np.ones((1, 10, 10), int)) + rng.integers(0, 9, (3, ROWS, COLS))
    values[:, :30, :40] = 0
    values[:, 50:70, 60:90] = 0
    if np.dtype(dtype).kind == "f":
        values = values * 1.1
    return write_raster(path, values.astype(dtype), nodata=0, options=TILED, **options)


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    return made(tmp_path_factory.mktemp("extent") / "in.tif")


def cut_by_gdal(path, extent, target):
    options = {"srcWin": list(extent), "creationOptions": [*TILED, "ALPHA=NO"]}
    assert gdal.Translate(str(target), path, **options) is not None
    return str(target)


def table(path):
    dataset = gdal.Open(str(path))
    found = dataset.GetRasterBand(1).GetDefaultRAT()
    return {found.GetNameOfCol(i): found.ReadAsArray(i).tolist() for i in range(found.GetColumnCount())}


def features(path):
    dataset = gdal.OpenEx(str(path))
    return [feature.ExportToJson() for feature in dataset.GetLayer()]


def place(path):
    dataset = gdal.Open(str(path))
    return dataset.RasterXSize, dataset.RasterYSize, dataset.GetGeoTransform(), dataset.GetProjection()


extents = st.builds(
    lambda col, row, width, height: (col, row, min(width, COLS - col), min(height, ROWS - row)),
    st.integers(0, COLS - 1),
    st.integers(0, ROWS - 1),
    st.integers(1, COLS),
    st.integers(1, ROWS),
)


@given(
    extents, st.sampled_from([16, 17, 50, 999]), st.sampled_from([16, 33, 999]), st.sampled_from(["plain", "compiled"])
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_are_those_of_the_cut_raster_however_it_is_tiled(raster, tmp_path, extent, width, height, kernels):
    way = {**QUICK, "tile_width": width, "tile_height": height, "kernels": kernels}
    cut = cut_by_gdal(raster, extent, tmp_path / "cut.tif")
    try:
        expected, one = run(cut, tmp_path / "a.tif", **{**QUICK, "kernels": "plain"})
    except SegmentationError as refused:
        with pytest.raises(SegmentationError, match="no valid pixel|No pixel|valid"):
            run(raster, tmp_path / "b.tif", extent=extent, **way)
        assert "valid" in str(refused)
        return
    ids, other = run(raster, tmp_path / "b.tif", extent=extent, **way)
    np.testing.assert_array_equal(ids, expected)
    assert (one.segment_count, one.valid_pixels, one.undersized_segments) == (
        other.segment_count, other.valid_pixels, other.undersized_segments)  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("geotransform", [GEOTRANSFORM, ROTATED])
def test_all_outputs_are_those_of_the_cut_raster(tmp_path, dtype, geotransform):
    raster, extent = made(tmp_path / "in.tif", dtype, geotransform=geotransform), (33, 21, 80, 77)
    cut = cut_by_gdal(raster, extent, tmp_path / "cut.tif")
    results = []
    for name, path, part in (("whole", cut, ()), ("part", raster, extent)):
        folder = tmp_path / name
        folder.mkdir()
        outputs = {"mean_image": str(folder / "mean.tif"), "polygons": str(folder / "polygons.gpkg")}
        _, result = run(path, folder / "out.tif", extent=part, tile_width=30, tile_height=40, **outputs, **QUICK)
        results.append(result)
    for name in ("out.tif", "mean.tif"):
        one, other = tmp_path / "whole" / name, tmp_path / "part" / name
        np.testing.assert_array_equal(read(one), read(other))
        assert place(one) == place(other) and place(one)[:2] == (80, 77)
    assert table(tmp_path / "whole" / "out.tif") == table(tmp_path / "part" / "out.tif")
    assert features(tmp_path / "whole" / "polygons.gpkg") == features(tmp_path / "part" / "polygons.gpkg")
    one, other = results
    assert [tile.geometry for tile in one.tiles] == [tile.geometry for tile in other.tiles]
    assert [tile.valid_pixels for tile in one.tiles] == [tile.valid_pixels for tile in other.tiles]


def test_masks_alpha_and_nodata_are_those_of_the_part(tmp_path):
    path = str(tmp_path / "in.tif")
    values = np.random.default_rng(1).integers(1, 250, (4, 60, 70)).astype(np.uint8)
    values[3] = 255
    values[3, 20:40, 10:50] = 0
    write_raster(path, values, options=["PHOTOMETRIC=RGB", "ALPHA=YES"])
    ids, result = run(path, tmp_path / "a.tif", extent=(5, 15, 40, 20), **QUICK)
    np.testing.assert_array_equal(ids > 0, values[3, 15:35, 5:45] > 0)
    assert (
        result.valid_pixels
        == run(path, tmp_path / "b.tif", extent=(5, 15, 40, 20), tile_width=16, **QUICK)[1].valid_pixels
    )


def test_control_points_and_sensor_models_are_those_of_gdals_cut(tmp_path):
    raster, extent = made(tmp_path / "in.tif", geotransform=None, crs=None), (33, 21, 80, 77)
    dataset = gdal.Open(raster, gdal.GA_Update)
    points = [gdal.GCP(x * 10 + y, y * 7, 0, x, y) for x, y in ((0, 0), (150, 0), (150, 110), (0, 110))]
    system = osr.SpatialReference()
    system.ImportFromEPSG(32630)
    dataset.SetGCPs(points, system.ExportToWkt())
    zeros = " ".join(["0"] * 20)
    numbers = {"LINE_OFF": "50", "SAMP_OFF": "60.5", "LINE_SCALE": "50", "SAMP_SCALE": "70", "LAT_OFF": "50"}
    numbers.update(LONG_OFF="9", HEIGHT_OFF="0", LAT_SCALE="1", LONG_SCALE="1", HEIGHT_SCALE="1")
    numbers.update((f"{name}_COEFF", zeros) for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN"))
    dataset.SetMetadata(numbers, "RPC")
    del dataset
    cut = gdal.Open(cut_by_gdal(raster, extent, tmp_path / "cut.tif"))
    run(raster, tmp_path / "out.tif", extent=extent, **QUICK)
    found = gdal.Open(str(tmp_path / "out.tif"))

    def plain(dataset):
        return [(p.GCPX, p.GCPY, p.GCPPixel, p.GCPLine) for p in dataset.GetGCPs()]

    assert plain(found) == plain(cut) and len(plain(cut)) == 4
    for name in ("LINE_OFF", "SAMP_OFF", "LINE_SCALE"):
        assert float(found.GetMetadata("RPC")[name]) == float(cut.GetMetadata("RPC")[name])


def test_the_preflight_and_tiles_of_ones_own_are_of_the_part(raster, tmp_path):
    extent, tiles = (33, 21, 80, 77), ((0, 0, 60, 60), (60, 0, 200, 60), (20, 60, 70, 20))
    cut = cut_by_gdal(raster, extent, tmp_path / "cut.tif")
    moved = tuple((col - 33, row - 21, width, height) for col, row, width, height in tiles)
    for one, other in (({}, {}), ({"tiles": tiles}, {"tiles": moved})):
        log = Log()
        found = preflight(PreflightParameters(input=raster, extent=extent, tile_width=30, **one), log)
        right = preflight(PreflightParameters(input=cut, tile_width=30, **other), Log())
        assert found.records == right.records and found.valid_fraction == right.valid_fraction
        assert f"{raster}: 80 x 77 pixels from column 33, row 21 on, of 150 x 110, bands 1, 2, 3." in log.lines
        assert (found.memory, found.disk) == (right.memory, right.disk)
        ids, _ = run(raster, tmp_path / "a.tif", extent=extent, **one, **QUICK)
        np.testing.assert_array_equal(ids, run(cut, tmp_path / "b.tif", **other, **QUICK)[0])


@pytest.mark.parametrize("execution", ["threads", "processes"])
def test_workers_read_the_part(raster, tmp_path, execution):
    extent = (33, 21, 80, 77)
    expected, _ = run(cut_by_gdal(raster, extent, tmp_path / "cut.tif"), tmp_path / "a.tif", **QUICK)
    way = {**QUICK, "execution": execution, "workers": 2, "tile_width": 30, "kernels": "plain"}
    np.testing.assert_array_equal(run(raster, tmp_path / "b.tif", extent=extent, **way)[0], expected)


def test_an_interrupted_run_of_another_part_is_not_taken_up(raster, tmp_path):
    work = {"work_dir": str(tmp_path / "work"), "tile_width": 20, **QUICK}
    with pytest.raises(Cancelled):
        run(raster, tmp_path / "out.tif", Log(cancel_at=60), extent=(0, 0, 100, 90), **work)
    for other in ((), (1, 0, 100, 90)):
        with pytest.raises(SegmentationError, match="EXTENT: .* there, .* now"):
            run(raster, tmp_path / "out.tif", extent=other, **work)
    expected, _ = run(raster, tmp_path / "a.tif", extent=(0, 0, 100, 90), **QUICK)
    ids, _ = run(raster, tmp_path / "out.tif", extent=(0, 0, 100, 90), **work)
    np.testing.assert_array_equal(ids, expected)


def test_the_preview_is_of_the_part(raster, tmp_path):
    extent = (33, 21, 80, 77)
    given = {"num_clusters": 7, "min_pixels": 9, "sampling": 3, "workers": 1}
    view = (GEOTRANSFORM[0] + 100, GEOTRANSFORM[3] - 1000, GEOTRANSFORM[0] + 900, GEOTRANSFORM[3] - 300)
    cut = cut_by_gdal(raster, extent, tmp_path / "cut.tif")
    shown = []
    for path, part in ((raster, extent), (cut, ())):
        previewer, parameters = Previewer(), SegmentParameters(input=path, output="", extent=part, **given)
        previewer.prepare(parameters, Log())
        window, is_cut = window_in_view(path, view, part=part)
        shown.append(previewer.show(parameters, window, Log()))
        assert not is_cut
    assert shown[0].window == shown[1].window == Window(0, 9, 57, 68)
    np.testing.assert_array_equal(shown[0].ids, shown[1].ids)
    assert shown[0].lines == shown[1].lines
    assert window_in_view(raster, view, part=(120, 21, 20, 20)) == (None, False)


def test_edges_go_to_the_nearest_edge_of_a_pixel(raster):
    left, top = GEOTRANSFORM[0], GEOTRANSFORM[3]
    system = osr.SpatialReference()
    system.SetFromUserInput(UTM)
    wkt = system.ExportToWkt()

    def window(*pixels):
        first_col, first_row, end_col, end_row = pixels
        return window_of_extent(
            raster, (left + 10 * first_col, top - 10 * end_row, left + 10 * end_col, top - 10 * first_row), wkt
        )

    assert window(5, 7, 20, 30) == Window(5, 7, 15, 23)
    assert window(5.49, 7.51, 20.49, 30.51) == Window(5, 8, 15, 23)
    assert window(-100, -100, 1000, 1000) == Window(0, 0, COLS, ROWS)
    assert window(149.2, 0, 500, 1) == Window(149, 0, 1, 1)
    for off in ((-20, 0, -1, 10), (200, 0, 300, 10), (5.2, 5, 5.4, 9), (0, 200, 10, 300)):
        with pytest.raises(SegmentationError, match="EXTENT does not lie over"):
            window(*off)
    for nothing in (
        (5, 5, 5, 9),
        (5, 5, 9, 5),
        (9, 5, 3, 9),
        (5, 9, 9, 5),
        (float("nan"), 0, 1, 1),
        (0, 0, float("inf"), 1),
    ):
        with pytest.raises(SegmentationError, match="EXTENT .* holds nothing"):
            window(*nothing)


def test_another_coordinate_system_is_reprojected(raster):
    def wkt(code):
        system = osr.SpatialReference()
        system.ImportFromEPSG(code)
        return system.ExportToWkt()

    utm, degrees = osr.SpatialReference(wkt=wkt(32630)), osr.SpatialReference(wkt=wkt(4326))
    for system in (utm, degrees):
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    west, south, east, north = 500300.0, 5999300.0, 500900.0, 5999800.0
    corners = [
        osr.CoordinateTransformation(utm, degrees).TransformPoint(x, y)[:2]
        for x in (west, east)
        for y in (south, north)
    ]
    longitudes, latitudes = zip(*corners)
    extent = (min(longitudes), min(latitudes), max(longitudes), max(latitudes))
    found = window_of_extent(raster, extent, wkt(4326))
    assert (
        abs(found.col - 30) <= 1
        and abs(found.row - 20) <= 1
        and abs(found.width - 60) <= 2
        and abs(found.height - 50) <= 2
    )
    assert window_of_extent(raster, (-180, -90, 180, 90), wkt(4326)) == Window(0, 0, COLS, ROWS)
    with pytest.raises(SegmentationError, match="EXTENT does not lie over"):
        window_of_extent(raster, (20, 10, 21, 11), wkt(4326))


def test_a_part_can_be_of_a_raster_of_more_pixels_than_32_bits_count(tmp_path):
    path = str(tmp_path / "huge.vrt")
    Path(path).write_text(
        '<VRTDataset rasterXSize="80000" rasterYSize="80000"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    assert describe(path).window == Window(0, 0, 80000, 80000)
    endless = tmp_path / "endless.vrt"
    endless.write_text(Path(path).read_text().replace("80000", "2147483647"))
    with pytest.raises(SegmentationError, match="2147483647 x 2147483647 pixels, more than .* give an EXTENT"):
        describe(str(endless))
    assert describe(path, extent=(70000, 70000, 100, 50)).window == Window(0, 0, 100, 50)
    with pytest.raises(SegmentationError, match="EXTENT does not lie over"):
        describe(path, extent=(80000, 0, 10, 10))


@pytest.mark.qgis
@pytest.mark.parametrize("kind", ["text", "text without a system", "rectangle", "referenced", "layer", "degrees"])
def test_algorithms_take_what_qgis_takes(plugin, raster, tmp_path, kind):
    import processing
    from qgis.core import (
        QgsCoordinateReferenceSystem,
        QgsCoordinateTransform,
        QgsProject,
        QgsRectangle,
        QgsReferencedRectangle,
    )

    utm, degrees = QgsCoordinateReferenceSystem("EPSG:32630"), QgsCoordinateReferenceSystem("EPSG:4326")
    rectangle = QgsRectangle(500330, 5999020, 501130, 5999790)
    if kind == "layer":
        cut_by_gdal(raster, (33, 21, 80, 77), tmp_path / "cut.tif")
    bent = QgsCoordinateTransform(utm, degrees, QgsProject.instance()).transformBoundingBox(rectangle)
    given = {
        "text": "500330,501130,5999020,5999790 [EPSG:32630]",
        "text without a system": "500330,501130,5999020,5999790",
        "rectangle": rectangle,
        "referenced": QgsReferencedRectangle(rectangle, utm),
        "layer": str(tmp_path / "cut.tif"),
        "degrees": QgsReferencedRectangle(bent, degrees),
    }[kind]
    common = {"INPUT": raster, "EXTENT": given}
    result = processing.run("tiledseg:segment", {**common, "NUM_CLUSTERS": 5, "OUTPUT": str(tmp_path / "out.tif")})
    width, height, transform, _ = place(tmp_path / "out.tif")
    room = 3 if kind == "degrees" else 0
    assert abs(width - 80) <= room and abs(height - 77) <= room
    assert abs(transform[0] - 500330) <= 10 * room and abs(transform[3] - 5999790) <= 10 * room
    checked = processing.run("tiledseg:preflight", {**common, "OUTPUT": "TEMPORARY_OUTPUT"})
    assert checked["VALID_FRACTION"] * width * height == pytest.approx(result["VALID_PIXELS"])


@pytest.mark.qgis
@pytest.mark.parametrize(
    "given", ["somewhere", "1,2,3", "500330,501130,5999020 [EPSG:32630]", "1,2,3,4 [EPSG:32630]", 5]
)
@pytest.mark.parametrize("algorithm", ["segment", "preflight"])
def test_algorithms_refuse_other_extents_in_one_sentence(plugin, raster, tmp_path, given, algorithm):
    import processing
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException, match="EXTENT") as refused:
        processing.run(f"tiledseg:{algorithm}", {"INPUT": raster, "EXTENT": given, "OUTPUT": str(tmp_path / "o.gpkg")})
    assert len(str(refused.value).splitlines()) <= 2
    assert not list(tmp_path.iterdir())


@pytest.mark.command
def test_the_command_line_takes_it(qgis_process, raster, tmp_path):
    output = tmp_path / "out.tif"
    finished = qgis_process("--json", "run", "tiledseg:segment", "--", f"INPUT={raster}", f"OUTPUT={output}",
                            "EXTENT=500330,501130,5999020,5999790 [EPSG:32630]", "NUM_CLUSTERS=5")  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["results"]["SEGMENT_COUNT"] > 0
    assert place(output)[:2] == (80, 77)


def test_a_part_of_a_resampled_raster_does_not_depend_on_tiles(raster, tmp_path):
    """Values depend on the windows that are read, so these are of a fixed grid, here of the part's."""
    path, extent = str(tmp_path / "coarse.vrt"), (13, 9, 60, 50)
    assert gdal.Translate(path, raster, format="VRT", width=113, height=77, resampleAlg="bilinear") is not None
    assert describe(path, extent=extent).resampled
    expected, _ = run(path, tmp_path / "a.tif", extent=extent, **QUICK)
    assert expected.shape == (50, 60) and expected.max() > 5
    for width, height in ((16, 16), (33, 50)):
        ids, _ = run(path, tmp_path / "b.tif", extent=extent, tile_width=width, tile_height=height, **QUICK)
        np.testing.assert_array_equal(ids, expected)
