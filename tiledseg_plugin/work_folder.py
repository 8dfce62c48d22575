# SPDX-License-Identifier: GPL-2.0-or-later
"""The work folder: a manifest of the run and one finished file a tile and stage.

A file is written under another name and renamed, so that what bears its name is whole.
"""

import json
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .errors import SegmentationError

MANIFEST = "tiledseg-manifest.json"
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class WorkFolder:
    """Intermediate files of a run.

    Parameters
    ----------
    path : folder of the user's, made where it is missing; empty for a temporary one
    manifest : plain values that tell whether files found here belong to this run

    Raises
    ------
    SegmentationError : the folder cannot be used, or holds the files of another run
    """

    def __init__(self, path, manifest):
        self.is_temporary = not path
        try:
            if self.is_temporary:
                self.path = Path(tempfile.mkdtemp(prefix="tiledseg-"))
            else:
                self.path = Path(path)
                self.path.mkdir(parents=True, exist_ok=True)
            self._agree(json.loads(json.dumps(manifest)))
        except OSError as error:
            raise SegmentationError(f"The work folder {path} cannot be used ({error.strerror}): choose another.") from error

    def _agree(self, manifest):
        try:
            found = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            found = None
        except ValueError:
            found = {}
        if found is not None and found != manifest:
            names = [name for name in {**manifest, **found} if manifest.get(name) != found.get(name)]
            changes = "; ".join(f"{name}: {found.get(name)} there, {manifest.get(name)} now" for name in sorted(names))
            raise SegmentationError(
                f"WORK_DIR {self.path} holds an interrupted run with other settings ({changes}): "
                "give the same ones, or another folder."
            )
        if found is None:
            self._replace(MANIFEST, lambda file: file.write(json.dumps(manifest, indent=1).encode()))

    def _replace(self, name, write):
        target = self.path / name
        partial = target.with_name(f"{name}.{os.getpid()}.partial")
        try:
            with open(partial, "wb") as file:
                write(file)
            os.replace(partial, target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise SegmentationError(
                f"{target} cannot be written ({error.strerror}): make room, or choose another WORK_DIR."
            ) from error

    def save(self, name, **arrays):
        """Write arrays under a name; they are checked when they are loaded."""
        self._replace(name + ".npz", lambda file: np.savez(file, **arrays))

    def load(self, name):
        """The arrays saved under a name, as a dict; None if they are missing or damaged."""
        try:
            with np.load(self.path / (name + ".npz"), allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except DAMAGED:
            return None

    def save_rows(self, name, array):
        """Write a (rows, cols) array so that some of its rows can be read; gives its checksum."""
        array = np.ascontiguousarray(array)
        self._replace(name + ".raw", array.tofile)
        return zlib.crc32(array)

    def load_rows(self, name, first, count, width, dtype):
        """Rows `first` to `first + count` of an array saved with `save_rows`."""
        dtype = np.dtype(dtype)
        path = self.path / (name + ".raw")
        try:
            rows = np.fromfile(path, dtype, count * width, offset=first * width * dtype.itemsize)
            return rows.reshape(count, width)
        except DAMAGED as error:
            raise SegmentationError(f"{path} cannot be read ({error}): start the run again.") from error

    def checksum(self, name):
        """The checksum of what `save_rows` wrote; None if it is missing."""
        total = 0
        try:
            with open(self.path / (name + ".raw"), "rb") as file:
                while chunk := file.read(1 << 22):
                    total = zlib.crc32(chunk, total)
        except OSError:
            return None
        return total

    def remove(self):
        """Remove the files of this run, and the folder if it was made for it."""
        if self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        for pattern in ("*.npz", "*.npy", "*.raw", "*.partial", MANIFEST):
            for file in self.path.glob(pattern):
                file.unlink()
