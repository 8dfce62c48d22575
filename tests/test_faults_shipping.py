# SPDX-License-Identifier: GPL-2.0-or-later
"""How the engine and its tasks reach Dask workers: only what the run has sent is unpacked, unpickled and imported.

The functions that workers run are run here by themselves, without a cluster.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import headless
import pytest
from faults import planting
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.execution import dask_worker, shipping
from tiledseg.tiledseg_plugin.engine.execution import worker as inside

WORKER = """
import json, os, sys
sys.path[:0] = {paths!r}
from tiledseg.tiledseg_plugin.engine.execution import shipping
code, marker = json.loads(sys.argv[1])
bring = shipping._bootstrap()
for name in [name for name in sys.modules if name.startswith("tiledseg")]:
    del sys.modules[name]
sys.path[:] = [path for path in sys.path if path not in {paths!r}]
module = bring(tuple(code))(".tiledseg_plugin.engine.errors")
print(json.dumps([module.__file__, sys.path[0]]))
"""


@pytest.fixture
def sent(tmp_path):
    """The archive as a run puts it into WORK_DIR, and what workers are told of it."""
    content = shipping.archive()
    path = tmp_path / "tiledseg-code-0123456789ab.zip"
    path.write_bytes(content)
    return path, [str(path), shipping.digest_of(content), "tiledseg"]


def bring(folder, code, cache=""):
    """What a worker with its own caches, or without any, and its own temporary folder imports."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    (folder / "no folder").write_text("")
    environment = {**os.environ, "TMPDIR": str(temporary), "XDG_CACHE_HOME": cache or str(folder / "no folder" / "x")}
    script = WORKER.format(paths=[str(headless.plugin_path())])
    ended = subprocess.run(
        [sys.executable, "-c", script, json.dumps([code, ""])], env=environment, capture_output=True, text=True
    )
    return (json.loads(ended.stdout) if ended.returncode == 0 else None), ended.stderr


def evil_engine(folder, marker):
    """A folder with an engine that leaves a trace when it is imported."""
    package = folder / "tiledseg" / "tiledseg_plugin" / "engine"
    package.mkdir(parents=True)
    for place in (package, package.parent, package.parent.parent):
        (place / "__init__.py").write_text("")
    (package / "errors.py").write_text(f"open({str(marker)!r}, 'w').close()\n")


@pytest.mark.parametrize("cached", [True, False])
def test_the_engine_is_unpacked_once_into_a_folder_of_the_user(tmp_path, sent, cached):
    path, code = sent
    cache = str(tmp_path / "cache") if cached else ""
    for _ in range(2):
        (file, first), said = bring(tmp_path, code, cache) or (None, None)
        assert Path(file).is_relative_to(tmp_path / ("cache" if cached else "tmp")), said
        assert Path(first).name == code[1] and (cached or oct(Path(first).parent.stat().st_mode)[-3:] == "700")
        path.unlink(missing_ok=True)  # the second time it is not asked for
    assert len(list(Path(first).parent.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users and modes are of POSIX")
@pytest.mark.parametrize("trick", ["open to all", "a link", "a link to the engine", "of another user", "the old name"])
def test_an_engine_that_another_user_of_the_machine_has_put_there_is_not_imported(tmp_path, sent, trick):
    _, code = sent
    marker = tmp_path / "executed"
    base = tmp_path / "tmp" / f"tiledseg-code-{os.geteuid()}"
    evil = tmp_path / "evil"
    evil_engine(evil / code[1], marker)
    base.parent.mkdir()
    if trick == "a link":
        base.symlink_to(evil)
    elif trick == "a link to the engine":
        base.mkdir(mode=0o700)
        (base / code[1]).symlink_to(evil / code[1])
    elif trick == "the old name":
        (tmp_path / "tmp" / "tiledseg").mkdir()
        evil.rename(tmp_path / "tmp" / "tiledseg" / "code")
    else:
        evil.rename(base)
        base.chmod(0o777 if trick == "open to all" else 0o700)
        if trick == "of another user":
            if os.geteuid() != 0:
                pytest.skip("only root can give files to others")
            os.chown(base, 12345, 12345)
    found, said = bring(tmp_path, code)
    assert not marker.exists()
    assert found is not None if trick == "the old name" else "others may write to" in said


@pytest.mark.parametrize("change", ["another engine", "one byte"])
def test_an_archive_that_has_been_changed_in_the_work_folder_is_not_unpacked(tmp_path, sent, change):
    path, code = sent
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if change == "one byte" else b"PK" + bytes(100))
    found, said = bring(tmp_path, code, str(tmp_path / "cache"))
    assert found is None and "is not the archive that the run has sent" in said
    assert not list((tmp_path / "cache" / "tiledseg" / "code").iterdir())


def test_a_stage_that_has_been_changed_in_the_work_folder_is_not_unpickled(tmp_path):
    pytest.importorskip("distributed", reason="distributed is not installed")
    from distributed.protocol import serialize_bytes

    marker, path = tmp_path / "executed", tmp_path / "tiledseg-stage-0123456789ab-012345.bin"
    assert planting.works(marker)
    digest = shipping.digest_of(serialize_bytes((len, None)))
    path.write_bytes(serialize_bytes(planting.Trap(marker)))
    how, what = dask_worker.perform((str(path), digest), 0, serialize_bytes("abc"))
    assert how == inside.REFUSED and "is not what the run has put there: check who may write to WORK_DIR" in what
    assert not marker.exists()


def test_a_result_that_has_been_changed_in_the_work_folder_is_not_unpickled(tmp_path):
    path = tmp_path / "tiledseg-stage-0123456789ab-012345-0-01234567.bin"
    path.write_bytes(b"right")
    parcel = str(path), shipping.digest_of(b"right")
    assert shipping.collect(parcel) == b"right"
    path.write_bytes(b"wrong")
    with pytest.raises(SegmentationError, match="is not what the run has put there"):
        shipping.collect(parcel)
