# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:levels`: the segments of a run with LEVELS at one of these, as a run with it makes them, table and all."""

import os

import numpy as np
import pytest
from osgeo import gdal, ogr
from rasters import Log, level_columns_of, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files import attribute_table, segment_table
from tiledseg.tiledseg_plugin.engine.products.levels import LevelsParameters, segments_at_level

RUN = {"num_clusters": 12, "sampling": 1, "distance_threshold": 60.0}
COLOURS = ("Red", "Green", "Blue")
EXTENSIONS = [".tif", ".cog.tif", ".img", ".kea"]


def scene(dtype, rows=90, cols=110):
    """Areas of many sizes in two bands, with noise and a hole."""
    rng = np.random.default_rng(6)
    field = np.cumsum(np.cumsum(rng.normal(size=(2, rows, cols)), axis=1), axis=2)
    field += rng.normal(size=field.shape) * 9
    field = (field - field.min()) / np.ptp(field) * 900 + 1
    field[:, 20:40, 30:60] = 0
    return np.round(field).astype(dtype) if np.dtype(dtype).kind in "iu" else (field / 700).astype(dtype)


def table_of(path):
    """{column: values} of a raster's own table, the row of segment 1 first."""
    dataset = gdal.Open(str(path))
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    return {table.GetNameOfCol(i): table.ReadAsArray(i)[1:] for i in range(table.GetColumnCount())}


def usable(extension):
    if extension == ".kea" and gdal.GetDriverByName("KEA") is None:
        pytest.skip("this GDAL has no KEA")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of integers and floats: segments with levels, and what runs with each level make, with the level above it."""
    folder = tmp_path_factory.mktemp("scales")
    for kind in ("uint16", "float32"):
        path = write_raster(folder / f"{kind}.tif", scene(kind), 0)
        run(path, folder / f"{kind} s.tif", min_pixels=9, levels=(30, 200, 1500), **RUN)
        for level, above in ((30, (200, 1500)), (200, (1500,)), (1500, ())):
            run(path, folder / f"{kind} {level}.tif", min_pixels=level, levels=above, **RUN)
    return folder


@pytest.mark.parametrize("execution", ["serial", "threads"])
@pytest.mark.parametrize("level", [30, 200, 1500])
@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_a_level_is_what_a_run_with_it_makes_with_its_table(folder, kind, level, execution, tmp_path):
    output = tmp_path / "o.tif"
    log = Log()
    result = segments_at_level(
        LevelsParameters(str(folder / f"{kind} s.tif"), level, str(output), execution=execution, workers=2), log
    )
    right = folder / f"{kind} {level}.tif"
    np.testing.assert_array_equal(read(output), read(right))
    assert result.segment_count == read(right).max() > 1
    found, expected = table_of(output), table_of(right)
    assert list(found) == list(expected)
    for name, values in expected.items():
        if name in COLOURS:  # the mean of the parts' colours
            assert np.abs(found[name] - values).max() <= 2
        elif kind == "uint16":
            assert found[name].tolist() == values.tolist(), name
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-12)
    assert not any("left out" in line for line in log.lines)
    ours, theirs = (gdal.Open(str(path)).GetRasterBand for path in (output, right))
    assert ours(1).GetStatistics(True, False) == theirs(1).GetStatistics(True, False)
    assert ours(1).GetOverviewCount() == theirs(1).GetOverviewCount()
    assert (output.with_suffix(".qml")).read_text() == right.with_suffix(".qml").read_text()


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("made_as", [".tif", ".img"])
def test_all_formats_are_read_and_written(folder, made_as, extension, tmp_path):
    usable(extension)
    segments = folder / f"formats{made_as}"
    if not segments.exists():
        run(folder / "uint16.tif", segments, min_pixels=9, levels=(200,), **RUN)
    output = tmp_path / f"o{extension}"
    segments_at_level(LevelsParameters(str(segments), 200, str(output)), Log())
    np.testing.assert_array_equal(read(output), read(folder / "uint16 200.tif"))
    expected = table_of(folder / "uint16 200.tif")
    found = table_of(output)
    for name in ("Histogram", "mean_1", "min_2", "max_1", "std_2"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-15)  # XML holds 16 digits


def test_a_table_beside_the_raster_is_read_in_lots_and_written(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(attribute_table, "MOST_XML_VALUES", 100)
    monkeypatch.setattr(segment_table, "AT_A_TIME", 7)
    segments, output = tmp_path / "s.tif", tmp_path / "o.tif"
    run(folder / "uint16.tif", segments, min_pixels=9, levels=(200, 1500), **RUN)
    assert (tmp_path / "s_attributes.gpkg").exists()
    segments_at_level(LevelsParameters(str(segments), 200, str(output)), Log())
    expected = table_of(folder / "uint16 200.tif")
    del expected["Value"]
    dataset = ogr.Open(str(tmp_path / "o_attributes.gpkg"))
    rows = np.array([[feature[name] for name in expected] for feature in dataset.GetLayer()])
    for (name, values), found in zip(expected.items(), rows.T):
        np.testing.assert_allclose(found, values, rtol=2e-15, atol=2 if name in COLOURS else 0)  # XML holds 16 digits


def test_lots_of_a_table_in_the_raster_are_those_of_all_of_it(folder, tmp_path, monkeypatch):
    """GDAL puts them elsewhere: see `segment_table`."""
    run(folder / "uint16.tif", tmp_path / "s.img", min_pixels=9, levels=(200,), **RUN)
    for path in (folder / "uint16 s.tif", tmp_path / "s.img"):
        whole = table_of(path)
        monkeypatch.setattr(segment_table, "AT_A_TIME", 5)
        lots = list(segment_table.open_table(str(path)).lots(["level_200", "mean_1"]))
        assert len(lots) == -(-whole["mean_1"].size // 5)
        for at, name in enumerate(("level_200", "mean_1")):
            assert np.concatenate([lot[at] for lot in lots]).tolist() == whole[name].tolist()


def test_polygons_have_the_columns_of_the_level(folder, tmp_path):
    parameters = LevelsParameters(
        str(folder / "uint16 s.tif"), 200, str(tmp_path / "o.tif"), str(tmp_path / "p.gpkg"), execution="serial"
    )
    segments_at_level(parameters, Log())
    expected = table_of(folder / "uint16 200.tif")
    dataset = ogr.Open(str(tmp_path / "p.gpkg"))
    found = [(f["segment"], f["pixels"], f["mean_2"], f["level_1500"], f.GetGeometryRef().Area()) for f in dataset[0]]
    sizes = expected["Histogram"].tolist()
    columns = (expected["Value"], expected["Histogram"], expected["mean_2"], expected["level_1500"])
    np.testing.assert_allclose([one[:4] for one in found], np.stack(columns, axis=1), rtol=2e-15)
    np.testing.assert_allclose([one[4] for one in found], [100 * size for size in sizes])


def test_columns_of_others_are_combined_where_that_can_be(folder, tmp_path):
    segments = tmp_path / "s.img"
    run(folder / "uint16.tif", segments, min_pixels=9, levels=(200,), **RUN)
    ids, level, band = read(segments), read(folder / "uint16 200.tif"), scene("uint16")[0].astype(float)
    values = np.where(np.random.default_rng(1).random(band.shape) < 0.7, band / 7, np.nan)  # of some pixels only

    def of(numbers):
        every = [values[numbers == n] for n in range(1, numbers.max() + 1)]
        every = [own[np.isfinite(own)] for own in every]
        made = {"count": len, "sum": np.sum, "mean": np.mean, "std": np.std, "min": np.min, "max": np.max}
        return {f"elev_{name}_1": [f(own) if own.size else np.nan for own in every] for name, f in made.items()}

    zones = 5 + (level % 3)  # one for all parts of each
    columns = {**of(ids), "zone": [zones[ids == n][0] for n in range(1, ids.max() + 1)]}
    columns["elev_median_1"] = np.arange(1.0, ids.max() + 1)
    added = [attribute_table.Column(name, np.append(0.0, values)) for name, values in columns.items()]
    attribute_table.set_attribute_table(str(segments), added)
    log = Log()
    segments_at_level(LevelsParameters(str(segments), 200, str(tmp_path / "o.img")), log)
    found, expected = table_of(tmp_path / "o.img"), of(level)
    for name, values_ in expected.items():
        np.testing.assert_allclose(found[name], values_, rtol=1e-9, atol=1e-9, err_msg=name)
    assert found["zone"].tolist() == [zones[level == n][0] for n in range(1, level.max() + 1)]
    assert "elev_median_1" not in found
    assert [line for line in log.lines if "left out: elev_median_1;" in line]


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"level": 31}, "has no column level_31 in its table: it has 30, 200, 1500"),
        ({"segments": "uint16.tif"}, "uint16.tif has no attribute table"),
        ({"segments": "uint16 1500.tif"}, "no column level_30 in its table: run 'Segment raster' with LEVELS"),
        ({"segments": "none.tif"}, "none.tif"),
        ({"output": "uint16 s.tif"}, "is the input itself, SEGMENTS"),
        ({"output": "o.png"}, "'.png'"),
        ({"polygons": "p.xyz9"}, "POLYGONS .*'.xyz9'"),
        ({"level": 3.5}, "LEVEL is 3.5, which is not a whole number"),
        ({"segments": "shifted.tif"}, "declares another value than 0 as no data"),
        ({"segments": "damaged.tif"}, "column level_30 of SEGMENTS .* is damaged"),
        ({"segments": "larger.tif"}, "holds segment 99999, of which its table has no row"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(folder, changes, sentence, tmp_path):
    for name in ("uint16.tif", "uint16 s.tif", "uint16 1500.tif"):
        for side in ("", ".aux.xml"):
            if (folder / f"{name}{side}").exists():
                (tmp_path / f"{name}{side}").write_bytes((folder / f"{name}{side}").read_bytes())
    for name in ("shifted", "damaged", "larger"):
        gdal.GetDriverByName("GTiff").CreateCopy(str(tmp_path / f"{name}.tif"), gdal.Open(str(folder / "uint16 s.tif")))
    dataset = gdal.Open(str(tmp_path / "shifted.tif"), gdal.GA_Update)
    dataset.GetRasterBand(1).SetNoDataValue(7)
    dataset = gdal.Open(str(tmp_path / "larger.tif"), gdal.GA_Update)
    dataset.GetRasterBand(1).WriteArray(np.array([[99999]], np.uint32))
    del dataset
    columns = attribute_table.Column("level_30", np.full(len(table_of(folder / "uint16 s.tif")["Value"]) + 1, 2))
    attribute_table.set_attribute_table(str(tmp_path / "damaged.tif"), [columns])
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(tmp_path)}
    given = {"segments": "uint16 s.tif", "level": 30, "output": "o.tif", "polygons": "", **changes}
    paths = {name: str(tmp_path / given[name]) for name in ("segments", "output", "polygons") if given[name]}
    with pytest.raises(SegmentationError, match=sentence) as error:
        segments_at_level(LevelsParameters(**{**given, **paths}), Log())
    assert "\n" not in str(error.value)
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(tmp_path)} == before


def test_a_cancelled_run_leaves_nothing(folder, tmp_path):
    with pytest.raises(Cancelled):
        parameters = LevelsParameters(str(folder / "uint16 s.tif"), 30, str(tmp_path / "o.tif"), execution="serial")
        segments_at_level(parameters, Log(cancel_at=20))
    assert not list(tmp_path.iterdir())


@pytest.mark.qgis
def test_the_command_line_makes_a_level(qgis_process, folder, tmp_path):
    segments, output = tmp_path / "s.tif", tmp_path / "o.tif"
    given = {"INPUT": folder / "uint16.tif", "OUTPUT": segments, "MIN_PIXELS": 9, "NUM_CLUSTERS": 12, "SAMPLING": 1}
    given.update(DISTANCE_THRESHOLD=60, LEVELS="200;1500", EXECUTION="serial")
    for algorithm, values in (("segment", given), ("levels", {"SEGMENTS": segments, "LEVEL": 1500, "OUTPUT": output})):
        words = [f"{name}={value}" for name, value in values.items()]
        ended = qgis_process("--json", "run", f"tiledseg:{algorithm}", "--", *words)
        assert ended.returncode == 0, ended
    assert list(level_columns_of(segments)) == [200, 1500]
    np.testing.assert_array_equal(read(output), read(folder / "uint16 1500.tif"))
