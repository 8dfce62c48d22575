# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of fields in formats that take short ones: a Shapefile cuts them at ten bytes, and may confuse what is left."""

from pathlib import Path
from typing import Dict, List, Sequence, Union

LONGEST = 10  # bytes, in a Shapefile
SHORT = {"valid_pixels": "valid_px", "valid_fraction": "valid_frac", "merged_into": "merged_in"}


def is_shapefile(path: Union[str, Path]) -> bool:
    """Whether a vector file is a Shapefile, by its name."""
    return Path(str(path)).suffix.lower() == ".shp"


def field_names(names: Sequence[str], path: Union[str, Path]) -> List[str]:
    """The names of a vector file's fields: as they are, or, in a Shapefile, none longer than 10 and each its own.

    Of a longer one the beginning is shortened and the number at its end kept: `median_1000` is `media_1000`.

    Parameters
    ----------
    path : of the vector file
    """
    if not is_shapefile(path):
        return list(names)
    kept = {name for name in names if len(name.encode()) <= LONGEST}
    taken = {name.casefold() for name in kept}
    short: Dict[str, str] = {}
    for name in names:
        if name in kept:
            continue
        candidate, number = SHORT.get(name) or _shortened(name, ""), 2
        while candidate.casefold() in taken:
            candidate, number = _shortened(name, f"~{number}"), number + 1
        taken.add(candidate.casefold())
        short[name] = candidate
    return [short.get(name, name) for name in names]


def _shortened(name: str, mark: str) -> str:
    stem, underscore, band = name.rpartition("_")
    if not underscore or not band.isdigit():
        stem, underscore, band = name, "", ""
    end = mark + underscore + band
    return stem.encode()[: LONGEST - len(end)].decode("utf-8", "ignore") + end
