# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of labels or ids as runs: a twentieth of their size, and quicker written than as they are.

Rows lie in blocks of BLOCK_ROWS, so that some of them can be read. A file begins with int64 numbers: rows, columns, and
where each block begins and the last one ends. A block is the checksum of the rest of it (CRC-32) and the number of its
codes, both uint32, then the codes of the runs (uint8) and the labels that these do not tell (uint32), see
`kernels.plain.runs`. To compress these would make them a third smaller, and take twice as long as finding them.
"""

import zlib
from typing import BinaryIO, Optional, Protocol, Tuple

import numpy as np

BLOCK_ROWS = 64
NUMBER, LENGTH = np.dtype("<i8"), np.dtype("<u4")


class RunCoder(Protocol):
    """What finds runs and draws them, see `kernels.plain.runs`: a set of kernels."""

    def encode_runs(self, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(rows, cols) uint32 -> (n,) uint8 codes, (m,) uint32 given labels."""

    def decode_runs(self, codes: np.ndarray, given: np.ndarray, table: Optional[np.ndarray], found: np.ndarray) -> None:
        """Fill `found`, (rows, cols) uint32."""


def pack(array: np.ndarray, coder: RunCoder) -> bytes:
    """(rows, cols) uint32 -> the content of a file."""
    rows, cols = array.shape
    blocks = [_packed(array[first : first + BLOCK_ROWS], coder) for first in range(0, rows, BLOCK_ROWS)]
    header = np.empty(3 + len(blocks), NUMBER)
    header[:2] = rows, cols
    header[2:] = header.nbytes + np.cumsum([0, *map(len, blocks)])
    return b"".join([header.tobytes(), *blocks])


def unpack(file: BinaryIO, first: int, count: int, coder: RunCoder, table: Optional[np.ndarray] = None) -> np.ndarray:
    """Some rows: (count, cols) uint32.

    Parameters
    ----------
    file : with the content that `pack` returned
    table : where each value is looked up, if anywhere

    Raises
    ------
    ValueError : the file is damaged
    """
    rows, cols = _numbers(file, 0, 2)
    if not 0 <= first <= first + count <= rows:
        raise ValueError(f"rows {first} to {first + count} of {rows}")
    low, high = first // BLOCK_ROWS, -(-(first + count) // BLOCK_ROWS)
    begins = _numbers(file, 2 + low, high - low + 1)
    file.seek(begins[0])
    found = np.empty((min(high * BLOCK_ROWS, rows) - low * BLOCK_ROWS, cols), np.uint32)
    for block, (begin, end) in enumerate(zip(begins, begins[1:])):
        part = found[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
        _unpack(file.read(end - begin), coder, table, part)
    skipped = first - low * BLOCK_ROWS
    return found[skipped : skipped + count]


def _numbers(file: BinaryIO, first: int, count: int) -> list:
    file.seek(first * NUMBER.itemsize)
    numbers = np.frombuffer(file.read(count * NUMBER.itemsize), NUMBER)
    if numbers.size != count:
        raise ValueError("it is cut short")
    return numbers.tolist()


def _packed(array: np.ndarray, coder: RunCoder) -> bytes:
    codes, given = coder.encode_runs(array)
    content = b"".join([np.array([codes.size], LENGTH).tobytes(), codes.tobytes(), given.astype(LENGTH).tobytes()])
    return np.array([zlib.crc32(content)], LENGTH).tobytes() + content


def _unpack(content: bytes, coder: RunCoder, table: Optional[np.ndarray], found: np.ndarray) -> None:
    head = 2 * LENGTH.itemsize
    checksum, count = np.frombuffer(content, LENGTH, 2).tolist()
    if zlib.crc32(memoryview(content)[LENGTH.itemsize :]) != checksum:
        raise ValueError("a block is not as it was written")
    codes = np.frombuffer(content, np.uint8, count, head)
    given = np.frombuffer(content, LENGTH, offset=head + count).astype(np.uint32, copy=False)
    coder.decode_runs(codes, given, table, found)
