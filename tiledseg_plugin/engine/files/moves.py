# SPDX-License-Identifier: GPL-2.0-or-later
"""How the files of a run's outputs get to their places, step by step, and back again; see `journal`."""

import errno
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

from .earlier_files import HeldOpen, put_in_place, set_aside
from .on_windows import replace_file
from .ownership import OWNER

JOURNAL = "tiledseg-journal.json"
REPLACED = ".replaced"
NOT_WRITTEN = (errno.EIO, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

State = Tuple[int, int]


@dataclass(frozen=True)
class Moves:
    """How the files of one output get to their places, which are relative to the folder's parent.

    folder : the staging folder
    target : name of the output
    places : {file in the folder: its place}
    old : names of the earlier files, which go away
    states : {file in the folder: (bytes, time of change)}, by which it is known again
    earlier : (bytes, time of change) of what was at the output's place; None for nothing
    """

    folder: str
    target: str
    places: Dict[str, str] = field(default_factory=dict)
    old: Tuple[str, ...] = ()
    states: Dict[str, Optional[State]] = field(default_factory=dict)
    earlier: Optional[State] = None

    @property
    def parent(self) -> Path:
        return Path(self.folder).parent

    @property
    def kept(self) -> Path:
        return Path(self.folder) / REPLACED

    @property
    def output(self) -> str:
        """The place of the output, or of the first of its side files if only those are replaced."""
        return self.places.get(self.target) or next(iter(self.places.values()), self.target)

    def concerns(self, path: Optional[str]) -> bool:
        """Whether a file is one of these, here or there."""
        where = Path(path or "")
        return where.parent in (self.parent, Path(self.folder), self.kept) and where.name in {
            *self.places,
            *self.places.values(),
            *self.old,
        }

    def order(self) -> List[str]:
        """The files in the folder; the output itself comes last."""
        return sorted(self.places, key=lambda name: (name == self.target, name))


def plan_moves(folder: Path, target: Path, replaced: Sequence[Path]) -> Moves:
    """Everything in the folder goes beside it; what has the same names there goes away, and `replaced`, too."""
    new = sorted(path.name for path in folder.iterdir() if path.name not in (OWNER, JOURNAL, REPLACED))
    there = sorted({path for path in [*replaced, *(target.parent / name for name in new)] if os.path.lexists(path)})
    return Moves(
        str(folder),
        target.name,
        {name: name for name in new},
        tuple(path.name for path in there),
        {name: state_of(folder / name) for name in new},
        state_of(target),
    )


def refuse_folders(moves: Sequence[Moves]) -> None:
    """Raise IsADirectoryError if a folder has the name of a file that is to be replaced."""
    for path in (one.parent / name for one in moves for name in one.old):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))


def settle(folder: Path) -> None:
    """Have the contents of a folder on the disk before any of its files gets a name that counts.

    Raises
    ------
    OSError : the disk is full or broken, and what was written is not there
    """
    for path in folder.iterdir():
        if path.is_file():
            synchronize(path)
    synchronize(folder)


def move(moves: Sequence[Moves], fresh: bool = False) -> None:
    """Do what is left to do of the moves, whatever has been done before. It lasts after `synchronize_places`.

    Parameters
    ----------
    fresh : nothing has been done before, so that what is not in the folders has been removed by somebody else

    Raises
    ------
    OSError : a file cannot be moved, or is not there
    """
    placed = [set() if fresh else _places_taken(one) for one in moves]
    held = HeldOpen()
    try:
        _hold(moves, held)
        _move_all(moves, placed, held)
    except OSError:
        if _restore(moves, held) or not held or not all(Path(one.folder).is_dir() for one in moves):
            raise
        held.release()  # there are network drives that do not replace what is open
        _move_all(moves, placed, held)
    finally:
        held.release()


def synchronize_places(moves: Sequence[Moves]) -> None:
    """Have the names that files have got on the disk.

    Raises
    ------
    OSError : the disk is full or broken
    """
    for one in moves:
        synchronize(one.parent)


def _places_taken(one: Moves) -> Set[str]:
    """The places that files of the folder have got, by a run that is no more."""
    return {place for name, place in one.places.items() if not os.path.lexists(Path(one.folder) / name)}


def _hold(moves: Sequence[Moves], held: HeldOpen) -> None:
    """Hold the earlier files, unless there is but one name, which always has a whole file."""
    if sum(len({*one.places.values(), *one.old}) for one in moves) > 1:
        for one in moves:
            for name in one.old:
                held.hold(one.parent / name)


def _restore(moves: Sequence[Moves], held: HeldOpen) -> bool:
    """Write the earlier files again that somebody has removed from the folders; whether there were any."""
    lost = [one.parent / name for one in moves for name in one.old if not os.path.lexists(one.kept / name)]
    restored = [held.restore(path) for path in lost]  # every one is tried
    return any(restored)


def _move_all(moves: Sequence[Moves], placed: Sequence[Set[str]], held: HeldOpen) -> None:
    """Move what is to be moved.

    Parameters
    ----------
    placed : of each, the places that are taken already; more are added
    """
    for one, taken in zip(moves, placed):
        folder, names = Path(one.folder), [name for name in one.order() if one.places[name] not in taken]
        missing = [str(folder / name) for name in names if not os.path.lexists(folder / name)]
        if missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), missing[0])
        for name in names:
            if name == names[-1]:
                _move_away(one)
            place = one.places[name]
            _make_way(one, place, held)
            put_in_place(folder / name, one.parent / place, one.kept / place)
            taken.add(place)
        if not names:
            _move_away(one)


def _move_away(one: Moves) -> None:
    """Earlier files that no new one replaces go before the output itself comes, to which they do not belong."""
    for name in one.old:
        there = name not in one.places.values() and os.path.lexists(one.parent / name)
        if there and not os.path.lexists(one.kept / name):  # else it is somebody's who came later
            one.kept.mkdir(exist_ok=True)
            replace_file(one.parent / name, one.kept / name)


def _make_way(one: Moves, place: str, held: HeldOpen) -> None:
    """Keep the earlier file of a place, so that it can be taken back when a new one is there."""
    path = one.parent / place
    if os.path.dirname(place):
        path.parent.mkdir(exist_ok=True)
    if place in one.old and os.path.lexists(path) and not os.path.lexists(one.kept / place):
        one.kept.mkdir(exist_ok=True)
        set_aside(path, one.kept / place, held)


def take_back(moves: Sequence[Moves]) -> None:
    """Undo the moves of a run that goes on: new files into the folders again, earlier ones to their places."""
    for one in moves:
        for name in reversed(one.order()):
            place, staged = one.parent / one.places[name], Path(one.folder) / name
            if os.path.lexists(staged) or not is_in_place(one, name):
                continue
            if os.path.lexists(one.kept / one.places[name]):
                set_aside(place, staged, HeldOpen())
            else:
                replace_file(place, staged)
        for path in sorted(one.kept.iterdir()) if one.kept.is_dir() else []:
            put_in_place(path, one.parent / path.name)


def lost_with_folder(one: Moves) -> List[Path]:
    """The earlier files that were in a folder that somebody has removed: in their places is nothing, or a new file."""
    new = {place: one.states.get(name) for name, place in one.places.items()}
    places = {name: (state_of(one.parent / name), new.get(name)) for name in one.old}
    return [one.parent / name for name, (now, fresh) in places.items() if now is None or now == fresh]


def remove_parts(one: Moves) -> None:
    """Remove the side files that have got their places already of an output that has been removed with its folder.

    Raises
    ------
    OSError : one cannot be removed
    """
    if one.target in one.places and not is_in_place(one, one.target):
        for name in one.places:
            if is_in_place(one, name):
                (one.parent / one.places[name]).unlink()


def is_in_place(one: Moves, name: str) -> bool:
    """Whether a file of the folder has got its place, and still has it."""
    state = state_of(one.parent / one.places[name])
    return state is not None and state == one.states.get(name)


def state_of(path: Path) -> Optional[State]:
    """By which a file is known again: (bytes, time of change); None where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def synchronize(path: Path) -> None:
    """Have a file's contents, or a folder's names, on the disk, where the system can do that."""
    if sys.platform == "win32" and path.is_dir():
        return
    try:
        file = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno in NOT_WRITTEN:
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(file)
