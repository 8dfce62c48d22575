# SPDX-License-Identifier: GPL-2.0-or-later
"""Arrays in a file of the work folder, which may be damaged or somebody else's: read as numbers or not at all.

The bytes are held against their checksum before they are looked at; no object is ever made of them; and no file can
ask for more memory than it has bytes.
"""

import io
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Dict, Mapping

import numpy as np
from numpy.lib import format as npy

from .foreign import open_file

# what reading a file of any content can raise
DAMAGED = (
    OSError, ValueError, LookupError, EOFError, TypeError, OverflowError, SyntaxError, RuntimeError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
CHUNK_BYTES = 1 << 22
HEAD_BYTES = 1 << 12  # of the description of an array


def save_arrays(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    """Write arrays as `numpy.savez` does.

    That itself leaves an archive behind on a full disk whose end Python then complains of on stderr.

    Raises
    ------
    OSError : the disk is full
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, np.asanyarray(array), allow_pickle=False)


def load_arrays(path: Path, *wanted: str) -> Dict[str, np.ndarray]:
    """The arrays in a file that `save_arrays` has written, or some of them: {name: array}.

    Raises
    ------
    one of DAMAGED : it is not there, cannot be read, is no such file, or lacks one that is wanted
    """
    with open_file(path) as opened, zipfile.ZipFile(opened) as archive:
        members = {one.filename[: -len(".npy")]: one for one in archive.infolist()}
        stored = all(one.compress_type == zipfile.ZIP_STORED for one in members.values())
        if not stored or sum(one.file_size for one in members.values()) > os.path.getsize(path):
            raise ValueError(f"{path} is no file of arrays as they are stored here")
        return {name: _array(archive, members[name]) for name in wanted or members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    content = bytearray(member.file_size)
    at = 0
    with archive.open(member) as file:
        while part := file.read(CHUNK_BYTES):  # at the end the checksum is compared
            content[at : at + len(part)] = part
            at += len(part)
    if at != member.file_size:
        raise ValueError(f"{member.filename} is not as long as it should be")
    head = io.BytesIO(content[:HEAD_BYTES])
    shape, by_columns, dtype = _header(head)
    if dtype.hasobject or any(side < 0 for side in shape):
        raise ValueError(f"{member.filename} is no array of numbers")
    start = head.tell()
    values = np.frombuffer(content, dtype, offset=start) if start < len(content) else np.empty(0, dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def _header(file: io.BytesIO) -> tuple:
    version = npy.read_magic(file)
    return npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
