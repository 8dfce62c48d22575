# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:segment` as users call it: in process, on a pool thread, in a model and from the command line."""

import json
import os
import shutil
from pathlib import Path

import pytest

gdal = pytest.importorskip("osgeo.gdal")
pytestmark = pytest.mark.qgis

QUICK = {"NUM_CLUSTERS": 8, "MIN_PIXELS": 10, "SAMPLING": 1}


def run(plugin, **parameters):
    """Run the algorithm in process; values of None are handed over as such."""
    import processing
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback()
    return processing.run("tiledseg:segment", {**QUICK, **parameters}, feedback=feedback), feedback


def files_below(folder):
    """All files but the .aux.xml that QGIS itself writes beside a raster when it opens one as a layer."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.endswith(".aux.xml"))


def ids_of(path):
    return gdal.Open(str(path)).ReadAsArray()


def test_numbers_and_report_come_out(plugin, small_raster, tmp_path):
    output = tmp_path / "segmente größer.tif"
    result, _ = run(plugin, INPUT=str(small_raster), OUTPUT=str(output))
    ids = ids_of(output)
    assert result["OUTPUT"] == str(output)
    assert result["SEGMENT_COUNT"] == ids.max() == len(set(ids[ids > 0]))
    assert result["VALID_PIXELS"] == 90 * 70
    assert (result["TILE_COUNT"], result["EMPTY_TILES"], result["SPARSE_TILES"]) == (1, 0, 0)
    assert result["SECONDS"] > 0
    report = json.loads(Path(result["REPORT"]).read_text(encoding="utf-8"))
    assert report["parameters"]["num_clusters"] == 8
    assert files_below(tmp_path) == ["segmente größer.qml", "segmente größer.tif", "segmente größer_report.json"]


@pytest.mark.parametrize(
    "bands, expected",
    [
        (None, []),
        ([], []),
        ("1;3", [1, 3]),
        ([1, 3], [1, 3]),
        (["1", "3"], [1, 3]),
        (2, [2]),
        ("3;1", [3, 1]),
    ],
)
def test_bands_in_every_form_qgis_has_for_them(plugin, small_raster, tmp_path, bands, expected):
    result, _ = run(plugin, INPUT=str(small_raster), BANDS=bands, OUTPUT=str(tmp_path / "a.tif"))
    report = json.loads(Path(result["REPORT"]).read_text(encoding="utf-8"))
    assert report["parameters"]["bands"] == expected


@pytest.mark.parametrize("given, expected", [({}, 100.0), ({"DISTANCE_THRESHOLD": None}, None)])
def test_cleared_distance_threshold_is_no_limit(plugin, small_raster, tmp_path, given, expected):
    result, _ = run(plugin, INPUT=str(small_raster), OUTPUT=str(tmp_path / "a.tif"), **given)
    report = json.loads(Path(result["REPORT"]).read_text(encoding="utf-8"))
    assert report["parameters"]["distance_threshold"] == expected


def test_crs_is_assigned(plugin, small_raster, tmp_path):
    run(plugin, INPUT=str(small_raster), ASSIGN_CRS="EPSG:2193", OUTPUT=str(tmp_path / "a.tif"))
    assert gdal.Open(str(tmp_path / "a.tif")).GetSpatialRef().GetAuthorityCode(None) == "2193"
    run(plugin, INPUT=str(small_raster), OUTPUT=str(tmp_path / "b.tif"))
    assert gdal.Open(str(tmp_path / "b.tif")).GetSpatialRef() is None


@pytest.mark.parametrize("name", ["out.tif", "out.tiff", "out.img", "OUT.TIF"])
def test_formats_go_by_the_extension(plugin, small_raster, tmp_path, name):
    run(plugin, INPUT=str(small_raster), OUTPUT=str(tmp_path / name))
    driver = gdal.Open(str(tmp_path / name)).GetDriver().ShortName
    assert driver == ("HFA" if name.endswith("img") else "GTiff")


def test_temporary_output(plugin, small_raster):
    result, _ = run(plugin, INPUT=str(small_raster), OUTPUT="TEMPORARY_OUTPUT")
    assert result["OUTPUT"].endswith(".tif")
    assert ids_of(result["OUTPUT"]).max() == result["SEGMENT_COUNT"]


def test_layers_of_zips_and_vrts_are_read(plugin, small_raster, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", small_raster.parent, small_raster.name)
    vrt = tmp_path / "all.vrt"
    gdal.Translate(str(vrt), str(small_raster), format="VRT")
    run(plugin, INPUT=str(small_raster), OUTPUT=str(tmp_path / "a.tif"))
    run(plugin, INPUT=f"/vsizip/{archive}/{small_raster.name}", OUTPUT=str(tmp_path / "b.tif"))
    run(plugin, INPUT=str(vrt), OUTPUT=str(tmp_path / "c.tif"))
    expected = ids_of(tmp_path / "a.tif")
    assert (ids_of(tmp_path / "b.tif") == expected).all()
    assert (ids_of(tmp_path / "c.tif") == expected).all()


def test_a_run_on_a_pool_thread_is_the_same(plugin, algorithm, small_raster, tmp_path):
    from qgis.core import QgsApplication, QgsProcessingAlgRunnerTask, QgsProcessingContext, QgsProcessingFeedback
    from qgis.PyQt.QtCore import QEventLoop, QTimer

    context, feedback, loop, ended = QgsProcessingContext(), QgsProcessingFeedback(), QEventLoop(), []
    parameters = {**QUICK, "INPUT": str(small_raster), "OUTPUT": str(tmp_path / "b.tif")}
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    task.executed.connect(lambda successful, results: (ended.append((successful, results)), loop.quit()))
    QgsApplication.taskManager().addTask(task)
    QTimer.singleShot(60000, loop.quit)
    if not ended:
        loop.exec()
    assert ended and ended[0][0], feedback.textLog()
    run(plugin, INPUT=str(small_raster), OUTPUT=str(tmp_path / "a.tif"))
    assert (ids_of(tmp_path / "a.tif") == ids_of(tmp_path / "b.tif")).all()


def test_progress_goes_up_to_the_end(algorithm, small_raster, tmp_path):
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    feedback, seen = QgsProcessingFeedback(), []
    feedback.progressChanged.connect(seen.append)
    parameters = {**QUICK, "INPUT": str(small_raster), "OUTPUT": str(tmp_path / "a.tif"), "TILE_WIDTH": 16}
    _, successful = algorithm.run(parameters, QgsProcessingContext(), feedback)
    assert successful
    assert seen == sorted(seen) and len(seen) > 4
    assert 80 < seen[-1] <= 100


def test_a_cancelled_run_ends_quietly_and_leaves_nothing(algorithm, small_raster, tmp_path):
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    feedback = QgsProcessingFeedback()
    feedback.progressChanged.connect(lambda percent: feedback.cancel() if percent > 10 else None)
    parameters = {**QUICK, "INPUT": str(small_raster), "OUTPUT": str(tmp_path / "a.tif"), "TILE_WIDTH": 16}
    results, _ = algorithm.run(parameters, QgsProcessingContext(), feedback)
    assert results == {}
    assert "Cancelled" in feedback.textLog()
    assert files_below(tmp_path) == []


def test_an_unforeseen_error_is_one_sentence_with_the_traceback_in_the_log(plugin, small_raster, tmp_path, monkeypatch):
    from qgis.core import QgsProcessingException
    from tiledseg.tiledseg_plugin.engine import segmentation

    def broken(parameters, feedback):
        raise IndexError("list index out of range")

    monkeypatch.setattr(segmentation, "segment", broken)
    with pytest.raises(QgsProcessingException, match="fault of the plugin .IndexError: list index out of range"):
        run(plugin, INPUT=str(small_raster), OUTPUT=str(tmp_path / "a.tif"))


# what is given wrong, and what the message must name
BAD = {
    "band 0": ({"BANDS": [0]}, "BANDS.*band 0.*1 to 3"),
    "band 99": ({"BANDS": "99"}, "BANDS.*band 99.*1 to 3"),
    "bands with a comma": ({"BANDS": "1,3"}, "BANDS.*'1,3'.*1;3"),
    "a band twice": ({"BANDS": "1;1"}, "BANDS.*twice"),
    "a band that is a word": ({"BANDS": "red"}, "BANDS.*'red'"),
    "tile of 0": ({"TILE_WIDTH": 0}, "TILE_WIDTH is '0'.*at least 16"),
    "tile that is a word": ({"TILE_HEIGHT": "big"}, "TILE_HEIGHT.*'big'"),
    "one cluster": ({"NUM_CLUSTERS": 1}, "NUM_CLUSTERS.*2 to 65534"),
    "threshold of 0": ({"DISTANCE_THRESHOLD": 0}, "DISTANCE_THRESHOLD.*above 0"),
    "fraction over 1": ({"VALID_DATA_THRESHOLD": 1.5}, "VALID_DATA_THRESHOLD.*0 to 1"),
    "unknown execution": ({"EXECUTION": "magic"}, "EXECUTION.*'magic'.*serial"),
    "unknown CRS": ({"ASSIGN_CRS": "EPSG:99999999"}, "ASSIGN_CRS.*EPSG:99999999"),
    "odd creation option": ({"CREATION_OPTIONS": "FAST"}, "CREATION_OPTIONS.*FAST"),
    "missing input": ({"INPUT": "{folder}/none.tif"}, "INPUT.*none.tif.*cannot be opened"),
    "input that is no raster": ({"INPUT": __file__}, "INPUT.*cannot be opened"),
    "no output": ({"OUTPUT": ""}, "OUTPUT.*missing"),
    "output folder missing": ({"OUTPUT": "{folder}/nowhere/a.tif"}, "folder .*nowhere.* does not exist"),
    "output that is a folder": ({"OUTPUT": "{folder}"}, "OUTPUT"),
    "unsupported extension": ({"OUTPUT": "{folder}/a.png"}, "OUTPUT.*png.*kea"),
    "no extension": ({"OUTPUT": "{folder}/a"}, "OUTPUT.*kea"),
    "output = input": ({"INPUT": "{copy}", "OUTPUT": "{copy}"}, "OUTPUT.*input"),
    "output = source of a VRT": ({"INPUT": "{vrt}", "OUTPUT": "{copy}"}, "OUTPUT.*input"),
}


@pytest.fixture
def playground(small_raster, tmp_path):
    """Places for the texts in BAD, and what must still be there afterwards."""
    copy, vrt = tmp_path / "copy.tif", tmp_path / "all.vrt"
    shutil.copy(small_raster, copy)
    gdal.Translate(str(vrt), str(copy), format="VRT")
    return {"folder": str(tmp_path), "copy": str(copy), "vrt": str(vrt)}


def filled(case, small_raster, playground):
    values, message = BAD[case]
    given = {"INPUT": str(small_raster), "OUTPUT": os.path.join(playground["folder"], "out.tif"), **values}
    return {
        name: value.format(**playground) if isinstance(value, str) else value for name, value in given.items()
    }, message


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(plugin, small_raster, playground, tmp_path, case):
    from qgis.core import QgsProcessingException

    parameters, message = filled(case, small_raster, playground)
    before, content = files_below(tmp_path), Path(playground["copy"]).read_bytes()
    with pytest.raises(QgsProcessingException, match=message) as raised:
        run(plugin, **parameters)
    assert "Traceback" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 2  # QGIS's "Unable to execute algorithm", and ours
    assert files_below(tmp_path) == before
    assert Path(playground["copy"]).read_bytes() == content


def test_a_missing_driver_is_named(plugin, small_raster, tmp_path):
    from qgis.core import QgsProcessingException

    if gdal.GetDriverByName("KEA"):
        pytest.skip("this GDAL has KEA")
    with pytest.raises(QgsProcessingException, match="KEA driver"):
        run(plugin, INPUT=str(small_raster), OUTPUT=str(tmp_path / "a.kea"))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_folder_that_cannot_be_written_is_reported_before_the_run(plugin, small_raster):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException, match="/proc.*cannot be written"):
        run(plugin, INPUT=str(small_raster), OUTPUT="/proc/a.tif")


def test_layers_that_are_no_files_are_refused(plugin, algorithm):
    from qgis.core import QgsProcessingContext, QgsProject, QgsRasterLayer

    layer = QgsRasterLayer("type=xyz&url=file:///{z}/{x}/{y}.png&zmin=0&zmax=1", "background", "wms")
    project, context = QgsProject(), QgsProcessingContext()
    project.addMapLayer(layer)
    context.setProject(project)
    parameters = {"INPUT": layer.id(), "OUTPUT": "TEMPORARY_OUTPUT"}
    accepted, message = algorithm.checkParameterValues(parameters, context)
    assert not accepted
    assert "background" in message and "GeoTIFF" in message


def test_bad_input_is_refused_where_nobody_asked_before(algorithm, small_raster, tmp_path):
    """Models run algorithms without calling checkParameterValues."""
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    feedback = QgsProcessingFeedback()
    parameters = {**QUICK, "INPUT": str(small_raster), "BANDS": "1,3", "OUTPUT": str(tmp_path / "a.tif")}
    results, successful = algorithm.run(parameters, QgsProcessingContext(), feedback)
    assert not successful and results == {}
    assert "BANDS: '1,3'" in feedback.textLog()
    assert files_below(tmp_path) == []


@pytest.mark.command
def test_command_line_segments(qgis_process, small_raster, tmp_path):
    output = tmp_path / "mit umlaut ä.tif"
    options = [f"{name}={value}" for name, value in QUICK.items()]
    finished = qgis_process(
        "--json",
        "run",
        "tiledseg:segment",
        "--",
        f"INPUT={small_raster}",
        "BANDS=1",
        "BANDS=3",
        f"OUTPUT={output}",
        *options,
    )
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout)["results"]
    assert results["SEGMENT_COUNT"] == ids_of(output).max()


@pytest.mark.command
@pytest.mark.parametrize(
    "case", ["missing input", "bands with a comma", "band 99", "tile of 0", "output folder missing", "output = input"]
)
def test_command_line_refuses_bad_input_with_status_1(qgis_process, small_raster, playground, tmp_path, case):
    parameters, _ = filled(case, small_raster, playground)
    before = files_below(tmp_path)
    arguments = [
        f"{name}={value[0] if isinstance(value, list) else value}" for name, value in {**QUICK, **parameters}.items()
    ]
    finished = qgis_process("run", "tiledseg:segment", "--", *arguments)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stdout + finished.stderr
    assert "ERROR" in finished.stderr
    assert files_below(tmp_path) == before


@pytest.mark.command
def test_command_line_reports_an_error_of_the_run_with_status_1(qgis_process, tmp_path):
    """A raster without a valid pixel is found out only while it is read."""
    dataset = gdal.GetDriverByName("GTiff").Create(str(tmp_path / "empty.tif"), 40, 40, 1, gdal.GDT_Byte)
    dataset.GetRasterBand(1).SetNoDataValue(0)
    dataset = None
    finished = qgis_process(
        "run", "tiledseg:segment", "--", f"INPUT={tmp_path / 'empty.tif'}", f"OUTPUT={tmp_path / 'out.tif'}"
    )
    assert finished.returncode == 1
    assert "no valid pixel" in finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    assert files_below(tmp_path) == ["empty.tif"]
