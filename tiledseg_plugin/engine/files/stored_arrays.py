# SPDX-License-Identifier: GPL-2.0-or-later
"""Arrays in a file of the work folder, which may be damaged or somebody else's: read as numbers or not at all.

The bytes are held against their checksum before they are looked at; no object is ever made of them; and no file can
ask for more memory than it has bytes.
"""

import io
import os
import re
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, Tuple

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
FIRST_VERSION = b"\x93NUMPY\x01\x00"
SIDE = rb"(?:0|[1-9][0-9]*)"
# the description of numbers as numpy writes it; of all else numpy itself makes what it can
AS_WRITTEN = re.compile(
    rb"\{'descr': '([<>|][a-z][0-9]+)', 'fortran_order': (True|False), "
    rb"'shape': \((|" + SIDE + rb",|" + SIDE + rb"(?:, " + SIDE + rb")+)\), \} *\n"
)


def save_arrays(file: BinaryIO, arrays: Iterable[Tuple[str, Any]]) -> None:
    """Write arrays as `numpy.savez` does.

    That itself leaves an archive behind on a full disk whose end Python then complains of on stderr.

    Parameters
    ----------
    arrays : the name of each, and itself, or what returns it when it is its turn

    Raises
    ------
    OSError : the disk is full
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, np.asanyarray(array() if callable(array) else array), allow_pickle=False)


def write_array(file: BinaryIO, array: np.ndarray) -> None:
    """Write an array as `numpy.save` does.

    That itself hands the bytes to the C library, and does not hear of it when the last of them find no room.

    Raises
    ------
    OSError : the disk is full, now or when the file is closed
    ValueError : it holds objects
    """
    array = np.asarray(array, order="C")
    write_lots(file, array.dtype, array.shape, [array])


def write_lots(file: BinaryIO, dtype: np.dtype, shape: Tuple[int, ...], lots: Iterable[np.ndarray]) -> None:
    """As `write_array`, of an array that comes in lots of rows, one behind the other."""
    if dtype.hasobject:
        raise ValueError("it is no array of numbers")
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, described)
    for lot in lots:
        file.write(lot.data)


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
    shape, by_columns, dtype, start = _header(bytes(content[:HEAD_BYTES]))
    values = np.frombuffer(content, dtype, offset=start) if start < len(content) else np.empty(0, dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def map_array(path: str) -> np.ndarray:
    """The array in a .npy file, of which only what is used is read.

    Raises
    ------
    one of DAMAGED : it is not there, cannot be read, or is no such file
    """
    with open(path, "rb") as file:
        shape, by_columns, dtype, start = _header(file.read(HEAD_BYTES))
    return np.memmap(path, dtype, "r", start, shape, "F" if by_columns else "C")


def _header(head: bytes) -> Tuple[Tuple[int, ...], bool, np.dtype, int]:
    """(shape, whether it lies by columns, type, where the values begin) of an array whose file begins so.

    Numpy before 2.0 takes a millisecond for each, in which it looks for numbers as Python 2 wrote them: a quarter of
    what a small tile takes.
    """
    length = int.from_bytes(head[8:10], "little")
    found = AS_WRITTEN.fullmatch(head, 10, 10 + length) if head.startswith(FIRST_VERSION) else None
    if found and len(head) >= 10 + length:
        kind, by_columns, sides = found.groups()
        shape = tuple(int(side) for side in sides.split(b",") if side)
        return shape, by_columns == b"True", np.dtype(kind.decode("ascii")), 10 + length
    file = io.BytesIO(head)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if dtype.hasobject or any(side < 0 for side in shape):
        raise ValueError("it is no array of numbers")
    return shape, by_columns, dtype, file.tell()
