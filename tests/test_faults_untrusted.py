# SPDX-License-Identifier: GPL-2.0-or-later
"""Work folders, staging folders and rasters of somebody else: nothing in them is executed, no link is followed."""

import os
import stat
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from faults import planting
from rasters import Log, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.files.journal import JOURNAL, REPLACED
from tiledseg.tiledseg_plugin.engine.files.ownership import OWNER, remove_abandoned
from tiledseg.tiledseg_plugin.engine.files.publish import publishing, recover, staging
from tiledseg.tiledseg_plugin.engine.files.stored_arrays import DAMAGED, load_arrays
from tiledseg.tiledseg_plugin.engine.files.work_folder import FORMAT, MANIFEST, WorkFolder
from time_limit import no_test_hangs  # noqa: F401

QUICK = {"num_clusters": 6, "min_pixels": 9, "sampling": 3, "tile_width": 40, "tile_height": 35, "kernels": "plain"}
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    rng = np.random.default_rng(4)
    patches = np.kron(rng.integers(20, 230, (3, 7, 9)), np.ones((1, 10, 10), int))
    values = (patches + rng.integers(0, 9, patches.shape)).astype(np.uint8)
    return write_raster(tmp_path_factory.mktemp("raster") / "in.tif", values)


@pytest.fixture
def interrupted(raster, tmp_path):
    """A work folder with all that a run is taken up from, and the result of an undisturbed run."""
    ids, _ = run(raster, tmp_path / "expected.tif", execution="serial", **QUICK)
    with pytest.raises(Cancelled):
        go(raster, tmp_path, Log(cancel_at=66))
    found = sorted((tmp_path / "work").glob("tiledseg-*.npz"))
    kinds = {path.name.split("-")[1].split(".")[0] for path in found}
    assert kinds == {"places", "survey", "graph", "contents", "merged"}
    return ids


def go(raster, folder, log=None, **changes):
    settings = {**QUICK, "execution": "serial", "work_dir": str(folder / "work"), **changes}
    return run(raster, folder / "out.tif", feedback=log, **settings)[0]


def members(path):
    with zipfile.ZipFile(path) as archive:
        return [name[: -len(".npy")] for name in archive.namelist()]


@pytest.mark.parametrize("planted", ["pickles", "boasts", "pickles alone", "nonsense", "another file of ours"])
def test_arrays_of_somebody_else_in_the_work_folder_are_not_believed(raster, tmp_path, interrupted, planted):
    marker = tmp_path / "executed"
    assert planting.works(marker)
    found = sorted((tmp_path / "work").glob("tiledseg-*.npz"))
    kept = {path: path.read_bytes() for path in found}
    for path in found:
        if planted == "pickles":
            planting.arrays_with_a_pickle(path, marker, members(path))
        elif planted == "boasts":
            planting.boastful_array(path, members(path))
        elif planted == "pickles alone":
            path.write_bytes(planting.pickle.dumps(planting.Trap(marker)))
        elif planted == "nonsense":
            path.write_bytes(os.urandom(200))
        else:
            path.write_bytes(kept[found[0] if path != found[0] and "survey" in path.name else found[-1]])
    if planted == "another file of ours":
        for path in found:
            if "survey" not in path.name:
                path.write_bytes(kept[path])
    assert np.array_equal(go(raster, tmp_path), interrupted)
    assert not marker.exists()


@pytest.mark.parametrize("compressed", [False, True])
def test_an_array_file_with_any_byte_changed_is_damaged_or_right(tmp_path, compressed):
    """A compressed one is none of ours, whatever is in it: it could be a thousand times as large unpacked."""
    path = tmp_path / "a.npz"
    saved = {"one": np.arange(5.0), "two": np.int64(7), "three": np.zeros((0, 3), np.uint8), "text": np.array("ab")}
    (np.savez_compressed if compressed else np.savez)(path, **saved)
    content = path.read_bytes()
    if compressed:
        with pytest.raises(ValueError, match="as they are stored"):
            load_arrays(path)
        return
    assert all(np.array_equal(load_arrays(path)[name], value) for name, value in saved.items())
    refused = 0
    for position in range(len(content)):
        for change in (0x01, 0xFF):
            path.write_bytes(content[:position] + bytes([content[position] ^ change]) + content[position + 1 :])
            try:
                found = load_arrays(path)
            except DAMAGED:
                refused += 1
            else:
                assert all(np.array_equal(found[name], saved[name]) for name in saved if name in found)
    assert refused > len(content)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(DAMAGED):
            load_arrays(path)


@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1125899906842624,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 99999999999999999999999), }",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (1,), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }",
        "(" * 2000,
        "'''",
        "",
    ],
)
def test_what_an_array_says_of_itself_cannot_do_harm(tmp_path, head):
    text = head.encode().ljust(2000)[:-1] + b"\n"
    content = np.lib.format.magic(1, 0) + len(text).to_bytes(2, "little") + text + bytes(64)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(DAMAGED):
        load_arrays(tmp_path / "a.npz")


MANIFESTS = [
    "", "nonsense", "[]", "7", '"text"', "null", "[" * 100_000, '{"format": FORMAT, "parameters": []}',
    '{"parameters": 7}', '{"format": FORMAT, "parameters": {"INPUT": {"a": [1, {}]}}}',
    '{"format": FORMAT, "parameters": {}, "input": 5}', '{"format": FORMAT, "input": {"files": {"x": 7}}}',
    '{"format": FORMAT, "parameters": {}, "input": {"files": [1, 2]}}', "\udcff", '{"format": 1e999}',
    '{"format": FORMAT, "parameters": {}, "input": {"files": {"x": [1, 1e300]}}}',
    '{"format": FORMAT, "parameters": {}, "input": {"files": {"x": ["a", "b"], "y": [1]}}}', "1" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("manifest", MANIFESTS, ids=range(len(MANIFESTS)))
def test_a_manifest_of_any_content_is_begun_anew_or_refused_in_one_sentence(tmp_path, manifest):
    manifest = manifest.replace("FORMAT", str(FORMAT))  # of others nothing else is looked at
    (tmp_path / MANIFEST).write_bytes(manifest.encode("utf-8", "surrogateescape"))
    try:
        WorkFolder(str(tmp_path), {"parameters": {}, "input": {"files": {"x": [5, 7]}}}).close(True)
    except SegmentationError as error:
        assert "holds an interrupted run with" in str(error) and "\n" not in str(error)


@pytest.fixture
def victim(tmp_path):
    """A folder of the user's, elsewhere, and a look at whether it is as it was."""
    folder = tmp_path / "elsewhere"
    (folder / "deep").mkdir(parents=True)
    for name in ("thesis.txt", "deep/data.tif", "settings.json"):
        (folder / name).write_text(name * 20)
    (folder / "settings.json").write_text('{"mine": true}')
    before = planting.names_and_contents(folder)
    yield folder
    assert planting.names_and_contents(folder) == before


@needs_links
@pytest.mark.parametrize("kind", ["link", "hard link", "link to nothing", "file", "link to a folder"])
@pytest.mark.parametrize("where", ["WORK_DIR", "temporary folder", "beside the output"])
def test_a_mark_that_leads_elsewhere_is_not_written_into(tmp_path, monkeypatch, victim, kind, where):
    place = tmp_path / "place"
    folder = {"WORK_DIR": place, "temporary folder": place / "tiledseg-abcd1234"}.get(
        where, place / ".tiledseg-abcd1234"
    )
    folder.mkdir(parents=True)
    mark = folder / OWNER
    if kind == "hard link":
        os.link(victim / "thesis.txt", mark)
    elif kind == "file":
        mark.write_text("mine")
    else:
        leads = {"link": "thesis.txt", "link to nothing": "new.txt", "link to a folder": "deep"}
        mark.symlink_to(victim / leads[kind])
    before = planting.names_and_contents(place)
    if where == "WORK_DIR":
        with pytest.raises(SegmentationError, match=f"cannot be used .*{OWNER} is (a link|not ours)"):
            WorkFolder(str(place), {"parameters": {}})
    elif where == "temporary folder":
        monkeypatch.setattr("tempfile.tempdir", str(place))
        WorkFolder("", {}).close(True)
    else:
        with staging(place / "a.tif"):
            pass
    assert planting.names_and_contents(place) == before


def planted_journals(place, victim):
    """{what it would do: journal}, for a staging folder in `place`."""
    folder, other, deep = place / ".tiledseg-abcd1234", victim / "deep", os.path.relpath(victim, place)
    own = planting.entry(folder)
    evil = {
        "moves a file from above": [planting.entry(folder, old=[f"{deep}/thesis.txt"])],
        "moves a file by its whole name": [planting.entry(folder, old=[str(victim / "thesis.txt")])],
        "puts a file above": [planting.entry(folder, places={"new.txt": f"{deep}/thesis.txt"})],
        "puts a file anywhere": [planting.entry(folder, places={"new.txt": str(victim / "thesis.txt")})],
        "puts a file two folders deep": [planting.entry(folder, places={"new.txt": "a/b/c.txt"})],
        "takes a file from above": [planting.entry(folder, places={f"../{deep}/thesis.txt": "mine.txt"})],
        "takes a file from a folder": [planting.entry(folder, places={"link/thesis.txt": "mine.txt"})],
        "removes another folder": [own, planting.entry(other)],
        "removes the folder above": [own, planting.entry(victim / "..")],
        "empties another folder": [own, planting.entry(other, old=["thesis.txt"])],
        "leads to another folder": [planting.entry(folder, target="../x")],
        "has names that are none": [planting.entry(folder, old=[""]), planting.entry(folder, old=["."])],
        "has numbers for names": [planting.entry(folder, places={"new.txt": 7})],
        "has lists for states": [planting.entry(folder, states={"a": [1, 2, 3]})],
        "has no entries": [],
        "has texts for entries": ["a"],
    }
    journals = {name: {"leader": "", "outputs": outputs} for name, outputs in evil.items()}
    journals["leads to another folder"] = {"leader": str(other), "outputs": [own]}
    journals["leads to nowhere"] = {"leader": 7, "outputs": [own]}
    journals["is a list"] = [1]
    return journals


@needs_links
@pytest.mark.parametrize("name", list(planted_journals(Path("/p"), Path("/v"))))
def test_a_journal_of_somebody_else_touches_nothing_outside_its_folder(tmp_path, victim, name):
    place = tmp_path / "place"
    place.mkdir()
    (place / "mine.doc").write_text("mine")
    (victim / "deep" / "data.tif").rename(victim / "deep" / "kept.tif")
    (victim / "deep" / JOURNAL).write_text("{}")
    before = planting.names_and_contents(victim)
    folder = planting.staging_folder(place, planted_journals(place, victim)[name])
    (folder / "new.txt").write_text("theirs")
    (folder / "link").symlink_to(victim)
    recover(place)
    assert planting.names_and_contents(victim) == before
    assert (place / "mine.doc").read_text() == "mine"
    (victim / "deep" / JOURNAL).unlink()
    (victim / "deep" / "kept.tif").rename(victim / "deep" / "data.tif")
    with publishing(place / "b.tif") as path:
        Path(path).write_text("x")


@needs_links
def test_earlier_files_that_lie_behind_a_link_stay_there(tmp_path, victim):
    place = tmp_path / "place"
    place.mkdir()
    folder = planting.staging_folder(place, {"leader": "", "outputs": [planting.entry(place / ".tiledseg-abcd1234")]})
    (folder / REPLACED).symlink_to(victim)
    recover(place)
    assert sorted(path.name for path in place.iterdir()) == [".tiledseg-abcd1234"]


def test_a_journal_that_was_copied_replaces_nothing_and_loses_nothing(tmp_path):
    """As out of an archive: it names files beside it, which may be anybody's there."""
    (tmp_path / "thesis.doc").write_text("mine")
    (tmp_path / "a.tif").write_text("mine, too")
    folder = tmp_path / ".tiledseg-abcd1234"
    changes = {"places": {"a.tif": "a.tif", "a.tif.ovr": "a.tif.ovr"}, "old": ["a.tif", "thesis.doc"]}
    planting.staging_folder(tmp_path, {"leader": "", "outputs": [planting.entry(folder, **changes)]})
    for name in ("a.tif", "a.tif.ovr"):
        (folder / name).write_text("theirs")
    (folder / REPLACED).mkdir()
    (folder / REPLACED / "b.tif").write_text("of before")
    recover(tmp_path)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {
        "thesis.doc": "mine",
        "a.tif": "mine, too",
        "a_kept.tif": "theirs",
        "a_kept.tif.ovr": "theirs",
        "a_earlier_b.tif": "of before",
    }


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files to others")
@pytest.mark.parametrize("prefix", [".tiledseg-", "tiledseg-"])
def test_folders_of_other_users_are_not_taken_up(tmp_path, prefix):
    """In a folder like /tmp anybody can make one that looks as if a run of ours had left it."""
    folder = tmp_path / f"{prefix}abcd1234"
    folder.mkdir()
    (folder / OWNER).write_text("{}")
    (folder / "file").write_text("theirs")
    for path in (folder, folder / OWNER, folder / "file"):
        os.chown(path, 12345, 12345)
    remove_abandoned(tmp_path, prefix)
    assert (folder / "file").exists()
    os.chown(folder, 0, 0)
    remove_abandoned(tmp_path, prefix)
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are of POSIX")
def test_temporary_folders_are_private_and_have_names_that_nobody_can_guess(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = os.umask(0)
    try:
        folders = [WorkFolder("", {}) for _ in range(2)]
        with staging(tmp_path / "a.tif") as one, staging(tmp_path / "b.tif") as other:
            paths = [*(folder.path for folder in folders), one, other]
            assert len({path.name for path in paths}) == 4
            assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o700}
    finally:
        os.umask(before)
    for folder in folders:
        folder.close(True)


@needs_links
def test_what_cannot_be_removed_is_not_made_writable_where_a_link_leads(tmp_path, monkeypatch, victim):
    folder = planting.staging_folder(tmp_path, [])
    (folder / JOURNAL).unlink()
    (folder / "link").symlink_to(victim / "thesis.txt")
    (victim / "thesis.txt").chmod(0o400)
    monkeypatch.setattr(os, "unlink", _refuse)
    remove_abandoned(tmp_path, ".tiledseg-")
    assert stat.S_IMODE((victim / "thesis.txt").stat().st_mode) == 0o400
    (victim / "thesis.txt").chmod(0o600)


def _refuse(path, *arguments, **options):
    raise PermissionError(13, "it is open elsewhere", str(path))


@needs_links
def test_the_scratch_folder_of_rsgislib_is_no_link(tmp_path, victim):
    from tiledseg.tiledseg_plugin.engine.rsgislib.tasks import SCRATCH, _scratch, clear_scratch

    class Patch:
        name = "stage1-0000001"

    (victim / Patch.name).mkdir()
    (victim / Patch.name / "mine.kea").write_text("mine")
    folder = WorkFolder(str(tmp_path / "work"), {"parameters": {}})
    (tmp_path / "work" / SCRATCH).symlink_to(victim)
    with pytest.raises(SegmentationError, match="is a link, which is not followed"), _scratch(folder, Patch):
        pass
    clear_scratch(folder)
    assert (victim / Patch.name / "mine.kea").read_text() == "mine"
    (victim / Patch.name / "mine.kea").unlink()
    folder.close(True)
