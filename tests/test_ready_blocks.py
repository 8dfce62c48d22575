# SPDX-License-Identifier: GPL-2.0-or-later
"""A GeoTIFF put together of blocks that were compressed elsewhere is the one that GDAL writes."""

import numpy as np
import pytest
from osgeo import gdal
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine import execution
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution.serial import Serial
from tiledseg.tiledseg_plugin.engine.files import attribute_table, ready_blocks
from tiledseg.tiledseg_plugin.engine.files.creation_options import creation_options
from tiledseg.tiledseg_plugin.engine.files.gdal_access import configured
from tiledseg.tiledseg_plugin.engine.files.overviews import GrowingOverviews, overview_levels
from tiledseg.tiledseg_plugin.engine.files.publish import attributes_path
from tiledseg.tiledseg_plugin.engine.files.ready_blocks import ReadyTiff, levels_of, make_ready, ready_windows
from tiledseg.tiledseg_plugin.engine.files.verification import _blocks_lie_within
from tiledseg.tiledseg_plugin.engine.stages import ready


@pytest.mark.parametrize(
    "width, height, given",
    [
        (300, 200, ""),
        (1, 1, ""),
        (2048, 4096, "COMPRESS=NONE"),
        (4500, 2100, "COMPRESS=LZW|BIGTIFF=YES"),
        (2100, 2049, "COMPRESS=PACKBITS|BLOCKXSIZE=1024|BLOCKYSIZE=1024"),
        (1000, 900, "BIGTIFF=YES|PREDICTOR=1|ZLEVEL=9"),
    ],
)
def test_blocks_in_any_order_make_the_raster_and_its_overviews(tmp_path, monkeypatch, width, height, given):
    monkeypatch.setattr(ready_blocks, "WIDTH", 2048)
    rng = np.random.default_rng(width)
    ids = rng.integers(0, 2**32, (height // 7 + 1, width // 9 + 1), np.uint32).repeat(7, 0).repeat(9, 1)
    ids = np.ascontiguousarray(ids[:height, :width])
    path = str(tmp_path / "a.tif")
    assert ready_blocks.fits(given)
    with configured(ready_blocks.WITHOUT_BLOCKS):
        options = [*creation_options("GTiff", given, 1), "SPARSE_OK=TRUE"]
        dataset = gdal.GetDriverByName("GTiff").Create(path, width, height, 1, gdal.GDT_UInt32, options)
        GrowingOverviews(dataset, 1)
        dataset = None
    tiff = ReadyTiff(path, width, height)
    windows = ready_windows(width, height)
    for index in rng.permutation(len(windows)):
        window, levels = windows[index], levels_of(width, height)
        tiff.add(
            window, make_ready(ids[window.within(ready_blocks.Window(0, 0, width, height))], window, levels, given)
        )
    tiff.close()
    dataset = gdal.Open(path)
    band, levels = dataset.GetRasterBand(1), overview_levels(width, height)
    assert np.array_equal(band.ReadAsArray(), ids) and band.GetOverviewCount() == len(levels)
    for index, level in enumerate(levels):
        assert np.array_equal(band.GetOverview(index).ReadAsArray(), ids[::level, ::level])
        assert _blocks_lie_within(band.GetOverview(index), (tmp_path / "a.tif").stat().st_size, gaps=False)
    assert _blocks_lie_within(band, (tmp_path / "a.tif").stat().st_size, gaps=False)


@pytest.mark.parametrize("given", ["TILED=NO", "BLOCKXSIZE=48|BLOCKYSIZE=48", "ENDIANNESS=BIG"])
def test_what_does_not_fit_is_known(given):
    assert not ready_blocks.fits(given)


class Elsewhere(Serial):
    """An execution whose workers are on other machines, or say so."""

    remote = True


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.setattr(execution, "Serial", Elsewhere)


@pytest.fixture
def scene(data, tmp_path_factory):
    """Large enough for two overviews."""
    values = gdal.Open(str(data / "synthetic_full.tif")).ReadAsArray()
    return write_raster(tmp_path_factory.mktemp("in") / "in.tif", np.tile(values, (1, 3, 3))[:, :520, :610], 0)


def rows(path):
    dataset = gdal.OpenEx(path, gdal.OF_VECTOR)
    layer = dataset.GetLayer(0)
    return layer.GetName(), [tuple(feature.items().items()) for feature in layer]


@pytest.mark.parametrize(
    "name, given, beside",
    [
        ("o.tif", "", False),
        ("o.tif", "", True),
        ("o.tif", "TILED=NO", True),
        ("o.img", "", False),
        ("o.cog.tif", "", True),
    ],
)
def test_a_run_on_other_machines_writes_what_any_other_does(
    scene, tmp_path, monkeypatch, elsewhere, name, given, beside
):
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10 if beside else 10**9)
    settings = {"execution": "threads", "min_pixels": 50, "creation_options": given, "num_clusters": 12}
    (tmp_path / "here").mkdir()
    expected, _ = run(scene, tmp_path / "here" / name, **settings)
    settings["execution"] = "serial"
    made = []
    make = ready.make_ready
    monkeypatch.setattr(ready, "make_ready", lambda *arguments: made.append(1) or make(*arguments))
    ids, _ = run(scene, tmp_path / name, **settings)
    assert bool(made) == (name == "o.tif" and not given)
    assert np.array_equal(ids, expected)
    one, other = gdal.Open(str(tmp_path / "here" / name)), gdal.Open(str(tmp_path / name))
    bands = [dataset.GetRasterBand(1) for dataset in (one, other)]
    assert len({str(sorted(band.GetMetadata().items())) + band.GetDescription() for band in bands}) == 1
    assert bands[0].GetOverviewCount() == bands[1].GetOverviewCount()
    for index in range(bands[0].GetOverviewCount()):
        assert np.array_equal(*(band.GetOverview(index).ReadAsArray() for band in bands))
    assert bands[0].GetOverviewCount() == (1 if "cog" in name else 2)
    if beside and name.endswith(".tif"):
        assert rows(attributes_path(str(tmp_path / "here" / name))) == rows(attributes_path(str(tmp_path / name)))
    else:
        tables = [band.GetDefaultRAT() for band in bands]
        for column in range(tables[0].GetColumnCount()):
            assert np.array_equal(*(table.ReadAsArray(column) for table in tables))
    assert not list(tmp_path.glob("tiledseg-*"))


def test_a_full_disk_is_said_in_one_sentence(data, tmp_path, monkeypatch, elsewhere):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ReadyTiff, "add", full)
    with pytest.raises(SegmentationError, match="OUTPUT cannot be written .*No space left.*: make room on its disk"):
        run(data / "synthetic_full.tif", tmp_path / "o.tif", Log(), execution="serial")
    assert not list(tmp_path.iterdir())
