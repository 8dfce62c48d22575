# SPDX-License-Identifier: GPL-2.0-or-later
"""The example data: the same picture everywhere, and nobody's file in its place."""

import os
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

gdal = pytest.importorskip("osgeo.gdal")
from rasters import Log, leftovers  # noqa: E402
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError  # noqa: E402
from tiledseg.tiledseg_plugin.engine.example import landscape, scene  # noqa: E402
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters  # noqa: E402
from tiledseg.tiledseg_plugin.engine.preflight import preflight  # noqa: E402

PICTURE = 1927389002  # CRC-32 of the pixels, by any numpy on any machine


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The example's file and its pixels."""
    path = str(tmp_path_factory.mktemp("example") / "example.tif")
    scene.write_example(path, Log())
    return path, gdal.Open(path).ReadAsArray()


@pytest.fixture
def quick(monkeypatch, drawn):
    """Drawing that takes no time."""
    monkeypatch.setattr(scene, "draw", lambda: drawn[1])


def test_every_machine_draws_the_same_picture(drawn):
    _, values = drawn
    assert (values.shape, values.dtype) == ((4, 1200, 1500), np.uint16)
    assert zlib.crc32(values.astype("<u2").tobytes()) == PICTURE


def test_bands_have_names_colours_statistics_and_no_data(drawn):
    path, values = drawn
    dataset = gdal.Open(path)
    bands = [dataset.GetRasterBand(number) for number in range(1, 5)]
    assert [band.GetDescription() for band in bands] == ["blue", "green", "red", "near infrared"]
    assert [band.GetColorInterpretation() for band in bands[:3]] == [
        gdal.GCI_BlueBand,
        gdal.GCI_GreenBand,
        gdal.GCI_RedBand,
    ]
    assert {band.GetNoDataValue() for band in bands} == {0}
    assert bands[3].GetStatistics(False, False)[:2] == [values[3][values[3] > 0].min(), values[3].max()]
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32632"
    assert dataset.GetGeoTransform()[1::4] == (10, -10)
    assert (values > 0).all(axis=0).sum() == (values > 0).any(axis=0).sum()


def test_there_is_land_water_and_a_slanted_edge(drawn):
    _, values = drawn
    blue, green, red, infrared = values.astype(float)
    valid = blue > 0
    ndvi = (infrared - red) / np.maximum(infrared + red, 1)
    assert 0.75 < valid.mean() < 0.9
    assert 0.01 < (ndvi[valid] < 0).mean() < 0.08 and (ndvi[valid] > 0.6).mean() > 0.4  # water; what grows
    first = valid.argmax(axis=1)
    assert np.all(np.diff(first) <= 0) and first[0] - first[-1] > 150
    right, down = np.abs(np.diff(infrared, axis=1)), np.abs(np.diff(infrared, axis=0))
    inside = valid[:, 1:] & valid[:, :-1]
    assert np.median(right[inside]) > 20 and np.percentile(right[inside], 98) > 500  # noise, and edges
    assert down.shape == (1199, 1500)


def test_the_preflight_has_something_to_show(drawn):
    result = preflight(PreflightParameters(input=drawn[0], tile_width=200, tile_height=200), Log())
    assert result.empty_tiles > 0 and result.sparse_tiles > 2 and result.tile_count == 48


@pytest.mark.parametrize("end", ["", ".aux.xml", ".ovr", ".msk"])
def test_no_file_is_replaced(quick, tmp_path, end):
    path = str(tmp_path / "mine.tif")
    Path(path + end).write_text("mine")
    with pytest.raises(SegmentationError, match="is there already"):
        scene.write_example(path, Log())
    assert os.listdir(tmp_path) == ["mine.tif" + end]
    assert Path(path + end).read_text() == "mine"


def test_no_file_is_replaced_that_appears_meanwhile(monkeypatch, drawn, tmp_path):
    path = tmp_path / "mine.tif"

    def draw():
        path.write_text("mine")
        return drawn[1]

    monkeypatch.setattr(scene, "draw", draw)
    with pytest.raises(SegmentationError, match="is there already"):
        scene.write_example(str(path), Log())
    assert path.read_text() == "mine" and leftovers(tmp_path, ["mine.tif"]) == []


@pytest.mark.parametrize("name", ["scene.img", "scene", "scene.tif.gz"])
def test_only_a_geotiff_is_made(quick, tmp_path, name):
    with pytest.raises(SegmentationError, match=r"ends in \.tif"):
        scene.write_example(str(tmp_path / name), Log())
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written_leaves_nothing(quick, tmp_path, monkeypatch):
    with pytest.raises(SegmentationError, match="cannot be written to"):
        scene.write_example(str(tmp_path / "missing" / "scene.tif"), Log())
    monkeypatch.setattr(scene.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SegmentationError, match="No space left"):
        scene.write_example(str(tmp_path / "scene.tif"), Log())
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_the_example_is_known_again(drawn, tmp_path):
    other = str(tmp_path / "other.tif")
    gdal.Translate(other, drawn[0], srcWin=[0, 0, 10, 10])
    assert scene.is_example(drawn[0]) and not scene.is_example(other) and not scene.is_example(str(tmp_path / "no.tif"))


def test_noise_is_noise_and_hills_are_smooth():
    one, other = landscape.speckle(1, (300, 300))
    assert abs(one.mean()) < 0.01 and abs(one.std() - 1) < 0.01
    for first, second in ((one, other), (one[:, 1:], one[:, :-1]), (one[1:], one[:-1]), (one[1:, 1:], one[:-1, :-1])):
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02
    hills = landscape.fractal(1, (200, 300), 50, 4)
    assert hills.min() >= 0 and hills.max() <= 1 and np.abs(np.diff(hills, axis=0)).max() < 0.12


@pytest.mark.qgis
def test_algorithm_makes_it_and_refuses_to_replace(quick, plugin, tmp_path):
    import processing
    from qgis.core import QgsProcessingException

    output = str(tmp_path / "größe.tif")
    assert processing.run("tiledseg:example", {"OUTPUT": output}) == {"OUTPUT": output}
    assert scene.is_example(output)
    before = os.stat(output)
    with pytest.raises(QgsProcessingException, match="is there already"):
        processing.run("tiledseg:example", {"OUTPUT": output})
    assert os.stat(output) == before
    temporary = processing.run("tiledseg:example", {"OUTPUT": "TEMPORARY_OUTPUT"})["OUTPUT"]
    assert scene.is_example(temporary)


def test_demo_draws_it_where_nothing_can_be_downloaded(monkeypatch, tmp_path, capsys):
    import demo

    def no_network():
        raise subprocess.CalledProcessError(1, ["pip", "download"])

    class Process:
        def __call__(self, *arguments):
            self.asked = arguments
            return type("Finished", (), {"returncode": 0, "stderr": ""})

    process = Process()
    monkeypatch.setattr(demo, "aerial_image", no_network)
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    raster, given = demo.image(process)
    assert (raster, given) == (tmp_path / "example.tif", [])
    assert process.asked == ("run", "tiledseg:example", "--", f"OUTPUT={raster}")
    assert "draws a scene of its own" in capsys.readouterr().out
