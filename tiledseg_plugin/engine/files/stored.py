# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns too long to be held: in files, and read where and when rows of them are asked for."""

from typing import Any, Callable, Dict, Iterator, Optional, Protocol, Sequence, Tuple, Union

import numpy as np
from numpy.typing import DTypeLike

from ..errors import SegmentationError
from .stored_arrays import DAMAGED, map_array

AT_A_TIME = 1_000_000  # rows


class Rows(Protocol):
    """What a column is asked for, be it an array or not."""

    @property
    def size(self) -> int: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, rows: Any) -> Any: ...


def in_lots(column: Rows) -> Iterator[Any]:
    """All rows of a column, so many at a time."""
    for first in range(0, column.size, AT_A_TIME):
        yield column[first : first + AT_A_TIME]


class Stored:
    """A column whose rows lie one behind the other in .npy files.

    Parameters
    ----------
    paths : of files with (n,) arrays, or (columns, n) ones
    counts : rows in each
    dtype : of what is returned
    column : which one of several; or of each file which one, or None where it has none, whose rows are NaN
    """

    def __init__(
        self,
        paths: Sequence[str],
        counts: Sequence[int],
        dtype: DTypeLike,
        column: Union[None, int, Sequence[Optional[int]]] = None,
    ) -> None:
        self._paths, self._ends = list(paths), np.cumsum([0, *counts])
        self.size, self.dtype, self._column = int(self._ends[-1]), np.dtype(dtype), column
        self._opened: Tuple[str, Optional[np.ndarray]] = ("", None)  # the file that was read last

    def __getstate__(self) -> Dict[str, Any]:
        return {**vars(self), "_opened": ("", None)}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: Union[slice, np.ndarray]) -> np.ndarray:
        """Some rows: a slice without steps, or ascending indices."""
        parts = [np.empty(0, self.dtype)]
        if isinstance(rows, slice):
            first, last, _ = rows.indices(self.size)
            for file, begin, end in self._files(first, last):
                parts.append(self._part(file, slice(max(first - begin, 0), min(end, last) - begin)))
        elif rows.size:
            for file, begin, end in self._files(int(rows[0]), int(rows[-1]) + 1):
                low, high = np.searchsorted(rows, [begin, end])
                parts.append(self._part(file, rows[low:high] - begin))
        return np.concatenate(parts)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _files(self, first: int, last: int) -> Iterator[Tuple[int, int, int]]:
        """(index, begin, end) of the files with rows of a range."""
        file = int(np.searchsorted(self._ends, first, side="right")) - 1
        while file < len(self._paths) and self._ends[file] < last:
            yield file, int(self._ends[file]), int(self._ends[file + 1])
            file += 1

    def _part(self, file: int, rows: Union[slice, np.ndarray]) -> np.ndarray:
        path, column = self._paths[file], self._column
        if column is not None and not isinstance(column, int):
            column = column[file]
            if column is None:
                size = rows.stop - rows.start if isinstance(rows, slice) else rows.size
                return np.full(size, np.nan, self.dtype)
        opened, array = self._opened
        if opened != path or array is None:
            array = _mapped(path)
            self._opened = path, array
        return np.array(array[rows] if column is None else array[column, rows], self.dtype)


def _mapped(path: str) -> np.ndarray:
    try:
        return map_array(path)
    except OSError:  # of which who asks for the rows says what it means for the run
        raise
    except DAMAGED as error:
        raise SegmentationError(f"{path} cannot be read ({error}): start the run again.") from error


class Made:
    """A column that is made of others, when and where rows of it are asked for.

    Parameters
    ----------
    make : function of the same rows of all of them
    dtype : of what it returns
    columns : of equal length
    """

    def __init__(self, make: Callable[..., np.ndarray], dtype: DTypeLike, *columns: Rows) -> None:
        self._make, self._columns = make, columns
        self.size, self.dtype = columns[0].size, np.dtype(dtype)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: Union[slice, np.ndarray]) -> np.ndarray:
        """Some rows, see `Stored`."""
        return self._make(*(column[rows] for column in self._columns)).astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


class AfterZero:
    """A column with a 0 before its first row."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.size, self.dtype = rows.size + 1, rows.dtype

    def __getitem__(self, rows: Union[slice, np.ndarray]) -> np.ndarray:
        """Some rows: a slice without steps, or ascending indices."""
        if not isinstance(rows, slice):
            zeros = rows[rows == 0].astype(self.dtype)
            return np.append(zeros, self._rows[rows[rows > 0] - 1])
        first, end, _ = rows.indices(self.size)
        zero = np.zeros(1 if first == 0 < end else 0, self.dtype)
        return np.append(zero, self._rows[max(first - 1, 0) : max(end - 1, 0)])


class Counting:
    """The column 1, 2, 3 .."""

    dtype = np.dtype(np.int64)

    def __init__(self, size: int) -> None:
        self.size = size

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, end, _ = rows.indices(self.size)
        return np.arange(first + 1, end + 1, dtype=self.dtype)
