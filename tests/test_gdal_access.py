# SPDX-License-Identifier: GPL-2.0-or-later
"""GDAL as other plugins in the same process have set it: it is so afterwards, and meanwhile in their threads."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from osgeo import gdal, ogr, osr
from rasters import write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.gdal_access import collected_errors, configured, modest_cache, open_raster

NOWHERE = "/vsimem/tiledseg-nothing.tif"
MODULES = (gdal, ogr, osr)


@pytest.fixture(params=[modules for count in range(4) for modules in itertools.permutations(MODULES, count)])
def raising(request):
    """The modules that raise, in the order in which they were set to."""
    for module in request.param:
        module.UseExceptions()
    yield request.param
    for module in reversed(MODULES if gdal.VersionInfo() >= "3070000" else request.param):
        module.DontUseExceptions()


def state():
    return [bool(module.GetUseExceptions()) for module in MODULES]


def fail_in_all():
    """A failure of each module: what of it raises."""
    raised = []
    for module, fails in (
        (gdal, lambda: gdal.Open(NOWHERE)),
        (ogr, lambda: ogr.CreateGeometryFromWkt("POLYGON((")),
        (osr, lambda: osr.SpatialReference().SetFromUserInput("EPSG:nothing")),
    ):
        try:
            fails()
        except RuntimeError:
            raised.append(module)
    return raised


def test_nothing_raises_within_the_block_nor_at_its_end(raising):
    before = state()
    with collected_errors() as messages:
        assert fail_in_all() == []
        with collected_errors() as inner:
            gdal.Open(NOWHERE)
        assert gdal.Open(NOWHERE) is None
    assert state() == before
    assert len(inner) == 1
    assert len(messages) == 4 and messages[0] == messages[3] == inner[0]


def test_an_exception_of_ours_passes_through(raising):
    before = state()
    with pytest.raises(KeyError), collected_errors():
        gdal.Open(NOWHERE)
        raise KeyError("ours")
    with pytest.raises(SegmentationError, match=f"{NOWHERE} cannot be opened"):
        open_raster(NOWHERE)
    assert state() == before


def test_threads_at_once_leave_everything_as_it_was(raising, tmp_path):
    before = state()
    path = write_raster(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))

    def work(number):
        for _ in range(50):
            with collected_errors() as messages:
                gdal.Open(f"{NOWHERE}{number}")
            assert len(messages) == 1
            assert open_raster(path).RasterXSize == 4

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert state() == before


@pytest.mark.skipif(not hasattr(gdal, "_SetExceptionsLocal"), reason="this GDAL's modules raise in all threads or none")
def test_another_thread_keeps_its_exceptions(raising):
    with ThreadPoolExecutor(1) as pool:
        expected = pool.submit(fail_in_all).result()
        with collected_errors():
            assert pool.submit(fail_in_all).result() == expected
    assert bool(expected) == bool(raising)


def test_options_count_for_this_thread_and_this_block():
    name = "TILEDSEG_TEST_OPTION"
    with ThreadPoolExecutor(1) as pool, configured({name: "outer"}):
        with configured({name: "inner"}):
            assert gdal.GetConfigOption(name) == "inner"
            assert pool.submit(gdal.GetConfigOption, name).result() is None
        assert gdal.GetConfigOption(name) == "outer"
    assert gdal.GetConfigOption(name) is None


def test_the_cache_is_emptied_and_stays_as_large(tmp_path):
    path = write_raster(tmp_path / "values.tif", np.ones((1, 64, 64), np.uint8))
    dataset = gdal.Open(str(path))
    before = gdal.GetCacheMax()
    with modest_cache:
        most = gdal.GetCacheMax()

        def empty(number):
            for _ in range(20):
                modest_cache.empty()
                with modest_cache:
                    pass

        dataset.ReadAsArray()
        assert gdal.GetCacheUsed() >= 64 * 64
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(empty, range(4)))
        assert gdal.GetCacheUsed() == 0
        assert gdal.GetCacheMax() == most
        assert dataset.ReadAsArray().all()
    assert gdal.GetCacheMax() == before
