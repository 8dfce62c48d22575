# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is lost while outputs are replaced: kills at every step, power cuts, names that others take meanwhile."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import headless
import pytest
from replacing import CASES, GROUPS, Killed, Steps, content, count_steps, outputs_of, prepare, publish_new, states
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import journal, publish
from tiledseg.tiledseg_plugin.engine.files.publish import publishing, recover, staging
from time_limit import no_test_hangs  # noqa: F401


@pytest.fixture
def steps(monkeypatch):
    return Steps(monkeypatch)


@pytest.mark.parametrize("earlier", [True, False], ids=["earlier", "nothing"])
@pytest.mark.parametrize("case", CASES)
def test_a_kill_at_any_step_leaves_the_earlier_or_the_new_one_for_the_next_run(tmp_path, steps, case, earlier):
    names = CASES[case]
    before, after = states(tmp_path, names, earlier)
    prepare(tmp_path / "dry", names, earlier)
    total = count_steps(steps, tmp_path / "dry", names)
    assert total > 10
    seen = set()
    for number in range(1, total + 1):
        folder = tmp_path / f"killed-{number}"
        prepare(folder, names, earlier)
        steps.at(number, Killed)
        with pytest.raises(Killed):
            publish_new(folder, names)
        steps.at(None, None)
        for one in {(folder / name).parent for name in names}:
            recover(one)
        recover(folder)
        now = content(folder)
        assert now in (before, after), number
        assert not list(folder.rglob(".tiledseg-*")), number
        seen.add(now == after)
    assert seen == {True, False}


@pytest.mark.parametrize("case", CASES)
def test_a_kill_while_a_killed_run_is_recovered_does_no_harm_either(tmp_path, steps, case):
    names = CASES[case]
    before, after = states(tmp_path, names)
    prepare(tmp_path / "dry", names)
    total = count_steps(steps, tmp_path / "dry", names)
    for number in range(total // 3, total, 4):
        for again in range(1, 200, 3):
            folder = tmp_path / f"killed-{number}-{again}"
            prepare(folder, names)
            steps.at(number, Killed)
            with pytest.raises(Killed):
                publish_new(folder, names)
            steps.at(again, Killed)
            places = sorted({folder, *((folder / name).parent for name in names)})
            try:
                for one in places:
                    recover(one)
                ended = True
            except Killed:
                ended = False
            steps.at(None, None)
            for one in places:
                recover(one)
            assert content(folder) in (before, after), (number, again)
            assert not list(folder.rglob(".tiledseg-*"))
            if ended:
                break
        else:
            pytest.fail("a recovery has more steps than were tried")


KILLED_RUN = """
import os, sys
sys.path[:0] = {paths!r}
import replacing
from pathlib import Path
left = [int(sys.argv[2])]
def deadly(function):
    def step(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        return function(*arguments, **options)
    return step
for name in replacing.STEPS:
    setattr(os, name, deadly(getattr(os, name)))
replacing.publish_new(Path(sys.argv[1]), sys.argv[3:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("following", ["the same output", "another output beside it", "nothing but a check"])
def test_a_process_that_is_killed_at_any_step(tmp_path, following):
    names = CASES["several"]
    before, after = states(tmp_path, names)
    script = tmp_path / "killed.py"
    paths = [str(Path(headless.__file__).parent), str(Path(__file__).parent), str(headless.plugin_path())]
    script.write_text(KILLED_RUN.format(paths=paths))
    number, ended = 1, False
    while not ended:
        folder = tmp_path / f"killed-{number}"
        prepare(folder, names)
        code = subprocess.run([sys.executable, str(script), str(folder), str(number), *names]).returncode
        assert code in (0, -signal.SIGKILL)
        ended = code == 0
        number += 4
        if following == "the same output":
            publish_new(folder, names)
            assert content(folder) == after
        elif following == "another output beside it":
            for other in (folder / "other.tif", folder / "sub" / "other.tif"):
                with publishing(other) as path:
                    Path(path).write_text("x")
                other.unlink()
        else:
            for name, (output, _, replaced) in zip(names, outputs_of(folder, names)):
                with staging(output, name, replaced):
                    pass
        assert content(folder) in (before, after)
        assert not list(folder.rglob(".tiledseg-*"))
    assert number > 30


def test_contents_are_on_the_disk_before_a_name_is_taken(tmp_path, monkeypatch):
    names, log = CASES["several"], []
    prepare(tmp_path, names)
    synchronize, replace = os.fsync, os.replace

    def record_fsync(file):
        status = os.fstat(file)
        log.append(("fsync", status.st_ino))
        synchronize(file)

    def record_replace(source, target):
        log.append(("replace", os.lstat(source).st_ino, Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    publish_new(tmp_path, names)
    moves = [entry for entry in log if entry[0] == "replace" and ".tiledseg-" not in str(entry[2])]
    journals = [
        number for number, entry in enumerate(log) if entry[0] == "replace" and entry[2].name == journal.JOURNAL
    ]
    first = log.index(moves[0])
    assert len(moves) == sum(len(GROUPS[name][1]) for name in names)
    assert len(journals) == len(names)
    for move in moves:
        assert ("fsync", move[1]) in log[: journals[0]]
    assert ("fsync", (tmp_path / "sub").stat().st_ino) in log[journals[-1] : first]
    assert ("fsync", tmp_path.stat().st_ino) in log[log.index(moves[-1]) :]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_does_not_get_to_the_disk_is_no_result(tmp_path, monkeypatch, number):
    before, _ = states(tmp_path, ["a.tif"])
    folder = tmp_path / "here"
    prepare(folder, ["a.tif"])

    def fail(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SegmentationError, match=f"a.tif cannot be written .{os.strerror(number)}"):
        publish_new(folder, ["a.tif"])
    assert content(folder) == before


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_cannot_be_taken_back_from_its_place_stands_there_and_the_next_run_completes_it(tmp_path, monkeypatch):
    names, folder = ["a.tif"], tmp_path / "here"
    _, after = states(tmp_path, names)
    prepare(folder, names)

    def fail(moves):
        for name in ("link", "replace", "mkdir"):
            patched.setattr(os, name, full)
        full()

    with monkeypatch.context() as patched:
        patched.setattr(publish, "synchronize_places", fail)
        with pytest.raises(
            SegmentationError, match="the finished result stands there, .* the next run .* completes it"
        ):
            publish_new(folder, names)
    assert content(folder)["a.tif"] == after["a.tif"]
    recover(folder)
    assert content(folder) == after


@pytest.mark.parametrize("case", CASES)
def test_names_that_do_not_get_to_the_disk_are_other_names_and_the_earlier_ones_are_back(tmp_path, monkeypatch, case):
    """After all files have got their places, the folder that they are in cannot be written to the disk."""
    names, folder = CASES[case], tmp_path / "here"
    before, after = states(tmp_path, names)
    prepare(folder, names)
    synchronize = os.fsync

    def fail(file):
        places = {folder, *((folder / name).parent for name in names)}
        if any(os.path.samestat(os.fstat(file), os.stat(place)) for place in places):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synchronize(file)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SegmentationError, match="the finished result is kept as .*_kept.*; make room on its disk"):
        publish_new(folder, names)
    now = content(folder)
    assert {name: now[name] for name in before} == before
    assert sorted(after[name] for name in after if after[name] not in before.values()) == sorted(
        now[name] for name in now if name not in before
    )
    assert not list(folder.rglob(".tiledseg-*"))


def test_a_name_that_somebody_has_used_meanwhile_is_left_to_them(tmp_path, steps):
    names = ["a.tif"]
    before, after = states(tmp_path, names)
    earlier = {name: before[name] for name in GROUPS["a.tif"][0]}
    new = {name: after[name] for name in GROUPS["a.tif"][1]}
    prepare(tmp_path / "dry", names)
    total, seen = count_steps(steps, tmp_path / "dry", names), 0
    for number in range(1, total + 1):
        folder = tmp_path / f"killed-{number}"
        prepare(folder, names)
        steps.at(number, Killed)
        with pytest.raises(Killed):
            publish_new(folder, names)
        steps.at(None, None)
        placed = content(folder).get("a.tif") == new["a.tif"]
        (folder / "a.tif").unlink(missing_ok=True)
        (folder / "a.tif").write_text("theirs")
        recover(folder)
        now = content(folder)
        assert (folder / "a.tif").read_text() == "theirs"
        assert not list(folder.rglob(".tiledseg-*"))
        if not placed and "a_kept.tif" in now:
            seen += 1
            assert {name: now[name.replace("a", "a_kept", 1)] for name in new} == new
            assert set(earlier.values()) - {earlier["a.tif"]} <= set(now.values())
    assert seen > 5
