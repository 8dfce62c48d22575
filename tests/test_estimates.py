# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pre-flight says that a run needs is an upper end of what it takes, and at most twice that."""

import sys
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from rasters import run, write_raster
from tiledseg.tiledseg_plugin.engine import execution, resources
from tiledseg.tiledseg_plugin.engine.files import decoded
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.progress import Feedback

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
MEGAPIXELS = 4


@pytest.fixture
def estimates(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import estimates

    return estimates


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory of processes is read from /proc")
@pytest.mark.parametrize("kind", ["usual", "slow blocks"])
def test_estimates_are_upper_ends(estimates, tmp_path, kind):
    found = estimates.compare(MEGAPIXELS, estimates.KINDS[kind], tmp_path / "run")
    assert found.memory <= found.estimated_memory <= 2 * found.memory
    assert found.disk <= found.estimated_disk <= 2 * found.disk


def test_values_that_are_decoded_once_take_room(tmp_path, monkeypatch):
    """In memory, where they are few and the workers share it; else on the disk, if that is worth it."""
    values = np.random.default_rng(1).integers(1, 200, (2, 300, 400)).astype(np.uint16)
    usual = write_raster(tmp_path / "usual.tif", values, 0)
    strips = str(tmp_path / "strips.tif")
    gdal.GetDriverByName("GTiff").CreateCopy(
        strips, gdal.Open(usual), options=["COMPRESS=DEFLATE", "BLOCKYSIZE=300"]
    ).FlushCache()

    def more_of(quantity, execution="auto"):
        """Of the raster in strips than of the usual one."""
        given = {"tile_width": 100, "tile_height": 100, "execution": execution}
        found = [preflight(PreflightParameters(path, **given), Feedback()) for path in (usual, strips)]
        return getattr(found[1], quantity) - getattr(found[0], quantity)

    assert (more_of("disk"), more_of("memory")) == (0, values.nbytes)
    for kind in ("processes", "dask"):
        assert (more_of("disk", kind), more_of("memory", kind)) == (values.nbytes, 0)
    monkeypatch.setattr(decoded, "HELD_BYTES", values.nbytes - 1)
    assert (more_of("disk"), more_of("memory")) == (values.nbytes, 0)


def test_worker_processes_take_memory_of_their_own(tmp_path):
    path = write_raster(tmp_path / "in.tif", np.ones((1, 300, 400), np.uint8), 0)
    memory = {
        execution: preflight(
            PreflightParameters(path, tile_width=100, tile_height=100, workers=3, execution=execution), Feedback()
        ).memory
        for execution in ("auto", "threads", "processes")
    }
    assert memory["auto"] == memory["threads"] < memory["processes"] / 2.5


def test_groups_of_large_rasters_take_more_than_their_tiles():
    """Measured: of 4,000 million pixels of three bands a worker took 0.44 GB, of 1,000 million what a tile takes."""
    group, tile = resources.group_memory(4_000_000_000, 3), resources.worker_memory(2016, 2016, 3, np.uint16)
    assert 0.44e9 < group < 2 * 0.44e9 and resources.group_memory(1_000_000_000, 3) < tile
    assert tile < 0.6e9 and tile > resources.group_memory(256_000_000, 3)


def test_the_memory_of_workers_is_that_of_the_largest_group_where_tiles_are_small(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "in.tif", np.ones((4, 300, 400), np.uint8), 0)
    needed, start = [], execution.start
    monkeypatch.setattr(
        execution, "start", lambda request, raster: needed.append(request.memory) or start(request, raster)
    )
    run(path, tmp_path / "o.tif", tile_width=20, tile_height=20, workers=2)
    group = resources.group_memory(120_000, 4)
    assert needed == [group] and group > resources.worker_memory(36, 36, 4, np.uint8)
    given = PreflightParameters(path, tile_width=20, tile_height=20, workers=2, execution="processes")
    left = 120_000 * resources.LEFT_A_PIXEL  # of all tiles, as processes keep it
    assert preflight(given, Feedback()).memory == resources.main_memory(120_000, 4) + 2 * (group + left)


def test_a_worker_process_keeps_so_much_and_no_more():
    """What tiles have left, up to what is given back; a tile that takes more finds room in it."""
    most = resources.KEPT_BYTES * 11 // 10
    for tile, pixels, expected in ((260, 0, 260), (260, 10, 340), (260, 10**3, most / 1e6), (500, 10**3, 500)):
        found = resources.run_memory(0, 3, tile * 10**6, True, pixels * 10**6)
        assert found == 3 * expected * 10**6
        assert resources.run_memory(0, 3, tile * 10**6, False, pixels * 10**6) < found
