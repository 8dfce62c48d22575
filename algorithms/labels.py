# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages for people before a form: parameters by their labels. On the command line they go by their ids."""

import re
from typing import Any, Callable, Iterable

from qgis.core import QgsApplication

UNIT = re.compile(r"\s*\[[^\]]*\]$")


def label(definition: Any) -> str:
    """The label of a parameter in a sentence: in quotes, without its unit."""
    return f"'{UNIT.sub('', definition.description())}'"


def labelled(text: str, definitions: Iterable[Any]) -> str:
    """A message with the ids of parameters replaced by their labels; names of files and the like stay.

    Parameters
    ----------
    definitions : of the parameters that a form shows
    """
    for definition in sorted(definitions, key=lambda one: -len(one.name())):
        name, shown = re.escape(definition.name()), label(definition)
        text = text.replace(f"{definition.name()} ({definition.description()})", shown)
        text = re.sub(rf"(?<=as in ){name}=", "", text)
        text = re.sub(rf"(?<![\w/\\.='\"-]){name}(?![\w/\\='\"-]|\.\w)", lambda _: shown, text)  # noqa: B023
    return text


def for_whom_it_is(definitions: Iterable[Any]) -> Callable[[str], str]:
    """How messages of a run are worded: with labels in QGIS Desktop, and as they are everywhere else."""
    if QgsApplication.platform() != "desktop":
        return lambda text: text
    known = list(definitions)
    return lambda text: labelled(text, known) if text else ""
