# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that other programs have open while a run replaces them: readers go on, writers are told, nobody waits."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import attribute_table
from tiledseg.tiledseg_plugin.engine.products import update_geopackage
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from time_limit import no_test_hangs  # noqa: F401

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses to replace open files, see test_kept.py")
QUICK = {"num_clusters": 5, "sampling": 3, "tile_width": 40, "kernels": "plain", "execution": "serial"}

READER = """
import hashlib, json, sys
from osgeo import gdal
held = [gdal.Open(path) for path in sys.argv[1:3]]
vector = gdal.OpenEx(sys.argv[3], gdal.OF_VECTOR)
layer = vector.GetLayer(0)
layer.GetNextFeature()
tops = [dataset.ReadAsArray(0, 0, 60, 8) is not None for dataset in held]
print("ready", flush=True)
sys.stdin.readline()
sums = [hashlib.sha256(dataset.ReadAsArray().tobytes()).hexdigest() for dataset in held]
layer.ResetReading()
print(json.dumps([sums, sum(1 for _ in layer)]))
"""


@pytest.fixture
def raster(tmp_path):
    rng = np.random.default_rng(2)
    values = np.kron(rng.integers(20, 230, (2, 6, 9)), np.ones((1, 10, 10), int)) + rng.integers(0, 30, (2, 60, 90))
    return write_raster(tmp_path / "in.tif", values.astype(np.uint8))


def go(raster, folder, min_pixels):
    outputs = {"mean_image": str(folder / "m.img"), "polygons": str(folder / "p.gpkg")}
    return run(raster, folder / "o.tif", min_pixels=min_pixels, **outputs, **QUICK)[0]


def rows_of(path):
    dataset = ogr.Open(str(path))
    return dataset.GetLayer(0).GetFeatureCount()


def sums(*paths):
    return [hashlib.sha256(read(path).tobytes()).hexdigest() for path in paths]


@posix
def test_who_reads_the_earlier_outputs_in_another_process_reads_them_to_their_end(tmp_path, raster):
    go(raster, tmp_path, 15)
    paths = [tmp_path / name for name in ("o.tif", "m.img", "p.gpkg")]
    before, count = sums(*paths[:2]), rows_of(paths[2])
    command = [sys.executable, "-c", READER, *map(str, paths)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "ready\n"
        ids = go(raster, tmp_path, 5)
        said, _ = reader.communicate("\n", timeout=60)
    found, rows = json.loads(said)
    assert found == before and rows == count
    assert sums(*paths[:2]) != before
    assert np.array_equal(ids, run(raster, tmp_path / "expected.tif", min_pixels=5, **QUICK)[0])
    assert rows_of(paths[2]) == int(ids.max()) > count
    assert not list(tmp_path.glob(".tiledseg-*"))


@posix
def test_a_layer_that_somebody_edits_is_replaced_with_its_journal(tmp_path, raster):
    go(raster, tmp_path, 15)
    with closing(sqlite3.connect(tmp_path / "p.gpkg", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE gpkg_contents SET description = 'edited'")
        assert (tmp_path / "p.gpkg-journal").exists()
        ids = go(raster, tmp_path, 5)
        other.execute("ROLLBACK")
    assert rows_of(tmp_path / "p.gpkg") == int(ids.max())
    assert not (tmp_path / "p.gpkg-journal").exists()


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN " + sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@pytest.mark.parametrize("lock", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_table_beside_segments_that_is_locked_is_said_in_seconds(tmp_path, raster, monkeypatch, lock):
    """Python's `backup` by itself waits for a lock for ever."""
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    monkeypatch.setattr(update_geopackage, "LOCKED_SECONDS", 0.5)
    run(raster, tmp_path / "o.tif", min_pixels=15, **QUICK)
    table = tmp_path / "o_attributes.gpkg"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    parameters = StatisticsParameters(
        str(tmp_path / "o.tif"), raster, statistics=("median",), update_rat=True, execution="serial", kernels="plain"
    )
    command = [sys.executable, "-c", HOLDER, str(table), lock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "ready\n"
        begun = time.monotonic()
        if lock == "EXCLUSIVE":  # nobody else may read it
            with pytest.raises(SegmentationError, match="o_attributes.gpkg, .* is locked: close it in other"):
                segment_statistics(parameters, Feedback())
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                update_geopackage._copy(str(table), str(tmp_path / "copy.gpkg"))
            (tmp_path / "copy.gpkg").unlink()
            assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        else:
            segment_statistics(parameters, Feedback())
        assert time.monotonic() - begun < 20
        holder.communicate("\n", timeout=60)
    segment_statistics(parameters, Feedback())
    with closing(sqlite3.connect(table)) as found:
        assert "median_1" in [row[1] for row in found.execute("PRAGMA table_info(o_attributes)")]
    assert not list(Path(tmp_path).glob(".tiledseg-*"))


def test_an_input_that_somebody_else_holds_open_for_writing_is_read(tmp_path, raster):
    other = gdal.Open(raster, gdal.GA_Update)
    before = Path(raster).read_bytes()
    ids = go(raster, tmp_path, 5)
    assert ids.max() > 1 and Path(raster).read_bytes() == before
    del other
