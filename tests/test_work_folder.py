# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of the work folder: the user's stay, the run's go, also where they cannot be removed at first."""

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from rasters import Log, write_patches
from resuming import broken, go, labels, refuse_removal
from tiledseg.tiledseg_plugin.engine import segmentation
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import threads
from tiledseg.tiledseg_plugin.engine.files.ownership import OWNER
from tiledseg.tiledseg_plugin.engine.files.work_folder import FORMAT, KEPT, MANIFEST, WorkFolder, narrowed_exactly
from tiledseg.tiledseg_plugin.engine.rsgislib.run import _forget_after
from tiledseg.tiledseg_plugin.engine.stages import parts
from tiledseg.tiledseg_plugin.engine.stages.moments import names_in_files
from tiledseg.tiledseg_plugin.engine.stages.plan import plan_grid
from tiledseg.tiledseg_plugin.engine.stages.tree import grow_tree
from time_limit import no_test_hangs  # noqa: F401


@pytest.fixture
def raster(tmp_path):
    return write_patches(tmp_path / "in.tif")


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def stubborn(monkeypatch):
    return refuse_removal(monkeypatch)


THEIRS = (  # names that begin alike and are nobody's but the user's
    "tiledseg-2.0.zip", "tiledseg-notes.txt", "tiledseg-labels.raw", "tiledseg-labels-1.raw", "tiledseg-old.npz",
    "tiledseg-graph-0000001.npz.bak", "tiledseg-my-0000001.npz", "tiledseg-graph-0000001.tif", "tiledseg-code.zip",
    "tiledseg-code-abc.zip", "tiledseg-stage-final.bin", "tiledseg-stage-0123456789ab.bin", "tiledseg-stage2-notes.txt",
    "tiledseg-stage1-0000001.txt", "tiledseg-download.partial", "tiledseg-labels-0000009.raw.x.partial",
    "tiledseg-manifest.json.old", "tiledseg-manifest-2.json", "tiledseg-survey.csv", "tiledseg-ids.npz",
    "Tiledseg-labels-0000001.raw", "xtiledseg-labels-0000001.raw", "tiledseg-owner.txt", "tiledseg-.npz",
)  # fmt: skip

FOLDERS = ("tiledseg-graph-9000002.npz", "tiledseg-backup", "tiledseg-rsgislib")


@pytest.fixture
def crowded(work):
    """WORK_DIR full of files and folders of the user's; called, it says which of them are not there any more."""
    work.mkdir()
    inner = [f"{name}/{inner}" for name in FOLDERS for inner in ("notes.txt", "stage1-old/x.kea", "tiledseg-a.npz")]
    for name in (*THEIRS, *inner):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)
    (work / "tiledseg-sizes.npy").symlink_to(work / THEIRS[0])

    def missing():
        gone = [name for name in (*THEIRS, *inner) if not (work / name).is_file()]
        gone += [name for name in (*THEIRS, *inner) if name not in gone and (work / name).read_text() != name]
        return gone if (work / "tiledseg-sizes.npy").is_symlink() else [*gone, "tiledseg-sizes.npy"]

    return missing


@pytest.mark.parametrize("ending", ["success", "cancelled and resumed", "failure", "another version"])
def test_files_of_the_users_that_are_called_alike_stay(raster, work, tmp_path, crowded, ending, monkeypatch):
    if ending == "cancelled and resumed":
        with pytest.raises(Cancelled):
            go(raster, work, tmp_path, Log(cancel_at=45), execution="serial")
        assert labels(work) and crowded() == []
    if ending == "another version":
        (work / MANIFEST).write_text(json.dumps({"format": 1}))
        for name in ("tiledseg-labels-0000077.raw", "tiledseg-code-0123456789ab.zip"):
            (work / name).write_text("of an earlier run")
    if ending == "failure":
        with monkeypatch.context() as patch, pytest.raises(SegmentationError, match="broken"):
            patch.setattr(segmentation, "find_centres", broken)
            go(raster, work, tmp_path)
        assert crowded() == []
    go(raster, work, tmp_path)
    assert crowded() == []
    ours = [path.name for path in work.iterdir() if path.name not in (*THEIRS, *FOLDERS, "tiledseg-sizes.npy")]
    assert not ours


def test_rsgislibs_files_are_cleared_by_their_names(work, crowded):
    from tiledseg.tiledseg_plugin.engine.rsgislib.tasks import SCRATCH, clear_scratch

    folder = WorkFolder(str(work), {"parameters": {}})
    patch = work / SCRATCH / "stage1-0000001"
    patch.mkdir()
    (patch / "in.kea").write_text("x")
    for name in ("tiledseg-stage2-0000001.npz", "tiledseg-stage2-0000001.raw", "tiledseg-stage3-0000001.npz"):
        (work / name).write_text("x")
    clear_scratch(folder)
    _forget_after(folder, 1)
    assert not patch.exists()
    assert crowded() == []
    assert not list(work.glob("tiledseg-stage[23]-0000001.*"))
    folder.close(finished=False)
    shutil.rmtree(work / SCRATCH)
    patch.mkdir(parents=True)
    clear_scratch(folder)
    assert not (work / SCRATCH).exists()


def test_every_name_that_a_run_uses_is_known(work):
    folder = WorkFolder(str(work), {"parameters": {}})
    with pytest.raises(ValueError, match="would not be known"):
        folder.save("something-new", array=np.zeros(1))
    folder.close(finished=True)
    assert not work.exists()


@pytest.mark.parametrize("what", ["tiledseg-survey.npz", MANIFEST, OWNER])
@pytest.mark.parametrize("finished", [True, False])
def test_a_work_folder_whose_files_cannot_be_removed_is_free_all_the_same(work, stubborn, what, finished):
    folder = WorkFolder(str(work), {"parameters": {}})
    folder.save("survey", array=np.zeros(1))
    stubborn.add(what)
    folder.close(finished)  # and does not hide the error that ended the run
    stubborn.clear()
    again = WorkFolder(str(work), {"parameters": {}})
    again.close(finished=True)
    assert not work.exists() or not list(work.iterdir())


def test_the_error_that_ended_a_run_is_reported_though_tidying_fails(raster, work, tmp_path, stubborn, monkeypatch):
    monkeypatch.setattr(segmentation, "find_centres", broken)
    stubborn.update({OWNER, MANIFEST, "tiledseg-survey.npz"})
    with pytest.raises(SegmentationError, match="It is broken"):
        go(raster, work, tmp_path)
    monkeypatch.undo()
    go(raster, work, tmp_path)


def test_a_file_of_an_earlier_run_that_cannot_be_removed_is_named(work, stubborn):
    work.mkdir()
    (work / "tiledseg-labels-0000001.raw").write_text("x")
    stubborn.add("tiledseg-labels-0000001.raw")
    with pytest.raises(
        SegmentationError, match="cannot be used, as .*tiledseg-labels-0000001.raw: it is open elsewhere"
    ):
        WorkFolder(str(work), {"parameters": {}})
    stubborn.clear()
    WorkFolder(str(work), {"parameters": {}}).close(finished=True)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "as on other machines"])
def test_nothing_is_put_into_the_work_folder_twice(raster, work, tmp_path, elsewhere, monkeypatch):
    written, replace = [], WorkFolder._replace

    def note(folder, name, write):
        written.append(Path(name).stem)
        replace(folder, name, write)

    monkeypatch.setattr(WorkFolder, "_replace", note)
    monkeypatch.setattr(threads.Threads, "remote", elsewhere)
    outputs = {"mean_image": str(tmp_path / "m.tif"), "polygons": str(tmp_path / "p.gpkg")}
    ids = go(raster, work, tmp_path, execution="serial", **outputs)
    assert any(name.startswith("tiledseg-table-") for name in written)
    assert sorted(set(written)) == sorted(written)
    monkeypatch.undo()
    assert np.array_equal(go(raster, work, tmp_path, execution="serial"), ids)


@pytest.mark.parametrize(
    "values, dtype",
    [
        ([0.0, 255.0], np.uint8),
        ([0.0, 70000.0], np.uint32),
        ([-5.0, 200.0], np.int16),
        ([0.5, 1.0], np.float64),
        ([-0.0, 1.0], np.float64),
        ([np.nan, 1.0], np.float64),
        ([np.inf, 1.0], np.float64),
        ([-(2.0**70), 1.0], np.float64),
        ([], np.uint8),
    ],
)
def test_what_is_narrowed_exactly_keeps_every_bit(values, dtype):
    given = np.array(values, np.float64)
    narrow = narrowed_exactly(given)
    assert narrow.dtype == dtype
    assert narrow.astype(np.float64).tobytes() == given.tobytes()


def test_of_a_file_that_something_else_goes_wrong_with_nothing_is_left(tmp_path):
    """What is written may be made along the way of other files, which may be damaged; an earlier one stays."""
    folder = WorkFolder(str(tmp_path / "work"), {})
    folder.save("merged-0000001", one=np.arange(3))
    before = sorted(os.listdir(folder.path))

    def damaged():
        yield "two", np.arange(5)
        raise SegmentationError("another file is damaged")

    with pytest.raises(SegmentationError, match="another file is damaged"):
        folder.save("merged-0000001", damaged(), one=np.arange(4))
    assert sorted(os.listdir(folder.path)) == before and folder.load("merged-0000001")["one"].tolist() == [0, 1, 2]
    folder.close(True)


def test_other_groups_and_other_files_are_of_another_format():
    """A run that is taken up finds groups by their numbers: it must not take those of another tree for its own."""
    plans = plan_grid(400, 400, 20, 20), plan_grid(180, 140, 20, 20)  # of many pieces, and of few
    groups = [(group.number, group.members) for plan in plans for group in grow_tree(plan.pieces).groups]
    arrays = [*parts.GRAPH_TYPES], parts.OF_BORDERS, parts.OF_EDGES, parts.IN_FILES, names_in_files(0)
    assert (FORMAT, zlib.crc32(repr((groups, KEPT, arrays)).encode())) == (14, 2382475354), (
        "raise FORMAT with what has changed"
    )
