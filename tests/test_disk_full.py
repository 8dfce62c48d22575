# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that fills up while a product is written: one sentence, and what was there before is still there."""

import signal
from contextlib import contextmanager

import numpy as np
import pytest
from rasters import leftovers, run, write_raster
from test_attributes import table_of, two_band_scene
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import attribute_table
from tiledseg.tiledseg_plugin.engine.files.outputs import create_like
from tiledseg.tiledseg_plugin.engine.files.work_folder import WorkFolder
from tiledseg.tiledseg_plugin.engine.kernels import plain
from tiledseg.tiledseg_plugin.engine.products import (
    looked_up,
    segment_polygons,
    segment_statistics,
    update_table,
)
from tiledseg.tiledseg_plugin.engine.products import (
    run_outputs as products,
)
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.stages import ready

resource = pytest.importorskip("resource", reason="file sizes cannot be limited here")
LIMIT = 6000  # bytes of any file
WRITERS = {  # of a work folder, by the way in which each hands its bytes over
    "npz": lambda folder, array: folder.save("graph-0000001", values=array),
    "rows": lambda folder, array: folder.save_rows("stage1-0000001", array[None]),
    "labels": lambda folder, array: folder.save_labels("labels-0000001", array.astype(np.uint32)[None], plain),
    "array": lambda folder, array: folder.save_array("pixels-0000001", array),
    "column": lambda folder, array: folder.save_column("pixels-0000001", array),
}


@contextmanager
def small_files(limit=LIMIT):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True)
def no_signal():
    """A write beyond the limit fails, no more; only the main thread may say so."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGXFSZ, handler)


def limit(monkeypatch, module, name):
    """Let a function of a module find a full disk."""
    function = getattr(module, name)

    def limited(*arguments, **named):
        with small_files():
            return function(*arguments, **named)

    monkeypatch.setattr(module, name, limited)


@pytest.fixture
def scene(tmp_path):
    rng = np.random.default_rng(1)
    values = np.kron(rng.integers(0, 250, (3, 40, 40)), np.ones((1, 12, 12), int)).astype(np.uint8)
    return write_raster(tmp_path / "in.tif", values, options=["COMPRESS=DEFLATE"])


@pytest.mark.parametrize(
    "function, extension",
    [
        *(
            (function, extension)
            for function in ("write_segments", "write_attribute_table", "write_mean_image", "write_polygons")
            for extension in (".tif", ".img")
        ),
        ("build_overviews", ".img"),  # a GeoTIFF's are written along with it
    ],
)
def test_a_run_leaves_all_outputs_as_they_were(tmp_path, scene, monkeypatch, function, extension):
    outputs = {name: tmp_path / name for name in (f"o{extension}", "m.tif", "p.gpkg", f"o{extension}.aux.xml")}
    for name, path in outputs.items():
        path.write_text("before " + name)
    limit(monkeypatch, products, function)
    with pytest.raises(SegmentationError) as raised:
        run(
            scene,
            tmp_path / f"o{extension}",
            min_pixels=5,
            mean_image=str(tmp_path / "m.tif"),
            polygons=str(tmp_path / "p.gpkg"),
            execution="serial",
        )
    assert "\n" not in str(raised.value) and "written" in str(raised.value)
    assert all(path.read_text() == "before " + name for name, path in outputs.items())
    assert not leftovers(tmp_path, {"in.tif", *outputs})


def test_a_table_beside_the_raster(tmp_path, scene, monkeypatch):
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 10)
    limit(monkeypatch, attribute_table, "write_table")
    with pytest.raises(SegmentationError, match="cannot be"):
        run(scene, tmp_path / "o.tif", min_pixels=5, execution="serial")
    assert not leftovers(tmp_path, {"in.tif"})


def test_polygons_and_tables_of_existing_segments(tmp_path, scene, monkeypatch):
    run(scene, tmp_path / "s.tif", min_pixels=5)
    for module, function, work in (
        (
            segment_polygons,
            "write_polygons",
            lambda path: segment_polygons.segment_polygons(
                PolygonsParameters(str(tmp_path / "s.tif"), path, execution="serial"), Feedback()
            ),
        ),
        (
            update_table,
            "write_table",
            lambda path: segment_statistics.segment_statistics(
                StatisticsParameters(str(tmp_path / "s.tif"), scene, path, execution="serial"), Feedback()
            ),
        ),
    ):
        (tmp_path / "t.gpkg").write_text("before")
        with monkeypatch.context() as patch:
            limit(patch, module, function)
            with pytest.raises(SegmentationError):
                work(str(tmp_path / "t.gpkg"))
        assert (tmp_path / "t.gpkg").read_text() == "before"


@pytest.mark.parametrize("extension", [".tif", ".img"])
def test_the_attribute_table_that_is_to_be_updated(tmp_path, monkeypatch, extension):
    values = write_raster(tmp_path / "in.tif", two_band_scene(np.uint8))
    segments = tmp_path / f"s{extension}"
    run(values, segments, min_pixels=5)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    columns, _ = table_of(segments)
    limit(monkeypatch, update_table, "set_attribute_table")
    with pytest.raises(SegmentationError):
        segment_statistics.segment_statistics(
            StatisticsParameters(str(segments), values, statistics=("median",), update_rat=True), Feedback()
        )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert table_of(segments)[0].keys() == columns.keys()


@pytest.mark.parametrize(
    "function, extension", [("create_like", ".img"), ("make_cog", ".cog.tif"), ("build_overviews", ".tif")]
)
@pytest.mark.parametrize("failing", ["MEAN_IMAGE", "OUTPUT"])
def test_the_output_that_fails_is_blamed(tmp_path, scene, monkeypatch, function, extension, failing):
    """Both are rasters, and the same functions write them: a message names the one that cannot be written."""
    modules = {
        "MEAN_IMAGE": dict.fromkeys(("create_like", "make_cog", "build_overviews"), looked_up),
        "OUTPUT": {"create_like": ready, "make_cog": products, "build_overviews": products},
    }
    if function == "create_like":

        def create_in_no_folder(output, *arguments):
            return create_like(output.at(str(tmp_path / "gone" / "o.img")), *arguments)

        monkeypatch.setattr(modules[failing][function], function, create_in_no_folder)
    else:
        limit(monkeypatch, modules[failing][function], function)
    names = {name: f"o{extension}" if name == failing else f"{name.lower()}.tif" for name in ("OUTPUT", "MEAN_IMAGE")}
    if function == "build_overviews" and failing == "OUTPUT":
        names["OUTPUT"] = "o.img"  # a GeoTIFF's are written along with it
    with pytest.raises(SegmentationError) as raised:
        run(
            scene,
            tmp_path / names["OUTPUT"],
            min_pixels=5,
            mean_image=str(tmp_path / names["MEAN_IMAGE"]),
            execution="serial",
        )
    (other,) = set(names) - {failing}
    assert failing in str(raised.value) and other not in str(raised.value)
    assert not leftovers(tmp_path, {"in.tif"})


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("size", [10, 700, 5000, 70_000])
def test_no_file_of_a_work_folder_lacks_its_end(tmp_path, writer, size):
    """However little of it has found no room: the C library keeps the last bytes until a file is closed."""
    array = np.random.default_rng(size).integers(0, 2**40, size)
    folder = WorkFolder(str(tmp_path), {})
    others = {path.name for path in tmp_path.iterdir()}
    WRITERS[writer](folder, array)
    (whole,) = (path for path in tmp_path.iterdir() if path.name not in others)
    content = whole.read_bytes()
    whole.unlink()
    for missing in (one for one in (1, 100, 4095, 4096, 4097, 8192) if one < len(content)):
        with (
            small_files(len(content) - missing),
            pytest.raises(SegmentationError, match="cannot be written .*make room"),
        ):
            WRITERS[writer](folder, array)
        assert not leftovers(tmp_path, others)
    with small_files(len(content)):
        WRITERS[writer](folder, array)
    assert whole.read_bytes() == content
