# SPDX-License-Identifier: GPL-2.0-or-later
"""Finished files take the places of earlier ones, so that neither are lost if the process or the power goes meanwhile.

What is to move where is written into the staging folder, and is on the disk, before anything moves: the journal.
Earlier files get second names in the same folder (`earlier_files`), and are removed when all the new ones are in their
places. So a folder without a journal holds nothing of worth, and what a journal says can be finished by whoever finds
it (`finish`), or taken back by the run itself (`take_back`). Outputs of one run have one journal, in the first one's
folder, the leader; those of the others name it, and repeat their own part for the case that the leader is out of reach.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from .earlier_files import is_one_file
from .foreign import load_json
from .journal_entries import identity_of, is_sound, is_staging_folder
from .moves import JOURNAL, REPLACED, Moves, is_in_place, move, state_of, synchronize, synchronize_places
from .on_windows import replace_file
from .ownership import Occupied, Ownership, remove_folder_of_another

NAMES_WITHIN = (".ige", ".rrd")  # of files whose names another file holds


def commit(moves: Sequence[Moves]) -> None:
    """Write the journals of the outputs of one run; from the last one on, the leader's, they get their places."""
    leader = moves[0]
    for one in reversed(moves[1:]):
        _write(one.folder, {"leader": leader.folder, "outputs": [asdict(one)]})
    _write(leader.folder, {"leader": "", "outputs": [asdict(one) for one in moves]})
    for one in moves:
        synchronize(one.parent)


def close(moves: Sequence[Moves]) -> None:
    """Say that nothing is left to do; the folders hold nothing of worth any more.

    A journal that cannot be removed says so, too: all that it names is in its place.
    """
    for one in reversed(moves):
        with suppress(OSError):
            (Path(one.folder) / JOURNAL).unlink(missing_ok=True)


def is_open(folder: Path) -> bool:
    """Whether a folder has a journal, and with it things that must not be lost."""
    return os.path.lexists(folder / JOURNAL)


def under_other_names(one: Moves) -> Moves:
    """The same files under names that nothing has, for when their own cannot be had; all are in the folder."""
    places = _free_places(one, one.order(), "kept")
    return Moves(one.folder, one.target, places, (), one.states)


def _beside_what_is_there(one: Moves) -> Moves:
    """As `under_other_names`, of a run that is no more and whose output's name somebody has used since.

    What has its place already is taken back if it is still the same, and the earlier files that had to go are kept.
    """
    for name, place in one.places.items():
        if not os.path.lexists(Path(one.folder) / name) and is_in_place(one, name):
            replace_file(one.parent / place, Path(one.folder) / name)
    waiting = {name: place for name, place in one.places.items() if os.path.lexists(Path(one.folder) / name)}
    fresh = under_other_names(replace(one, places=waiting))
    earlier = sorted(path.name for path in one.kept.iterdir()) if one.kept.is_dir() else []
    earlier = [name for name in earlier if not is_one_file(one.kept / name, one.parent / name)]
    found = _free_places(one, earlier, "earlier")
    return replace(fresh, places={**fresh.places, **{f"{REPLACED}/{name}": place for name, place in found.items()}})


def _free_places(one: Moves, names: Sequence[str], word: str) -> Dict[str, str]:
    """{name: place}: another beginning, or a folder where files hold each other's names."""
    stem = Path(one.target).stem
    number = 1
    while True:
        fresh = f"{stem}_{word}" + (f"_{number}" if number > 1 else "")
        if any(name.endswith(NAMES_WITHIN) for name in names):
            places = {name: f"{fresh}/{name}" for name in names}
            taken = os.path.lexists(one.parent / fresh)
        else:
            places = {name: fresh + (name[len(stem) :] if name.startswith(stem) else f"_{name}") for name in names}
            taken = any(os.path.lexists(one.parent / place) for place in places.values())
        if not taken:
            return places
        number += 1


def finish(folder: Path) -> bool:
    """Finish what a run that is no more has begun; returns whether what is left in the folder may be removed.

    Parameters
    ----------
    folder : a staging folder that nobody else takes up meanwhile

    Raises
    ------
    OSError : it cannot be done now; nothing is lost
    """
    if not is_open(folder):
        return True
    journal = _read(folder)
    if journal is None:
        return False
    leader = _found(Path(journal["leader"]), folder) if journal["leader"] else None
    if leader is not None and leader.parent.is_dir():
        if not is_open(leader):
            return True  # the run has ended before it began to replace anything, or after all was done
        return is_staging_folder(leader) and _finish_from(leader)
    moves = []
    for saved in journal["outputs"]:
        own = not journal["leader"] and saved is journal["outputs"][0]
        place = folder if own or leader is not None else _found(Path(saved["folder"]), folder)
        if place == folder or (is_staging_folder(place) and _follows(place, folder)):
            moves.append(_moves(saved, place))
    _finish(moves, knows_its_place=journal.get("identity") == identity_of(folder))
    for one in moves:
        if Path(one.folder) != folder:
            remove_folder_of_another(one.folder)
    return True


def _finish_from(leader: Path) -> bool:
    try:
        ownership = Ownership(leader)
    except Occupied:
        return False
    done = False
    try:
        done = finish(leader)
    finally:
        if done:
            ownership.remove_folder()
        else:
            ownership.leave()
    return done


def _follows(place: Path, leader: Path) -> bool:
    """Whether a staging folder says itself that it goes with another; one that is closed has nothing left to move."""
    journal = _read(place)
    if journal is None or not journal["leader"]:
        return False
    found = _found(Path(journal["leader"]), place)
    return found.is_dir() and os.path.samefile(found, leader)


def _finish(moves: List[Moves], knows_its_place: bool) -> None:
    """Finish the moves; where somebody has used an output's name since, that stays and the others get other names.

    So it does where the folder is not the one in which the journal was written, but a copy, or somebody else's.
    """
    final = [_beside_what_is_there(one) if not knows_its_place or _is_taken(one) else one for one in moves]
    if final != moves:
        commit(final)
    move(final)
    synchronize_places(final)
    close(final)


def _is_taken(one: Moves) -> bool:
    if one.target not in one.places or not os.path.lexists(Path(one.folder) / one.target):
        return False
    now = state_of(one.parent / one.places[one.target])
    return now not in (None, one.earlier, one.states.get(one.target))


def _found(path: Path, near: Path) -> Path:
    """A staging folder where it was, or, if the folder with all of them has been moved, beside another one."""
    return path if path.is_dir() or not (near.parent / path.name).is_dir() else near.parent / path.name


def _moves(saved: Dict[str, Any], folder: Path) -> Moves:
    states = {name: tuple(state) if state else None for name, state in saved["states"].items()}
    earlier = tuple(saved["earlier"]) if saved["earlier"] else None
    return Moves(str(folder), saved["target"], dict(saved["places"]), tuple(saved["old"]), states, earlier)


def _read(folder: Path) -> Optional[Dict[str, Any]]:
    try:
        journal = load_json(folder / JOURNAL)
    except (OSError, ValueError):
        return None
    return journal if is_sound(journal, REPLACED) and not (folder / REPLACED).is_symlink() else None


def _write(folder: str, journal: Dict[str, Any]) -> None:
    partial = Path(folder) / f"{JOURNAL}.partial"
    partial.unlink(missing_ok=True)  # nothing that lies there is written into
    with open(partial, "x", encoding="utf-8") as file:
        json.dump({**journal, "identity": identity_of(Path(folder))}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    replace_file(partial, Path(folder) / JOURNAL)
    synchronize(Path(folder))
