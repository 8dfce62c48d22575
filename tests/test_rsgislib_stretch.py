# SPDX-License-Identifier: GPL-2.0-or-later
"""RSGISLIB_STRETCH: from the raw image on, every stage is RSGISLib's own, in tiles as well as without."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_kernels import OwnKernels
from rasters import Log, read, run, write_raster
from tiledseg.tiledseg_plugin.engine import kernels
from tiledseg.tiledseg_plugin.engine import rsgislib as rsgislib_engine
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.gdal_access import open_raster
from tiledseg.tiledseg_plugin.engine.files.reading import read_window
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.preview import find_basis
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.rsgislib import run as stages_of_rsgislib
from tiledseg.tiledseg_plugin.engine.rsgislib.availability import Availability
from tiledseg.tiledseg_plugin.engine.stages import rsgislib_stretch
from tiledseg.tiledseg_plugin.engine.stages import statistics as survey

DATA = Path(__file__).parent / "data"
SHARED = {
    "sen2_aber_b8_b9_b3": "sen2_20210527_aber_10band.tif",
    "naip_maryland": "naip_maryland_4band_uint8.tif",
    "landsat7_bahamas": "landsat7_bahamas_rgb_uint8.tif",
}
OURS = ("synthetic_full", "synthetic_holes", "synthetic_oneband")
TILES = [(9999, 9999), (200, 117)]


@pytest.fixture(params=[*OURS, *SHARED])
def reference(request):
    """(raster, RSGISLib's stages, parameters of the run that they are of)."""
    if request.param in OURS:
        raster, stages = DATA / f"{request.param}.tif", DATA / f"{request.param}.npz"
    else:
        shared = request.getfixturevalue("shared")
        raster, stages = shared / "data" / SHARED[request.param], shared / "reference" / f"{request.param}.npz"
        if not (raster.is_file() and stages.is_file()):
            pytest.skip(f"{raster} or {stages} is not here")
    with np.load(stages) as arrays:
        stages = dict(arrays)
    parameters = json.loads(str(stages.pop("parameters")))
    count = len(stages["stretched"])
    return raster, stages, {**parameters, "bands": tuple(parameters["bands"] or range(1, count + 1))}


def test_stretch_and_centres_are_those_of_rsgislib(reference):
    raster, stages, parameters = reference
    chosen = SegmentParameters(input=str(raster), output="", rsgislib_stretch=True, **parameters)
    basis = find_basis(chosen, Feedback())
    for ours, theirs in zip(zip(basis.colours.low, basis.colours.high), stages["stretch_stats"]):
        assert [float(f"{limit:.6g}") for limit in ours] == [float(limit) for limit in theirs[1:3]]
    values, valid = read_window(open_raster(str(raster)), basis.raster, basis.raster.window)
    for name in ("plain", "compiled"):
        kernel, _ = kernels.choose(name) if name == "plain" else kernels.choose("auto")
        stretched = basis.colours.compared(values, valid, kernel)
        assert np.count_nonzero(stretched != stages["stretched"]) == 0
        clusters = kernel.nearest_centre(stretched, valid, basis.centres)
        assert np.count_nonzero(clusters != stages["clusters"]) == 0
    assert np.array_equal(basis.centres, stages["centres"])


@pytest.mark.parametrize("tile", TILES)
def test_segments_from_the_raw_image_are_those_of_rsgislib(reference, tmp_path, tile):
    raster, stages, parameters = reference
    size = {"tile_width": tile[0], "tile_height": tile[1]}
    ids, result = run(raster, tmp_path / "out.tif", rsgislib_stretch=True, workers=2, **size, **parameters)
    assert np.count_nonzero(ids != stages["clumps"]) == 0
    assert result.segment_count == stages["clumps"].max()
    report = json.loads(Path(result.report).read_text(encoding="utf-8"))
    assert report["parameters"]["rsgislib_stretch"] is True
    assert report["colours"]["low"][0] == pytest.approx(stages["stretch_stats"][0][1].astype(float), rel=1e-5)


def script(values, valid):
    """The stretch of RSGISLib's script written down once more, pixel after pixel in plain numbers."""
    seen = np.where(valid, values, 0).astype(np.float32).astype(np.float64)
    stretched = np.zeros(values.shape, np.uint8)
    for band, out in zip(seen, stretched):
        counted = band[band != 1]
        if not counted.size:
            out[:] = 1
        else:
            mean, deviation = counted.mean(), np.sqrt(np.square(counted - counted.mean()).mean())
            low, high = max(mean - 2 * deviation, counted.min()), min(mean + 2 * deviation, counted.max())
            for place in np.ndindex(band.shape):
                value = band[place]
                if value == 1 or value < low or low == high:
                    became = 0
                elif value > high:
                    became = 255
                else:
                    became = (value - low) / (high - low) * 255 or 1
                out[place] = min(int(np.floor(became + 0.5)) + 1, 255)
        out[seen[0] == 0] = 0
    return stretched


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["u1", "u2", "i2", "u4", "i4", "f4", "f8"]),
    bands=st.integers(1, 4),
    most=st.sampled_from([1, 2, 3, 9, 200]),
    nodata=st.sampled_from([None, 0, 7]),
    rule=st.sampled_from(["any", "all"]),
    block=st.sampled_from([100, 1 << 20]),
)
def test_stretch_is_that_of_the_script_on_any_raster(seed, dtype, bands, most, nodata, rule, block, scratch):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, most + 1, (bands, 23, 19)).astype(dtype)
    declared = np.ones(values.shape[1:], bool)
    if nodata is not None:
        missing = values == nodata
        declared = ~(missing.any(axis=0) if rule == "any" else missing.all(axis=0))
    plain = nodata in (None, 0) and np.dtype(dtype).kind in "iu"
    if plain:
        declared[:] = True
    elif nodata is None:
        declared = values.any(axis=0)
    path = write_raster(scratch / "in.tif", values, nodata)
    parameters = SegmentParameters(
        input=path, output="", rsgislib_stretch=True, num_clusters=2, sampling=1, nodata_rule=rule
    )
    expected = script(values, declared)
    before, survey.BLOCK_PIXELS = survey.BLOCK_PIXELS, block
    try:
        basis = find_basis(parameters, Feedback())
    except SegmentationError as error:
        assert "no valid pixel" in str(error)
        assert not expected.any()
        return
    finally:
        survey.BLOCK_PIXELS = before
    found, valid = read_window(open_raster(path), basis.raster, basis.raster.window)
    stretched = basis.colours.compared(found, valid, kernels.choose("plain")[0])
    assert np.array_equal(valid, expected[0] != 0)
    # limits that are not whole numbers are sums in another order, which can turn a value that lies just between two
    assert np.abs(stretched.astype(int) - expected).max() <= (np.dtype(dtype).itemsize > 2)
    assert (stretched != expected).mean() < 0.02


@pytest.mark.parametrize("declared", ["nothing", "a value"])
def test_what_is_no_data_is_said_in_the_log(tmp_path, declared):
    values = np.random.default_rng(1).integers(0, 60, (2, 40, 40)).astype(np.uint16)
    values[:, :5] = 0 if declared == "nothing" else 999
    path, log = write_raster(tmp_path / "in.tif", values, None if declared == "nothing" else 999), Log()
    ids, _ = run(path, tmp_path / "out.tif", log, rsgislib_stretch=True, bands=(2, 1), sampling=1, num_clusters=5)
    assert np.array_equal(ids != 0, (values[1] != 0) & (values != 999).all(axis=0))
    assert any("pixels that are 0 in band 2 are no data" in line for line in log.lines)


def test_values_of_zero_in_other_bands_count_in_the_attributes(tmp_path):
    values = np.full((2, 30, 30), 9, np.float32)
    values[1, :, ::2] = 0
    path = write_raster(tmp_path / "in.tif", values)
    run(path, tmp_path / "out.tif", rsgislib_stretch=True, num_clusters=2, mean_image=str(tmp_path / "mean.tif"))
    assert np.allclose(read(tmp_path / "mean.tif")[1].mean(), 4.5)


def test_tiles_of_the_other_engine_are_stretched_so_too(tmp_path, monkeypatch):
    monkeypatch.setattr(rsgislib_engine, "require", lambda: Availability("5", False, ""))
    seen = []

    class Remembering(OwnKernels):
        def with_centres(self, compared, valid, centres, folder):
            seen.append(compared[:, valid])
            return super().with_centres(compared, valid, centres, folder)

    monkeypatch.setattr(stages_of_rsgislib, "segmenter_for", lambda parameters: Remembering(5, 100.0))
    values = np.random.default_rng(1).integers(0, 60, (2, 64, 64)).astype(np.uint8)
    path = write_raster(tmp_path / "in.tif", values)
    way = {"engine": "rsgislib", "execution": "serial", "tile_width": 32, "tile_height": 32, "num_clusters": 5}
    ids, _ = run(path, tmp_path / "out.tif", rsgislib_stretch=True, **way)
    assert np.array_equal(ids != 0, values[0] != 0)
    stretched = script(values, np.ones((64, 64), bool))
    first = np.concatenate(seen[:4], axis=1)
    assert np.array_equal(
        np.bincount(first[1], minlength=256), np.bincount(stretched[1][values[0] != 0], minlength=256)
    )


@pytest.mark.parametrize("other", [{"stretch": False}, {"engine": "rsgislib", "per_tile_statistics": True}])
def test_it_is_refused_where_it_makes_no_sense(other):
    with pytest.raises(SegmentationError, match="RSGISLIB_STRETCH"):
        SegmentParameters("in.tif", "out.tif", rsgislib_stretch=True, **other).check()


def test_values_that_float32_cannot_hold_are_refused(tmp_path):
    values = np.random.default_rng(1).normal(0, 1e300, (1, 30, 30))
    with pytest.raises(SegmentationError, match="switch RSGISLIB_STRETCH off"):
        run(write_raster(tmp_path / "in.tif", values), tmp_path / "out.tif", rsgislib_stretch=True)


def test_one_value_only_becomes_one_as_in_rsgislib():
    values = np.array([[1, 5], [5, 0]])
    assert rsgislib_stretch.stretch(values, 5.0, 5.0).tolist() == [[1, 1], [1, 1]]
    assert rsgislib_stretch.stretch(values, 0.0, 5.0).tolist() == [[1, 255], [255, 2]]
