# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that lost a part after it was closed, as GDAL 3.10 and later leave it on a full disk, is no output."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import leftovers, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import attribute_table, tables
from tiledseg.tiledseg_plugin.engine.files.verification import Samples, verify_features, verify_raster
from tiledseg.tiledseg_plugin.engine.files.window import Window
from tiledseg.tiledseg_plugin.engine.products import looked_up, polygons, run_outputs, segment_statistics
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback

QUICK = {"sampling": 3, "min_pixels": 5, "num_clusters": 8, "execution": "serial"}
PARTS = (1, 2, 8, 100, 512, 4096, 0.05, 0.2, 0.5, 0.8, 0.99, 1.0)  # bytes, or shares of the file, cut off its end


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Large enough for overviews and for many blocks; a part of it is empty."""
    rng = np.random.default_rng(1)
    values = np.kron(rng.integers(1, 250, (3, 50, 60)), np.ones((1, 12, 12), int)).astype(np.uint8)
    values[:, 330:, :300] = 0
    return write_raster(tmp_path_factory.mktemp("scene") / "in.tif", values)


def cut(path, part):
    size = os.path.getsize(path)
    os.truncate(path, max(size - (int(size * part) if isinstance(part, float) else part), 0))


@pytest.fixture(scope="module")
def written(tmp_path_factory, scene):
    """What runs write, as it is when it is verified: {name: (copy of it, verify function)}."""
    folder, kept = tmp_path_factory.mktemp("written"), {}

    def keeping(module, name):
        verify = getattr(module, name)

        def keep(path, *arguments, **named):
            staged, copy = Path(path), folder / "copies" / Path(path).name
            copy.parent.mkdir(exist_ok=True)
            for part in staged.parent.glob(f"{staged.stem}.*"):
                shutil.copy(part, copy.parent)
            kept[copy.name] = copy, lambda changed: verify(str(changed), *arguments, **named)
            return verify(path, *arguments, **named)

        patch.setattr(module, name, keep)

    with pytest.MonkeyPatch.context() as patch:
        for module in (run_outputs, looked_up):
            keeping(module, "verify_raster")
        for module, name in ((polygons, "verify_features"), (tables, "verify_features"), (tables, "verify_text_table")):
            keeping(module, name)
        for extension, outlines in (("tif", "gpkg"), ("cog.tif", "fgb"), ("img", "shp")):
            mean, traced = folder / f"m.{extension}", folder / f"p.{outlines}"
            run(scene, folder / f"o.{extension}", mean_image=str(mean), polygons=str(traced), **QUICK)
        for outlines in ("geojson", "gml"):
            run(scene, folder / "o.tif", polygons=str(folder / f"p.{outlines}"), **QUICK)
        for extension in ("gpkg", "csv", "parquet"):
            if extension != "parquet" or gdal.GetDriverByName("Parquet") is not None:
                table = str(folder / f"t.{extension}")
                parameters = StatisticsParameters(str(folder / "o.tif"), scene, table, execution="serial")
                segment_statistics.segment_statistics(parameters, Feedback())
    return kept


def refused_when_cut(written, folder, name, part, suffix=None):
    copy, verify = written[name]
    for file in copy.parent.glob(f"{copy.stem}.*"):
        shutil.copy(file, folder)
    changed = folder / name
    verify(changed)
    cut(changed.with_suffix(suffix) if suffix else changed, part)
    with pytest.raises(SegmentationError, match="not on the disk as it was written") as raised:
        verify(changed)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ["o.tif", "o.cog.tif", "o.img", "m.tif", "m.cog.tif", "m.img"])
def test_rasters_that_lost_their_end(tmp_path, written, name, part):
    refused_when_cut(written, tmp_path, name, part)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".shp", ".shx", ".dbf", ".geojson", ".gml"])
def test_polygons_that_lost_their_end(tmp_path, written, suffix, part):
    if part == 1 and suffix in (".geojson", ".gml", ".dbf"):
        pytest.skip("what ends a line or a file is no loss")
    if suffix in (".shp", ".shx", ".dbf"):
        refused_when_cut(written, tmp_path, "p.shp", part, suffix)
    else:
        refused_when_cut(written, tmp_path, f"p{suffix}", part)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("extension", ["gpkg", "csv", "parquet"])
def test_tables_that_lost_their_end(tmp_path, written, extension, part):
    if f"t.{extension}" not in written:
        pytest.skip("this GDAL has no Parquet driver")
    refused_when_cut(written, tmp_path, f"t.{extension}", part)


def cutting(monkeypatch, module, name):
    """Cut a file in half between closing it and verifying it."""
    verify = getattr(module, name)

    def verify_less(path, *arguments, **named):
        cut(path, 0.5)
        return verify(path, *arguments, **named)

    monkeypatch.setattr(module, name, verify_less)


def is_refused(work, folder, allowed):
    with pytest.raises(SegmentationError, match="not on the disk as it was written") as raised:
        work()
    assert "\n" not in str(raised.value)
    assert not leftovers(folder, allowed)


@pytest.mark.parametrize(
    "module, function, outputs",
    [
        (run_outputs, "verify_raster", {}),
        (looked_up, "verify_raster", {"mean_image": "m.img"}),
        (polygons, "verify_features", {"polygons": "p.shp"}),
    ],
)
@pytest.mark.parametrize("extension", ["tif", "cog.tif", "img"])
def test_a_run_whose_file_lost_its_end_leaves_nothing(
    tmp_path, scene, monkeypatch, module, function, outputs, extension
):
    cutting(monkeypatch, module, function)
    given = {name: str(tmp_path / path) for name, path in outputs.items()}
    is_refused(lambda: run(scene, tmp_path / f"o.{extension}", **given, **QUICK), tmp_path, set())


@pytest.mark.parametrize("extension", ["gpkg", "csv"])
def test_a_table_that_lost_its_end_leaves_what_was_there(tmp_path, scene, monkeypatch, extension):
    run(scene, tmp_path / "s.tif", **QUICK)
    (tmp_path / f"t.{extension}").write_text("before")
    kept = {path.name for path in tmp_path.iterdir()}
    cutting(monkeypatch, tables, "verify_text_table" if extension == "csv" else "verify_features")
    table = str(tmp_path / f"t.{extension}")
    parameters = StatisticsParameters(str(tmp_path / "s.tif"), scene, table, execution="serial")
    is_refused(lambda: segment_statistics.segment_statistics(parameters, Feedback()), tmp_path, kept)
    assert (tmp_path / f"t.{extension}").read_text() == "before"


def test_a_table_beside_output_that_lost_its_end(tmp_path, scene, monkeypatch):
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    cutting(monkeypatch, tables, "verify_features")
    is_refused(lambda: run(scene, tmp_path / "o.tif", **QUICK), tmp_path, set())


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """A GeoTIFF of 3 x 3 blocks with its samples, as if written window by window, and another with its own values."""
    folder = tmp_path_factory.mktemp("blocks")
    ids = np.random.default_rng(3).integers(1, 2**32, (1500, 1500)).astype(np.uint32)
    samples = Samples()
    for row in range(0, 1500, 512):
        samples.add(Window(0, row, 1500, min(512, 1500 - row)), [ids[row : row + 512]])
    options = ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "COMPRESS=DEFLATE"]
    write_raster(folder / "a.tif", ids[None], options=options)
    return folder / "a.tif", ids, samples, options


def test_a_block_that_is_nowhere_or_holds_other_values(tmp_path, blocks):
    path, ids, samples, options = blocks
    verify_raster(str(path), samples, 0, False)
    for col, row in ((0, 0), (1, 1), (2, 2)):
        gaps = gdal.GetDriverByName("GTiff").Create(
            str(tmp_path / "gaps.tif"), 1500, 1500, 1, gdal.GDT_UInt32, [*options, "SPARSE_OK=YES"]
        )
        for y in range(3):
            for x in range(3):
                if (x, y) != (col, row):
                    part = ids[y * 512 : (y + 1) * 512, x * 512 : (x + 1) * 512]
                    gaps.GetRasterBand(1).WriteArray(part, x * 512, y * 512)
        del gaps
        with pytest.raises(SegmentationError, match="a part is missing"):
            verify_raster(str(tmp_path / "gaps.tif"), Samples(), 0, False)
        verify_raster(str(tmp_path / "gaps.tif"), Samples(), 0, True)
    with pytest.raises(SegmentationError, match="on the disk"):
        verify_raster(str(path), samples, 1, False)  # an overview is missing
    other = ids.copy()
    other[-1, -1] -= 1
    write_raster(tmp_path / "other.tif", other[None], options=options)
    with pytest.raises(SegmentationError, match="on the disk"):
        verify_raster(str(tmp_path / "other.tif"), samples, 0, False)


def test_values_that_gdals_threads_could_not_write_are_noticed(tmp_path, scene, monkeypatch):
    """The errors of compression threads do not reach the thread that waits: OUTPUT was 0 everywhere."""
    monkeypatch.setattr(run_outputs, "check_creation_options", lambda *arguments: None)
    for options in ("COMPRESS=JPEG|NUM_THREADS=2", "COMPRESS=WEBP|NUM_THREADS=2"):
        with pytest.raises(SegmentationError):
            run(scene, tmp_path / "o.tif", creation_options=options, **QUICK)
        assert not leftovers(tmp_path, set())


def test_rounded_means_are_compared_for_where_they_are(tmp_path):
    values = np.random.default_rng(0).random((600, 600)).astype(np.float32)
    values[:50] = np.nan
    samples, rounded = Samples(), Samples(exact=False)
    for sample in (samples, rounded):
        sample.add(Window(0, 0, 600, 600), [values])
    path = write_raster(tmp_path / "a.tif", values[None] + np.float32(0.01))
    assert rounded.agree(gdal.Open(path)) and not samples.agree(gdal.Open(path))
    assert not rounded.agree(gdal.Open(write_raster(tmp_path / "b.tif", np.nan_to_num(values)[None])))


def test_features_are_counted(tmp_path):
    dataset = ogr.GetDriverByName("GPKG").CreateDataSource(str(tmp_path / "a.gpkg"))
    layer = dataset.CreateLayer("a", geom_type=ogr.wkbNone)
    for _ in range(3):
        layer.CreateFeature(ogr.Feature(layer.GetLayerDefn()))
    del layer, dataset
    verify_features(str(tmp_path / "a.gpkg"), 3)
    for count in (2, 4):
        with pytest.raises(SegmentationError):
            verify_features(str(tmp_path / "a.gpkg"), count)


@pytest.mark.parametrize("extension", ["tif", "cog.tif", "img"])
def test_whole_files_pass_with_empty_parts_and_all_sizes(tmp_path, extension):
    rng = np.random.default_rng(5)
    for width, height in ((16, 16), (511, 700), (1300, 513), (4100, 20)):
        values = np.kron(rng.integers(1, 250, (1, height // 9 + 1, width // 9 + 1)), np.ones((1, 9, 9), int))
        values = values[:, :height, :width].astype(np.uint8)
        values[:, : height // 2] = 0
        path = write_raster(tmp_path / "in.tif", values)
        ids, _ = run(path, tmp_path / f"o.{extension}", mean_image=str(tmp_path / f"m.{extension}"), **QUICK)
        assert np.array_equal(ids > 0, values[0] > 0)
        assert np.array_equal(np.isfinite(read(tmp_path / f"m.{extension}")), ids > 0)
    shutil.rmtree(tmp_path)
