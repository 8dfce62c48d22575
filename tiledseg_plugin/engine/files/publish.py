# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs appear whole or not at all: they are written in a folder beside them and moved when all is done."""

import errno
import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterator, List, Sequence, Tuple, Union

from ..errors import SegmentationError, why
from . import journal
from .earlier_files import STAGING
from .moves import (
    NOT_WRITTEN,
    Moves,
    is_in_place,
    lost_with_folder,
    move,
    plan_moves,
    refuse_folders,
    remove_parts,
    settle,
    synchronize_places,
    take_back,
)
from .ownership import make_owned_folder, remove_abandoned

ATTRIBUTES_SUFFIX = "_attributes.gpkg"
AGAIN = "run it again"
Replaced = Callable[[Path], List[Path]]


def attributes_path(output: str) -> str:
    """Where the attribute table of an output lies whose format cannot hold it."""
    return str(Path(output).with_name(Path(output).stem + ATTRIBUTES_SUFFIX))


def nothing_else(target: Path) -> List[Path]:
    """For outputs whose side files stay as they are."""
    return []


@contextmanager
def staging(
    output: str, name: str = "OUTPUT", replaced: Replaced = nothing_else, itself: bool = True
) -> Iterator[Path]:
    """A folder beside the output, gone at the end; what a killed run has left there is put in its place before.

    Parameters
    ----------
    name : id of the parameter, for messages
    replaced : function of the path, what else of an earlier output goes away
    itself : whether the output itself will be replaced, and not only its side files

    Raises
    ------
    SegmentationError : the folder cannot be written to, or a file that is to be replaced cannot be
    """
    target = Path(output).absolute()
    with _folder_beside(target, name) as folder:
        for path in [target] * itself + replaced(target):
            _require_replaceable(path, target, name)
        yield folder


@contextmanager
def publishing(output: str, name: str = "OUTPUT", replaced: Replaced = nothing_else) -> Iterator[str]:
    """A path to write at; what stands there in the end, side files too, becomes the output. See `staging`."""
    with publishing_together([(output, name, replaced)]) as paths:
        yield paths[0]


@contextmanager
def publishing_together(outputs: Sequence[Tuple[str, str, Replaced]]) -> Iterator[List[str]]:
    """Paths to write the outputs of one run at; in the end all of them become the outputs, or none does.

    Parameters
    ----------
    outputs : of (output, name, replaced), see `staging`; the first is the one that the run is about

    Raises
    ------
    SegmentationError : an output cannot be replaced; the finished ones are kept under other names, which it states
    """
    targets = [Path(output).absolute() for output, _, _ in outputs]
    with ExitStack() as stack:
        folders = [stack.enter_context(_folder_beside(target, name)) for target, (_, name, _) in zip(targets, outputs)]
        yield [str(folder / target.name) for folder, target in zip(folders, targets)]
        names = [f"{name} {target}" for target, (_, name, _) in zip(targets, outputs)]
        _publish(_settle(folders, outputs), names)


def recover(folder: Union[str, Path]) -> None:
    """Put in their places what runs that were killed at their end have left in a folder."""
    remove_abandoned(folder, STAGING, journal.finish)


def recover_beside(*paths: str) -> None:
    """As `recover`, of the folders that some files are in; what is no path is passed over."""
    for folder in {os.path.dirname(os.path.abspath(path)) for path in paths if path and "\0" not in path}:
        recover(folder)


@contextmanager
def _folder_beside(target: Path, name: str) -> Iterator[Path]:
    recover(target.parent)
    try:
        folder, ownership = make_owned_folder(target.parent, STAGING)
    except OSError as error:
        raise SegmentationError(
            f"The folder {target.parent} of {name} cannot be written to ({why(error)}): choose another."
        ) from error
    end = ownership.remove_folder
    try:
        yield folder
    except _LeftInFolder:
        end = ownership.release  # what has no mark is nothing that a run may remove
        raise
    finally:
        if journal.is_open(folder):  # whatever has come in between, the next run puts all in its place
            end = ownership.leave
        end()


def _require_replaceable(path: Path, target: Path, name: str) -> None:
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise SegmentationError(f"{name} {target} cannot be replaced, as {path} is a folder: choose another name.")
    try:
        try_to_replace(path)
    except OSError as error:
        raise SegmentationError(
            f"{name} {target} cannot be replaced ({path}: {why(error)}): close it in other programs, check that its "
            "files may be changed, or choose another."
        ) from error


def try_to_replace(path: Path) -> None:
    """Find out whether a file could be moved away, and change nothing.

    Windows refuses to give a new name, even the same one, to a file that another program holds open. Elsewhere only
    the owner may do so in a folder like /tmp (sticky), and there that a file is open does not matter.

    Raises
    ------
    OSError : it could not
    """
    os.rename(path, path)
    folder = os.stat(os.path.dirname(os.path.abspath(path)))
    sticky = folder.st_mode & stat.S_ISVTX and hasattr(os, "geteuid")
    if sticky and os.geteuid() not in (0, folder.st_uid, os.lstat(path).st_uid):
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))


def _settle(folders: Sequence[Path], outputs: Sequence[Tuple[str, str, Replaced]]) -> List[Moves]:
    """Have everything on the disk; returns what is to be moved."""
    moves = []
    for folder, (output, name, replaced) in zip(folders, outputs):
        target = Path(output).absolute()
        try:
            settle(folder)
            moves.append(plan_moves(folder, target, replaced(target)))
        except OSError as error:
            if not folder.is_dir():
                raise SegmentationError(f"{name} {target} cannot be written: {_removed(folder)}; {AGAIN}.") from error
            raise SegmentationError(
                f"{name} {target} cannot be written ({why(error)}): make room on its disk, or choose another."
            ) from error
    return moves


def _removed(folder: Union[str, Path]) -> str:
    return f"{folder} was removed while the run was using it"


def _publish(moves: Sequence[Moves], names: Sequence[str]) -> None:
    """Put the files of all outputs in their places; if one cannot be replaced, keep all beside them."""
    try:
        refuse_folders(moves)
        journal.commit(moves)
        move(moves, fresh=True)
        synchronize_places(moves)
    except OSError as error:
        subject = next((name for one, name in zip(moves, names) if one.concerns(error.filename)), names[0])
        where = f"{error.filename}: " if error.filename else ""
        remedy = "make room on its disk" if error.errno in NOT_WRITTEN else "close the earlier one in other programs"
        raise _kept_beside(moves, f"{subject} cannot be replaced ({where}{why(error)})", remedy) from error
    journal.close(moves)


def _kept_beside(moves: Sequence[Moves], what: str, remedy: str) -> SegmentationError:
    """Give the finished files other names; returns the error that states them.

    Parameters
    ----------
    what : has gone wrong, as the beginning of a sentence
    remedy : what the user can do about it, as a part of one
    """
    present = [one for one in moves if Path(one.folder).is_dir()]
    removed = [one.folder for one in moves if one not in present]
    if removed:
        with suppress(OSError):  # what cannot be had now is for the next run
            take_back(present)
            journal.close(present)
        with suppress(OSError):
            for one in moves:
                if one not in present:
                    remove_parts(one)
        gone = [str(path) for one in moves for path in lost_with_folder(one)]
        along = f", and the earlier {', '.join(gone)} with it" if gone else ""
        return SegmentationError(f"{what}: {_removed(removed[0])}{along}; {AGAIN}.")
    others = [journal.under_other_names(one) for one in moves]
    try:
        take_back(moves)
        with suppress(OSError):  # on a full disk there is no room for a journal, but for names there is
            journal.commit(others)
        move(others)
        with suppress(OSError):  # the names are there, all the same
            synchronize_places(others)
    except OSError:
        if not any(journal.is_open(Path(one.folder)) for one in moves):
            return _LeftInFolder(
                f"{what}: the finished result lies in {moves[0].folder}; move it from there to where it should be."
            )
        if all(is_in_place(one, name) for one in moves for name in one.places):
            return SegmentationError(
                f"{what}: the finished result stands there, but a power cut may still undo that; {remedy}, and the "
                "next run that writes beside it completes it."
            )
        return SegmentationError(
            f"{what}: the finished result lies in {moves[0].folder}, and the next run that writes beside it puts it "
            f"in its place; {remedy}, and check that the file may be changed."
        )
    journal.close(others)
    kept = ", ".join(str(one.parent / one.output) for one in others)
    return SegmentationError(
        f"{what}: the finished result is kept as {kept}; {remedy} and rename the new one, or use it under this name."
    )


class _LeftInFolder(SegmentationError):
    """What was finished could not even be given another name: its folder stays."""
