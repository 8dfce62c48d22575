# SPDX-License-Identifier: GPL-2.0-or-later
"""Strangers' rasters: every operation ends right, or in one sentence, on a set of hundreds of odd ones (`make odd`)."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from headless import ROOT, plugin_path

if not hasattr(os, "fork"):
    pytest.skip("examinations run in forked processes, which this system does not have", allow_module_level=True)

pytest.importorskip("scipy", reason="connected regions are found with scipy, which is not installed")
pytestmark = pytest.mark.slow

from rasters import read, run, write_raster  # noqa: E402
from strangers import checks  # noqa: E402
from strangers.command import load_makers  # noqa: E402
from strangers.examination import is_a_sentence  # noqa: E402
from strangers.making import scene  # noqa: E402
from strangers.snapshot import changes, quick_snapshot, snapshot  # noqa: E402
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError  # noqa: E402
from tiledseg.tiledseg_plugin.engine.files.gdal_access import open_raster  # noqa: E402
from tiledseg.tiledseg_plugin.engine.stages.statistics import combine  # noqa: E402
from today import TODAY, in_turn  # noqa: E402

FEWEST = 150
LIMIT_SECONDS = 900  # for all of them; each has a limit of its own
IDS = np.array([[1, 1, 2], [3, 1, 2], [3, 3, 0]])
VALID = IDS > 0


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """How each raster of the set ended.

    {"endings": {name: {"kind", "text"}}, "sources": {name: what is given as INPUT, in hexadecimal digits},
    "unavailable": {name: why}, "loading": how many processes had to load kernels}
    """
    folder = tmp_path_factory.mktemp("odd")
    (folder / "kept").mkdir()
    path = folder / "report.json"
    command = [sys.executable, str(ROOT / "scripts" / "odd.py"), "--part", str(TODAY), "--quiet", "--report", str(path)]
    command += ["--keep", str(folder / "kept")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert path.exists(), finished.stdout + finished.stderr
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("name", load_makers())
def test_odd_raster_is_segmented_right_or_refused_in_one_sentence(report, name):
    if name in report["unavailable"]:
        pytest.skip(f"it cannot be made here: {report['unavailable'][name]}")
    ending = report["endings"][name]
    assert ending["kind"] in ("right", "refused"), f"--part {TODAY}: {ending['text']}"


def test_the_set_is_large(report):
    kinds = [ending["kind"] for ending in report["endings"].values()]
    assert len(kinds) >= FEWEST
    assert kinds.count("right") > FEWEST
    assert kinds.count("refused") > 50


def refused_sources(report):
    """{name: INPUT} of what the engine has refused; without names of files that no text can hold."""
    names = [name for name, ending in report["endings"].items() if ending["kind"] == "refused"]
    sources = {name: os.fsdecode(bytes.fromhex(report["sources"][name])) for name in names}
    return {name: source for name, source in sources.items() if source.isprintable()}


CHECKED = "An error was encountered while checking parameter values"  # what QGIS 3.22 says before ours
SEGMENT = {"NUM_CLUSTERS": 8, "MIN_PIXELS": 4, "SAMPLING": 1, "EXECUTION": "serial"}


@pytest.mark.qgis
def test_what_is_refused_is_refused_in_one_sentence_in_qgis_too(report, plugin, tmp_path):
    import processing
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    sources = refused_sources(report)
    assert len(sources) > 50
    wrong = {}
    for name, source in sources.items():
        feedback = QgsProcessingFeedback()
        try:
            parameters = {**SEGMENT, "INPUT": source, "OUTPUT": str(tmp_path / "o.tif")}
            processing.run("tiledseg:segment", parameters, feedback=feedback)
        except QgsProcessingException as error:
            said = re.sub(
                r"^(Unable to execute algorithm|There were errors executing the algorithm\.)\s*", "", str(error)
            )
            fault = is_a_sentence(said) or ("Traceback" in feedback.textLog() and "a traceback in the log")
        else:
            said, fault = "nothing", "it is not refused"
        left = sorted(path.name for path in tmp_path.iterdir())
        if fault or left:
            wrong[name] = (fault, said, left)
    assert not wrong


@pytest.mark.command
@pytest.mark.parametrize("number", in_turn(range(4), 2))
def test_what_is_refused_ends_the_command_line_with_status_1(report, qgis_process, tmp_path, number):
    sources = list(refused_sources(report).values())
    source = sources[len(sources) * number // 4]  # damaged ones, virtual ones, ... lie together
    given = [f"{name}={value}" for name, value in {**SEGMENT, "INPUT": source, "OUTPUT": tmp_path / "o.tif"}.items()]
    finished = qgis_process("run", "tiledseg:segment", "--", *given)
    said = {line.replace("ERROR:", "").strip() for line in finished.lines_of_errors()} - {CHECKED}
    assert finished.returncode == 1
    assert len(said) == 1 and not is_a_sentence(said.pop()), finished.stderr
    assert not list(tmp_path.iterdir())


def test_kernels_are_loaded_once_for_all_examinations(report):
    """Each is a process of its own; loading them in each took a third of the time."""
    assert report["loading"] < len(report["endings"]) / 3


def test_every_misbehaviour_is_seen_for_what_it_is():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin_path()), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "strangers.misbehaviours"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    endings = json.loads(finished.stdout)
    assert endings.pop("nothing")[0] == "right"
    expected = {
        "crash": "crash: SIGSEGV",
        "abort": "crash: SIGABRT",
        "hang": "hang: not ended after 3 s",
        "hang_with_a_child": "hang: not ended after 3 s",
        "traceback": "traceback: ValueError: this is a traceback",
        "memory": "traceback: MemoryError",
        "message": "raw messages: Warning 1: a line that nobody asked for",
        "leftover": "leftovers: ['tmp/left.txt']",
        "leftover_where_it_runs": "leftovers: ['cwd/left.txt']",
        "process_left": "processes are left running",
        "changed_input": "changed input: changed 'in.tif'",
        "side_file": "changed input: added 'in.tif.aux.xml'",
        "removed_input": "changed input: removed 'in.tif'",
    }
    assert endings == {name: ["fault", text] for name, text in expected.items()}


def test_a_folder_of_files_is_examined_and_left_as_it_was(tmp_path):
    folder = tmp_path / "a stranger's"
    (folder / "deep").mkdir(parents=True)
    write_raster(folder / "deep" / "in.tif", scene(3))
    (folder / "read me.txt").write_text("no raster")
    before = snapshot(str(folder))
    command = [sys.executable, str(ROOT / "scripts" / "odd.py"), str(folder), "--report", str(tmp_path / "report.json")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    endings = json.loads((tmp_path / "report.json").read_text())["endings"]
    assert {name: ending["kind"] for name, ending in endings.items()} == {
        "deep/in.tif": "right",
        "read me.txt": "refused",
    }
    assert changes(before, snapshot(str(folder))) == []
    assert "1 right, 1 refused in one sentence, 0 faults" in finished.stdout


def test_a_change_is_seen_without_hashes_although_its_time_is_set_back(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    before = quick_snapshot(str(tmp_path))
    status = path.stat()
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert changes(before, quick_snapshot(str(tmp_path))) == ["changed 'a.txt'"]


@pytest.mark.parametrize(
    "ids, part",
    [
        (np.where(VALID, IDS, 1), "1 pixels of no data are segmented, 0 of data are not"),
        (np.where(IDS == 2, 0, IDS), "2 of data are not"),
        (np.where(IDS == 3, 4, IDS), "without gaps"),
        (np.array([0, 2, 1, 3])[IDS], "order of their first pixels"),
        (np.array([[1, 1, 2], [2, 1, 2], [2, 2, 0]]), "2 ids are 3 connected regions"),
        (np.array([[1, 2, 2], [2, 1, 2], [2, 2, 0]]), "connected regions"),
        (IDS[:2], "rows and columns"),
    ],
)
def test_wrong_ids_are_seen(ids, part):
    checks.check_ids(IDS, VALID)
    with pytest.raises(checks.Wrong, match=part):
        checks.check_ids(ids, VALID)


def test_small_segments_are_seen():
    checks.check_sizes(IDS, 4, limited=True, undersized=3)
    with pytest.raises(checks.Wrong, match="UNDERSIZED"):
        checks.check_sizes(IDS, 4, limited=True, undersized=2)
    with pytest.raises(checks.Wrong, match="larger neighbour"):
        checks.check_sizes(IDS, 3, limited=False, undersized=1)


def test_wrong_means_polygons_and_tiles_are_seen(tmp_path):
    path = write_raster(tmp_path / "in.tif", scene(2))
    products = {"mean_image": str(tmp_path / "means.tif"), "polygons": str(tmp_path / "polygons.gpkg")}
    ids, result = run(path, tmp_path / "out.tif", sampling=1, min_pixels=4, num_clusters=8, **products)
    bands, everywhere = list(read(path)), [np.ones(ids.shape, bool)] * 2
    transform = (500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0)
    checks.check_table(str(tmp_path / "out.tif"), ids, [1, 2], bands)
    checks.check_mean_image(products["mean_image"], ids, bands, everywhere, "it")
    checks.check_polygons(products["polygons"], ids, transform, "it")
    checks.check_reference(path, str(tmp_path / "out.tif"))
    other = [bands[0], bands[1] + np.uint8(1)]
    sizes = np.bincount(ids.ravel())
    unlike = int(np.flatnonzero(sizes[1:] != sizes[1])[0]) + 1
    swapped = np.where(ids == 1, unlike, np.where(ids == unlike, 1, ids))
    for check, part in (
        (lambda: checks.check_table(str(tmp_path / "out.tif"), ids, [1, 2], other), "mean_2"),
        (lambda: checks.check_table(str(tmp_path / "out.tif"), swapped, [1, 2], bands), "Histogram"),
        (lambda: checks.check_mean_image(products["mean_image"], ids, other, everywhere, "it"), "band 2"),
        (lambda: checks.check_polygons(products["polygons"], swapped, transform, "it"), "area"),
        (lambda: checks.check_polygons(products["polygons"], ids, (0.0, *transform[1:]), "it"), "lie at"),
        (lambda: checks.check_preflight(result.tiles, everywhere[0] & (ids > 1), "any", 2000, 2000), "valid pixels"),
    ):
        with pytest.raises(checks.Wrong, match=part):
            check()


@pytest.mark.parametrize(
    "text, part",
    [
        ("The file cannot be read: copy it again.", ""),
        ("Two\nlines.", "several lines"),
        ("No end", "does not end"),
        ("Traceback (most recent call last).", "for programmers"),
        ("x" * 5000 + ".", "5001 letters"),
    ],
)
def test_sentences(text, part):
    assert (part in is_a_sentence(text)) if part else not is_a_sentence(text)


def test_raw_values_that_are_cut_short_are_refused_whatever_is_missing(tmp_path):
    for share in (0.1, 0.6, 0.999):
        path = write_raster(tmp_path / "in.dat", scene(3, dtype=np.uint16), driver="ENVI")
        run(path, tmp_path / "out.tif", sampling=1)
        os.truncate(path, int(os.path.getsize(path) * share))
        with pytest.raises(SegmentationError, match="is damaged: its values take 3120 bytes"):
            run(path, tmp_path / "out2.tif", sampling=1)


def test_a_name_that_gdal_cannot_be_given_is_one_sentence():
    with pytest.raises(SegmentationError, match="not UTF-8") as raised:
        open_raster(os.fsdecode(b"/\xff\xfe.tif"))
    str(raised.value).encode("utf-8")


def test_the_range_of_values_whose_squares_no_double_holds_is_that_of_the_values():
    statistics = combine([(4, 2e200, float("inf"), 1e200, 3e200)], False)
    assert statistics.stretch_range() == (1e200, 3e200)
