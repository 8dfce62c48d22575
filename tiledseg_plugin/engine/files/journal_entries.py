# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a journal that was found is one that a run of this user has written, and how far it may be followed.

A staging folder with a journal may come with a raster out of an archive. So a journal can only name files in its own
folder and beside it, and other staging folders that name it in turn; and if it does not know the folder it lies in, as
after copying, nothing that stands beside it is replaced.
"""

import os
from pathlib import Path
from typing import Any, Dict

from .foreign import belongs_to_this_user, is_plain_name, is_real_folder
from .ownership import MADE_BY_MKDTEMP


def identity_of(folder: Path) -> int:
    """By which a folder is known again, also under another name; the file system's own number of it."""
    return os.stat(folder).st_ino


def is_staging_folder(path: Path) -> bool:
    """Whether something at a path that a journal names is the staging folder of a run of this user."""
    return (
        path.is_absolute()
        and MADE_BY_MKDTEMP.match(path.name) is not None
        and path.name.startswith(".")
        and is_real_folder(path)
        and belongs_to_this_user(path)
    )


def is_sound(journal: Any, kept: str) -> bool:
    """Whether a journal has the form that runs write, and names nothing outside its folders and those they are in.

    Parameters
    ----------
    kept : the folder in a staging folder where earlier files are
    """
    if not isinstance(journal, dict) or not isinstance(journal.get("leader"), str):
        return False
    outputs = journal.get("outputs")
    if not isinstance(outputs, list) or not outputs:
        return False
    if journal["leader"] and len(outputs) != 1:
        return False
    return all(isinstance(one, dict) and _names_are_sound(one, kept) for one in outputs)


def _names_are_sound(one: Dict[str, Any], kept: str) -> bool:
    places, old, states = one.get("places"), one.get("old"), one.get("states")
    if not isinstance(places, dict) or not isinstance(old, list) or not isinstance(states, dict):
        return False
    return (
        isinstance(one.get("folder"), str)
        and is_plain_name(one.get("target"))
        and all(_is_within(name, kept) and _is_within(place) for name, place in places.items())
        and all(map(is_plain_name, old))
        and all(is_plain_name(name) and _is_state(state) for name, state in states.items())
        and "earlier" in one
        and _is_state(one["earlier"])
    )


def _is_within(name: Any, folder: str = "") -> bool:
    """Whether it is a name, or a folder's (any, or the one that is given) and a name in it."""
    if not isinstance(name, str):
        return False
    first, between, last = name.partition("/")
    if not between:
        return is_plain_name(name)
    return is_plain_name(first) and is_plain_name(last) and first == (folder or first)


def _is_state(state: Any) -> bool:
    return state is None or (
        isinstance(state, list) and len(state) == 2 and all(type(number) is int for number in state)
    )
