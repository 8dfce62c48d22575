# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody with bad intentions would put into a folder: things that, once executed or followed, leave a trace."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
from tiledseg.tiledseg_plugin.engine.files import journal
from tiledseg.tiledseg_plugin.engine.files.ownership import OWNER


class Trap:
    """An object that makes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def works(marker: Path) -> bool:
    """Whether a trap is one: it would be worth nothing to see none sprung otherwise."""
    pickle.loads(pickle.dumps(Trap(marker)))
    found = marker.exists()
    marker.unlink()
    return found


def object_array(marker: Path) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = Trap(marker)
    return array


def arrays_with_a_pickle(path: Path, marker: Path, names) -> None:
    """In place of a file of arrays: one with the same names, each a pickle."""
    np.savez(path, **{name: object_array(marker) for name in names})


def boastful_array(path: Path, names) -> None:
    """A file of arrays that say to be much larger than they are; its checksums are right."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", head.getvalue() + bytes(80))


def staging_folder(parent: Path, content: dict, letters: str = "abcd1234") -> Path:
    """A staging folder that a killed run could have left, with a journal of any content."""
    folder = parent / f".tiledseg-{letters}"
    folder.mkdir()
    (folder / OWNER).write_text("{}")
    (folder / journal.JOURNAL).write_text(json.dumps(content))
    return folder


def entry(folder: Path, **changes) -> dict:
    """What a journal says of one output that has nothing to move."""
    nothing = {"folder": str(folder), "target": "a.tif", "places": {}, "old": [], "states": {}, "earlier": None}
    return {**nothing, **changes}


def names_and_contents(folder: Path) -> dict:
    """{path: content} of everything in a folder, and where links lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
