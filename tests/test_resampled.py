# SPDX-License-Identifier: GPL-2.0-or-later
"""Rasters whose values depend on the window that is read: everything is made of the same values, whatever the tiles."""

import numpy as np
import pytest
from osgeo import gdal
from rasters import read, run, write_raster
from test_attributes import table_of
from test_statistics import check, statistics
from tiledseg.tiledseg_plugin.engine.files import reading
from tiledseg.tiledseg_plugin.engine.files.decoded import Cells
from tiledseg.tiledseg_plugin.engine.files.gdal_access import open_raster
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.files.reading import read_validity, read_window
from tiledseg.tiledseg_plugin.engine.files.resampling import depends_on_windows
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.preview import Previewer
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import MeanImageParameters, segment_mean_image
from tiledseg.tiledseg_plugin.engine.progress import Feedback

SIZE = (230, 190)  # of the virtual raster, columns and rows
QUICK = {"sampling": 1, "min_pixels": 15, "num_clusters": 12}


def fine(path, dtype):
    """What lies behind: of other pixels than the virtual raster, with noise, so that windows show."""
    rng = np.random.default_rng(6)
    coarse = np.kron(rng.integers(20, 220, (2, 20, 25)), np.ones((1, 20, 20), int))
    values = coarse + rng.integers(-15, 15, coarse.shape)
    values[:, 100:160, 200:300] = 0
    return write_raster(path, values.astype(dtype), nodata=0)


def virtual(path, source, kind, taken, options="", dtype="UInt16", mask=False):
    """A virtual raster of two bands that takes a rectangle of its source."""
    col, row, width, height = taken
    bands = ""
    for number in (1, 2):
        bands += (
            f'<VRTRasterBand dataType="{dtype}" band="{number}"><NoDataValue>0</NoDataValue><{kind} {options}>'
            f'<SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>{number}</SourceBand>'
            f'<SrcRect xOff="{col}" yOff="{row}" xSize="{width}" ySize="{height}"/>'
            f'<DstRect xOff="0" yOff="0" xSize="{SIZE[0]}" ySize="{SIZE[1]}"/></{kind}></VRTRasterBand>'
        )
    reference = "<GeoTransform>500000, 10, 0, 6000000, 0, -10</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="{SIZE[0]}" rasterYSize="{SIZE[1]}">{reference}{bands}</VRTDataset>')
    return str(path)


def averaged(tmp_path, dtype=np.uint16):
    name = {np.uint8: "Byte", np.uint16: "UInt16", np.float32: "Float32"}[dtype]
    source = fine(tmp_path / "fine.tif", dtype)
    return virtual(tmp_path / "in.vrt", source, "AveragedSource", (3.3, 1.7, 490.1, 391.3), dtype=name)


def nested(tmp_path):
    averaged(tmp_path)
    gdal.BuildVRT(str(tmp_path / "outer.vrt"), [str(tmp_path / "in.vrt")]).FlushCache()
    return str(tmp_path / "outer.vrt")


def doubled(tmp_path):
    source = fine(tmp_path / "fine.tif", np.uint16)
    return virtual(tmp_path / "in.vrt", source, "SimpleSource", (20.5, 11.25, 107, 91))


KINDS = {
    "averaged": averaged,
    "averaged bytes": lambda path: averaged(path, np.uint8),
    "averaged floats": lambda path: averaged(path, np.float32),
    "in another one": nested,
    "nearest of larger pixels": doubled,
    "bilinear": lambda path: virtual(
        path / "in.vrt",
        fine(path / "fine.tif", np.uint16),
        "SimpleSource",
        (0.5, 0.25, 431.7, 377.9),
        'resampling="average"',
    ),
}


@pytest.fixture
def small_cells(monkeypatch):
    """Several cells a raster."""
    from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

    monkeypatch.setattr(reading, "CELL_PIXELS", 128 * 128)
    monkeypatch.setattr(survey, "BLOCK_PIXELS", 128 * 128)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cells", ["one cell", "several cells"])
def test_segments_and_all_products_are_of_the_same_values_whatever_the_tiles(tmp_path, request, kind, cells):
    if cells == "several cells":
        request.getfixturevalue("small_cells")
    path = KINDS[kind](tmp_path)
    found = []
    for index, (width, height, kernels) in enumerate(((999, 999, "auto"), (64, 64, "auto"), (37, 100, "plain"))):
        output, image = tmp_path / f"o{index}.img", tmp_path / f"m{index}.tif"
        options = {"tile_width": width, "tile_height": height, "kernels": kernels, "mean_image": str(image), **QUICK}
        ids, _ = run(path, output, **options)
        found.append((ids, read(image), table_of(output)[0]))
    ids, image, columns = found[0]
    assert ids.max() > 20
    for other_ids, other_image, other_columns in found[1:]:
        assert np.array_equal(other_ids, ids)
        assert np.array_equal(other_image, image, equal_nan=True)
        assert all(np.array_equal(other_columns[name], columns[name]) for name in columns)
    table = statistics(tmp_path / "o0.img", path, tmp_path / "t.csv", statistics=("mean", "min", "max", "std"))
    for name in ("mean_1", "min_1", "max_2", "std_2"):
        np.testing.assert_allclose(table[name], columns[name][1:], rtol=1e-6, atol=1e-9)
    parameters = MeanImageParameters(str(tmp_path / "o0.img"), path, str(tmp_path / "again.tif"))
    segment_mean_image(parameters, Feedback())
    np.testing.assert_allclose(read(tmp_path / "again.tif"), image, rtol=1e-6)
    if cells == "one cell":  # then the values are those of the raster read as a whole
        values = read(path)
        check(statistics(tmp_path / "o0.img", path, tmp_path / "t.csv"), ids, values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pixel_has_one_value_and_validity_in_every_window(tmp_path, small_cells, kind):
    path = KINDS[kind](tmp_path)
    raster, dataset = describe(path), open_raster(path)
    assert raster.resampled
    values, valid = read_window(dataset, raster, raster.window)
    cells, rng = Cells(), np.random.default_rng(1)
    for _ in range(30):
        col, row = int(rng.integers(0, SIZE[0] - 1)), int(rng.integers(0, SIZE[1] - 1))
        window = Window(col, row, int(rng.integers(1, SIZE[0] - col)), int(rng.integers(1, SIZE[1] - row)))
        part, part_valid = read_window(dataset, raster, window, cells=cells if rng.random() < 0.5 else None)
        place = window.within(raster.window)
        np.testing.assert_array_equal(part, values[(slice(None), *place)])
        np.testing.assert_array_equal(part_valid, valid[place])
        np.testing.assert_array_equal(read_validity(dataset, raster, window)["any"], valid[place])
        part[:] = 0  # what is handed out is nobody else's


def test_preflight_and_preview_see_what_the_run_sees(tmp_path, small_cells):
    path = averaged(tmp_path)
    ids, result = run(path, tmp_path / "o.tif", tile_width=50, tile_height=64, **QUICK)
    counted = preflight(PreflightParameters(input=path, tile_width=50, tile_height=64), Feedback())
    assert [record.valid_pixels for record in counted.records] == [tile.valid_pixels for tile in result.tiles]
    parameters = SegmentParameters(input=path, output="", **QUICK)
    previewer = Previewer()
    previewer.prepare(parameters, Feedback())
    found = previewer.show(parameters, Window(0, 0, *SIZE), Feedback()).ids
    pairs = set(zip(ids.ravel().tolist(), found.ravel().tolist()))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def test_only_what_is_resampled_is_read_in_cells(tmp_path):
    source = fine(tmp_path / "fine.tif", np.uint16)
    gdal.BuildVRT(str(tmp_path / "mosaic.vrt"), [source]).FlushCache()
    gdal.Translate(str(tmp_path / "part.vrt"), source, format="VRT", srcWin=[20, 30, *SIZE])
    gdal.Translate(str(tmp_path / "half.vrt"), source, format="VRT", width=100, height=100)
    gdal.Warp(str(tmp_path / "warped.vrt"), source, format="VRT", dstSRS="EPSG:4326")
    gdal.Translate(str(tmp_path / "part.of.half.vrt"), str(tmp_path / "half.vrt"), format="VRT", srcWin=[0, 0, 50, 50])
    whole = {"fine.tif": False, "mosaic.vrt": False, "part.vrt": False}
    for name, expected in {**whole, "half.vrt": True, "warped.vrt": True, "part.of.half.vrt": True}.items():
        assert depends_on_windows(open_raster(str(tmp_path / name))) == expected, name
    for kind, taken, expected in (
        ("SimpleSource", (7, 9, *SIZE), False),
        ("SimpleSource", (7.5, 9, *SIZE), True),
        ("ComplexSource", (7, 9, *SIZE), False),
        ("AveragedSource", (7, 9, *SIZE), True),
    ):
        path = virtual(tmp_path / "v.vrt", source, kind, taken)
        assert depends_on_windows(open_raster(path)) == expected


def test_segments_that_are_resampled_are_read_alike_everywhere(tmp_path, small_cells):
    """Of larger pixels, as a raster of segments made at another resolution."""
    rng = np.random.default_rng(2)
    coarse = np.kron(rng.integers(1, 999, (2, 20, 25)), np.ones((1, 10, 10), int)).astype(np.uint16)
    segments = virtual(
        tmp_path / "s.vrt", write_raster(tmp_path / "s.tif", coarse, 0), "SimpleSource", (3.4, 2.6, 153.3, 126.7)
    )
    values = write_raster(tmp_path / "v.tif", rng.integers(0, 200, (2, SIZE[1], SIZE[0])).astype(np.uint8), crs=None)
    statistics(segments, values, tmp_path / "t.csv", statistics=("mean", "count"))
    segment_mean_image(MeanImageParameters(segments, values, str(tmp_path / "m.tif")), Feedback())
    raster = describe(segments, (1,))
    ids, _ = read_window(open_raster(segments), raster, raster.window)
    check(statistics(segments, values, tmp_path / "t.csv"), ids[0], read(values))
    means = np.bincount(ids[0].ravel(), read(values)[0].ravel()) / np.maximum(np.bincount(ids[0].ravel()), 1)
    np.testing.assert_allclose(read(tmp_path / "m.tif")[0], means[ids[0]], rtol=1e-6)
