# SPDX-License-Identifier: GPL-2.0-or-later
"""The work folder: a manifest of the run and one finished file a part of the raster and stage.

A file is written under another name and renamed, so that what bears its name is whole. All names are known, so that
nothing else in a folder of the user's is ever touched, also if its name begins alike.
"""

import errno
import json
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
import zlib
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from ..errors import SegmentationError, why
from .foreign import load_json, open_file
from .labels import RunCoder, pack, unpack
from .on_windows import LONGEST_PATH, replace_file
from .ownership import Occupied, Ownership, make_owned_folder, remove_abandoned
from .stored import Rows, in_lots
from .stored_arrays import DAMAGED, load_arrays, map_array, save_arrays, write_array, write_lots

PREFIX = "tiledseg-"
MANIFEST = PREFIX + "manifest.json"
FORMAT = 14  # of the files; those of another one are made anew
NUMBER, TOKEN = r"\d{7,}", r"[0-9a-f]{12}"
KEPT = "|".join(  # after the prefix, what a run can be taken up from
    (
        rf"(graph|contents|merged|moments|window|rings|sorted|zones|stage\d)-{NUMBER}\.npz",
        rf"(table|below|first|pixels|holders|levels|zone|present|moments|ids|sizes|rows|summary|number)-{NUMBER}\.npy",
        rf"(corners|flags|chain-corners|chain-flags)-{NUMBER}\.npy",
        r"(places|ready)-\d+-\d+\.npz|beside\.bin",
        rf"(column|owner|value|times|finished|found|ranked|totals)-\d+-{NUMBER}\.npy",
        rf"(sums|reach|borders|pairs|differences|nearest|inside)-{NUMBER}\.npy",
        rf"(labels|ids|stage\d)-{NUMBER}\.raw",
        r"(survey|sample)\.npz|(ids|sizes|sides|open|classes)\.npy",
    )
)
LONGEST_NAME = f"{PREFIX}chain-corners-0000000.npy"
DECODED = r"decoded-[vma]\d+-\d+-\d+\.npy"  # a run that is taken up decodes anew, as nothing says that these are whole
PASSING = rf"{DECODED}|code-{TOKEN}\.zip|stage-{TOKEN}-[0-9a-f]{{6}}(-\d+-[0-9a-f]{{8}})?\.bin"  # what Dask sends about
PARTIAL = rf"({KEPT}|{PASSING}|manifest\.json)(\.\d+(-[0-9a-f]{{8}})?)?\.partial"


class WorkFolder:
    """Intermediate files of a run.

    Parameters
    ----------
    path : folder of the user's, made where it is missing; empty for a temporary one
    manifest : plain values by which files found here are known to belong to this run: `parameters`, by the names that
        the user knows, and `input`, by which a changed raster is known

    Attributes
    ----------
    note : what was found here, for the log; may be empty

    Raises
    ------
    SegmentationError : the folder cannot be used, or holds the files of another run
    """

    def __init__(self, path: str, manifest: Mapping[str, Any]) -> None:
        self.is_temporary = not path
        self.note = ""
        self._made = False
        try:
            if self.is_temporary:
                remove_abandoned(tempfile.gettempdir(), PREFIX)
                self.path, self._ownership = make_owned_folder(tempfile.gettempdir(), PREFIX)
            else:
                self.path = Path(path).absolute()
                self._made = not self.path.exists()
                self.path.mkdir(parents=True, exist_ok=True)
                self._ownership = Ownership(self.path)
                self._try_longest_name()
        except Occupied as error:
            raise SegmentationError(
                f"WORK_DIR {self.path} is in use by {error}: wait for its end, or give another folder."
            ) from error
        except OSError as error:
            raise SegmentationError(
                f"The work folder {path or tempfile.gettempdir()} cannot be used ({why(error)}): make room, or choose "
                "another by WORK_DIR."
            ) from error
        try:
            self._agree(json.loads(json.dumps({"format": FORMAT, **manifest})))
        except BaseException:
            self._give_up()
            raise

    def _try_longest_name(self) -> None:
        """Find out before the run whether the folder's own path leaves room for the names of all files in it."""
        trial = self.path / f"{LONGEST_NAME}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
        try:
            trial.touch()
            trial.unlink()
        except OSError as error:
            self._give_up()
            if error.errno == errno.ENAMETOOLONG or (sys.platform == "win32" and len(str(trial)) >= LONGEST_PATH):
                raise OSError(error.errno, "its path is too long for the files in it", str(trial)) from error
            raise

    def _give_up(self) -> None:
        """Leave the folder as it was found, where the run cannot even begin."""
        if self.is_temporary:
            self._ownership.remove_folder()
            return
        self._ownership.release()
        if self._made:
            with suppress(OSError):
                self.path.rmdir()

    def __getstate__(self) -> Dict[str, Any]:
        """What travels to workers: where it is, not that it is owned."""
        return {"path": self.path, "is_temporary": self.is_temporary}

    def _agree(self, manifest: Dict[str, Any]) -> None:
        try:
            found = load_json(self.path / MANIFEST)
            if not isinstance(found, dict) or not isinstance(found.get("parameters", {}), dict):
                raise ValueError("not a manifest")
        except FileNotFoundError:
            found = None
        except (ValueError, OSError):
            found = {}
        if found and found.get("format") == FORMAT and found != manifest:
            raise SegmentationError(self._difference(found, manifest))
        self._begin_without(PARTIAL, PASSING)
        if found == manifest:
            self.note = f"An interrupted run is taken up in {self.path}."
            return
        if found is not None:
            self.note = f"The manifest in {self.path} is damaged or of another version: the run begins anew."
        self._begin_without(KEPT)
        self._replace(MANIFEST, lambda file: file.write(json.dumps(manifest, indent=1).encode()))

    def _difference(self, found: Dict[str, Any], manifest: Dict[str, Any]) -> str:
        there, now = found.get("parameters", {}), manifest["parameters"]
        names = [name for name in {**now, **there} if there.get(name) != now.get(name)]
        if names:
            changes = "; ".join(
                f"{name}: {_shown(there.get(name))} there, {_shown(now.get(name))} now" for name in names
            )
            what = f"other settings ({changes})"
        else:
            what = f"an earlier state of its input ({_changed_input(found.get('input'), manifest.get('input'))})"
        return (
            f"WORK_DIR {self.path} holds an interrupted run with {what}: "
            f"give the same again, or another folder, or remove the files {PREFIX}* in it."
        )

    def _replace(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        target = self.path / name
        if name != MANIFEST and not re.fullmatch(PREFIX + f"({KEPT}|{DECODED})", name):
            raise ValueError(f"{name} would not be known as a file of a run: add it to KEPT.")
        partial = target.with_name(f"{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
        try:
            with open(partial, "wb") as file:
                write(file)
            replace_file(partial, target)
        except OSError as error:
            where = "the temporary folder, or give a WORK_DIR" if self.is_temporary else "WORK_DIR, or choose another"
            raise self._unless_gone(f"{target} cannot be written ({why(error)}): make room in {where}.") from error
        finally:
            with suppress(OSError):  # it is gone, unless something went wrong
                partial.unlink()

    def _unless_gone(self, sentence: str) -> SegmentationError:
        """The error that says so, or that there is no work folder any more, which explains all else."""
        if self.path.is_dir():
            return SegmentationError(sentence)
        return SegmentationError(
            f"The work folder {self.path} was removed while the run was using it: start the run again"
            + (", with a WORK_DIR that nobody tidies up." if self.is_temporary else ".")
        )

    def save(self, name: str, others: Iterable[Tuple[str, Any]] = (), /, **arrays: Any) -> None:
        """Write arrays (see `save_arrays`) under a name; they are checked when they are loaded.

        Parameters
        ----------
        others : names and arrays that are made while they are written
        """
        self._replace(f"{PREFIX}{name}.npz", lambda file: save_arrays(file, chain(arrays.items(), others)))

    def load(self, name: str, *wanted: str) -> Optional[Dict[str, np.ndarray]]:
        """The arrays saved under a name, as a dict, or some of them; None if they are missing or damaged."""
        try:
            return load_arrays(self.path / f"{PREFIX}{name}.npz", *wanted)
        except DAMAGED:
            return None

    def save_rows(self, name: str, array: np.ndarray) -> int:
        """Write a (rows, cols) array so that some of its rows can be read.

        Returns its checksum, by which a run that is taken up knows it; 0 in a temporary folder, where none ever is.
        """
        array = np.ascontiguousarray(array)
        self._replace(f"{PREFIX}{name}.raw", lambda file: file.write(array.data))
        return 0 if self.is_temporary else zlib.crc32(array)

    def load_rows(self, name: str, first: int, count: int, width: int, dtype: Any) -> np.ndarray:
        """Rows `first` to `first + count` of an array saved with `save_rows`."""
        dtype = np.dtype(dtype)
        path = self.path / f"{PREFIX}{name}.raw"
        try:
            rows = np.fromfile(path, dtype, count * width, offset=first * width * dtype.itemsize)
            return rows.reshape(count, width)
        except DAMAGED as error:
            raise self._unless_gone(f"{path} cannot be read ({error}): start the run again.") from error

    def save_labels(self, name: str, array: np.ndarray, coder: RunCoder) -> int:
        """Write (rows, cols) uint32 labels or ids, see `labels`; returns what `save_rows` does."""
        content = pack(array, coder)
        self._replace(f"{PREFIX}{name}.raw", lambda file: file.write(content))
        return 0 if self.is_temporary else zlib.crc32(content)

    def load_labels(
        self, name: str, first: int, count: int, coder: RunCoder, table: Optional[np.ndarray] = None
    ) -> np.ndarray:
        """Rows `first` to `first + count` of what `save_labels` wrote, looked up in a table if there is one."""
        path = self.path / f"{PREFIX}{name}.raw"
        try:
            with open_file(path) as file:
                return unpack(file, first, count, coder, table)
        except (*DAMAGED, IndexError) as error:
            raise self._unless_gone(f"{path} cannot be read ({error}): start the run again.") from error

    def checksum(self, name: str) -> Optional[int]:
        """The checksum of what `save_rows` or `save_labels` wrote; None if it is missing."""
        total = 0
        try:
            with open_file(self.path / f"{PREFIX}{name}.raw") as file:
                while chunk := file.read(1 << 22):
                    total = zlib.crc32(chunk, total)
        except OSError:
            return None
        return total

    def save_file(self, name: str, path: str) -> None:
        """Keep a copy of a file under a name."""

        def copy(file: BinaryIO) -> None:
            with open(path, "rb") as source:
                shutil.copyfileobj(source, file)

        self._replace(f"{PREFIX}{name}.bin", copy)

    def file_path(self, name: str) -> str:
        """Where `save_file` keeps it."""
        return str(self.path / f"{PREFIX}{name}.bin")

    def save_array(self, name: str, array: np.ndarray) -> None:
        """Write one array so that parts of it can be read (`map_array`)."""
        self._replace(f"{PREFIX}{name}.npy", lambda file: write_array(file, array))

    def save_column(self, name: str, column: Rows) -> None:
        """As `save_array`, of a column that is not held."""
        lots = (np.ascontiguousarray(lot) for lot in in_lots(column))
        self._replace(f"{PREFIX}{name}.npy", lambda file: write_lots(file, column.dtype, (column.size,), lots))

    def array_path(self, name: str) -> str:
        """Where `save_array` writes an array."""
        return str(self.path / f"{PREFIX}{name}.npy")

    def has_array(self, name: str) -> bool:
        """Whether `save_array` has written it."""
        return (self.path / f"{PREFIX}{name}.npy").exists()

    def map_array(self, name: str) -> np.ndarray:
        """An array saved with `save_array`, of which only what is used is read."""
        path = self.path / f"{PREFIX}{name}.npy"
        try:
            return map_array(str(path))
        except DAMAGED as error:
            raise self._unless_gone(f"{path} cannot be read ({error}): start the run again.") from error

    def arrays(self, beginning: str) -> List[str]:
        """The names of the arrays that begin so."""
        return sorted(path.stem[len(PREFIX) :] for path in self.path.glob(f"{PREFIX}{beginning}*.npy"))

    def drop(self, *names: str) -> None:
        """Remove what nobody needs any more, unless it is rows or labels; should it stay, it goes with the rest."""
        for path in (self.path / f"{PREFIX}{name}{suffix}" for name in names for suffix in (".npz", ".npy", ".bin")):
            with suppress(OSError):
                path.unlink()

    def forget(self, names: str) -> None:
        """Remove files of an earlier run.

        Parameters
        ----------
        names : regular expression of what follows the prefix

        Raises
        ------
        OSError : one cannot be removed
        """
        for path in self._files(names):
            path.unlink(missing_ok=True)

    def close(self, finished: bool) -> None:
        """Give the folder up.

        Parameters
        ----------
        finished : bool, whether what is in it is of no more use; otherwise a run can be taken up from it
        """
        if self.is_temporary:
            self._ownership.remove_folder()
            return
        names = [PARTIAL, PASSING, *([KEPT, re.escape(MANIFEST[len(PREFIX) :])] if finished else [])]
        for path in (path for one in names for path in self._files(one)):
            with suppress(OSError):  # the next run removes it
                path.unlink()
        self._ownership.release()
        if finished and self._made:
            with suppress(OSError):  # somebody else has put something there
                self.path.rmdir()

    def _begin_without(self, *names: str) -> None:
        try:
            for one in names:
                self.forget(one)
        except OSError as error:
            raise SegmentationError(
                f"The work folder {self.path} cannot be used, as a file that an earlier run left cannot be removed "
                f"({error.filename}: {error.strerror}): close it in other programs, or choose another folder."
            ) from error

    def _files(self, names: str) -> List[Path]:
        """The files here that a run makes under such names; no folder and no link is one."""
        try:
            found = [Path(entry.path) for entry in os.scandir(self.path) if entry.is_file(follow_symlinks=False)]
        except OSError:
            return []
        return sorted(path for path in found if re.fullmatch(f"{PREFIX}({names})", path.name))


def narrowed(array: np.ndarray) -> np.ndarray:
    """The integers in the smallest type that holds them, for a file."""
    least, most = int(array.min(initial=0)), int(array.max(initial=0))
    fitting = np.promote_types(np.min_scalar_type(least), np.min_scalar_type(most))
    return array.astype(fitting, copy=False) if fitting.kind in "iu" else array


def narrowed_exactly(values: np.ndarray) -> np.ndarray:
    """Numbers in the smallest type of integers that has all their bits, for a file; as they are where none has."""
    with np.errstate(invalid="ignore"):
        whole = narrowed(values.astype(np.int64))
    return whole if whole.astype(values.dtype).tobytes() == values.tobytes() else values


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = ";".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _changed_input(*states: Any) -> str:
    """What differs between the input as a manifest has it, and as it is now."""
    files = [_entries(_entries(state).get("files")) for state in states]
    for path in {**files[0], **files[1]}:
        old, new = files[0].get(path), files[1].get(path)
        if old != new:
            return f"{path}: {_state(old)} there, {_state(new)} now"
    return "its size, position, bands or no-data values have changed"


def _entries(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _state(state: Any) -> str:
    if not state:
        return "missing"
    try:
        size, changed = state
        return f"{size} bytes of {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(changed / 1e9))}"
    except (TypeError, ValueError, OverflowError, OSError):  # not all systems name times before 1970
        return "of no known time"
