# SPDX-License-Identifier: GPL-2.0-or-later
"""New columns in the GeoPackage that stands beside a raster: all else in it, of the user's too, stays as it is."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple
from urllib.parse import quote

import numpy as np

from ..errors import SegmentationError
from ..files.tables import Column, plain_values, quoted
from ..files.verification import verify_features
from ..progress import Feedback
from .attributes import Attributes
from .present_columns import HISTOGRAM, PresentColumns

ROWS = 20_000  # at a time
LOCKED_SECONDS = 5.0  # that a table in use elsewhere is waited for
ID = "segment"


def side_files(target: Path) -> List[Path]:
    """What goes away with the GeoPackage that is replaced: its contents have been copied, too."""
    return [Path(f"{target}{suffix}") for suffix in ("-wal", "-shm")]


def write_updated(
    path: str, staged: str, attributes: Attributes, columns: Sequence[Column], prefix: str, feedback: Feedback
) -> None:
    """Write the table of a raster's segments anew, with more columns; see `update_table.write_update`."""
    try:
        _copy(path, staged)
        with closing(sqlite3.connect(staged)) as connection:
            last, rows = _update(connection, path, attributes, columns, prefix, feedback)
    except sqlite3.Error as error:
        raise SegmentationError(
            f"{path} cannot be updated ({error}): close it in other programs, make room on its disk, check that it "
            "is a GeoPackage, or switch UPDATE_RAT off."
        ) from error
    verify_features(staged, rows, "SEGMENTS", last)


def database_uri(path: str, mode: str = "ro") -> str:
    """What SQLite takes for a file of any name, among them those with `#`, `?` and `%`."""
    whole = Path(path).absolute().as_posix()
    return "file://" + ("" if whole.startswith("/") else "/") + quote(whole) + f"?mode={mode}"


def is_locked(path: str) -> bool:
    """Whether another program keeps a database from being read at this moment."""
    try:
        with closing(sqlite3.connect(database_uri(path), timeout=LOCKED_SECONDS, uri=True)) as connection:
            connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.Error:
        return False
    return False


def _copy(path: str, staged: str) -> None:
    """The database as it is, with what has not been put into its main file yet.

    `backup` waits for ever for a lock of another program, unless this one has its own, which is waited for in time.
    """
    source = sqlite3.connect(database_uri(path), timeout=LOCKED_SECONDS, isolation_level=None, uri=True)
    with closing(source), closing(sqlite3.connect(staged)) as copy:
        source.execute("BEGIN")
        source.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
        source.backup(copy)


def _update(
    connection: sqlite3.Connection,
    path: str,
    attributes: Attributes,
    columns: Sequence[Column],
    prefix: str,
    feedback: Feedback,
) -> Tuple[int, int]:
    """The last row's id, and how many there are."""
    connection.execute("PRAGMA synchronous = OFF")  # a file that is not finished never gets its name
    table, names = _table_of(connection, path)
    rows = connection.execute(f"SELECT rowid, {quoted(ID)} FROM {quoted(table)}").fetchall()  # noqa: S608 # nosec B608
    rowids, ids = (np.array(values, np.float64) for values in (zip(*rows) if rows else ((), ())))
    order = np.argsort(ids, kind="stable")
    places = np.searchsorted(ids[order], attributes.ids)
    if ids.size < attributes.ids.size or not np.array_equal(
        ids[order][np.minimum(places, ids.size - 1)], attributes.ids
    ):
        raise SegmentationError(f"{path} holds other segments than SEGMENTS: delete it, or switch UPDATE_RAT off.")
    places = order[places]  # of the raster's segments, in the table
    held: Dict[str, Optional[np.ndarray]] = {}

    def every_value(name: str) -> Optional[np.ndarray]:
        if name not in held:
            found = connection.execute(f"SELECT {quoted(name)} FROM {quoted(table)}").fetchall()  # noqa: S608 # nosec B608
            held[name] = _numbers([value for (value,) in found])
        return held[name]

    def values_of(name: str) -> Optional[np.ndarray]:
        values = every_value(name)
        return None if values is None else values[places]

    present = PresentColumns(names, values_of)
    new, fresh = present.named(columns, prefix, feedback)
    sizes = np.zeros(ids.size)
    sizes[places] = attributes.sizes
    counted = every_value(HISTOGRAM) if HISTOGRAM in names else None
    changed = [] if counted is None or np.array_equal(counted, sizes) else [Column(HISTOGRAM, sizes)]
    if changed:
        present.warn_of_stale(fresh, ids.size - attributes.ids.size, feedback)
    _write(connection, table, rowids, [*changed, *(_spread(column, places, ids.size) for column in new)], new)
    return int(rowids.max()), ids.size


def _table_of(connection: sqlite3.Connection, path: str) -> Tuple[str, List[str]]:
    """The name of the table with the raster's segments, and of its columns."""
    tables = [name for (name,) in connection.execute("SELECT table_name FROM gpkg_contents")]
    stem = Path(path).stem
    for table in sorted(tables, key=lambda name: name != stem):  # a file may have been given another name
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
        if ID in names:
            return table, names
    raise SegmentationError(f"{path} has no table with a column {ID}: delete it, or switch UPDATE_RAT off.")


def _numbers(values: Sequence[Any]) -> Optional[np.ndarray]:
    """Null is NaN; None for a column with anything that is no number."""
    if any(value is not None and not isinstance(value, (int, float)) for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _spread(column: Column, places: np.ndarray, rows: int) -> Column:
    values = np.full(rows, np.nan) if column.is_real else np.zeros(rows, column.values.dtype)
    values[places] = column.values
    return Column(column.name, values)


def _write(
    connection: sqlite3.Connection, table: str, rowids: np.ndarray, columns: Sequence[Column], new: Sequence[Column]
) -> None:
    if not columns:
        return
    with connection:
        for column in new:
            kind = "REAL" if column.is_real else "INTEGER"
            connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column.name)} {kind}")
        names = ", ".join(f"{quoted(column.name)} = ?" for column in columns)
        statement = f"UPDATE {quoted(table)} SET {names} WHERE rowid = ?"  # noqa: S608 # nosec B608: quoted
        for first in range(0, rowids.size, ROWS):
            part = slice(first, first + ROWS)
            values = [plain_values(column.values[part]) for column in columns]
            connection.executemany(statement, zip(*values, rowids[part].astype(np.int64).tolist()))
        connection.execute(
            "UPDATE gpkg_contents SET last_change = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE table_name = ?",
            (table,),
        )
