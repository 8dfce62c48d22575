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
from typing import Dict

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


def load_arrays(path: Path) -> Dict[str, np.ndarray]:
    """The arrays in a file that `numpy.savez` has written: {name: array}.

    Raises
    ------
    one of DAMAGED : it is not there, cannot be read, or is no such file
    """
    with open_file(path) as opened, zipfile.ZipFile(opened) as archive:
        members = archive.infolist()
        stored = all(one.compress_type == zipfile.ZIP_STORED for one in members)
        if not stored or sum(one.file_size for one in members) > os.path.getsize(path):
            raise ValueError(f"{path} is no file of arrays as they are stored here")
        return {one.filename[: -len(".npy")]: _array(archive, one) for one in members}


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
