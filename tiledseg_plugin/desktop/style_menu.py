# SPDX-License-Identifier: GPL-2.0-or-later
"""The menu of **Style by**: what segments can be coloured by, made from the columns of their table."""

import re
from typing import Callable, Dict, Optional, Sequence, Tuple

from qgis.PyQt.QtWidgets import QMenu

from ...algorithms.looks_by_value import Colouring
from ...algorithms.text import tr

Chosen = Callable[[Optional[Colouring]], None]  # None for random colours

MEAN = re.compile(r"mean_(\d+)")
SIZES = ("pixels", "Histogram")
# indexes of two bands by what bands are called: name, first band, second band
INDEXES = (
    ("NDVI", r"\b(nir|near.?infrared|b0?8a?)\b", r"\b(red|b0?4)\b"),
    ("NDWI", r"\b(green|b0?3)\b", r"\b(nir|near.?infrared|b0?8a?)\b"),
    ("NDMI", r"\b(nir|near.?infrared|b0?8a?)\b", r"\b(swir|swir.?1|b11)\b"),
)


def fill(menu: QMenu, names: Dict[str, str], chosen: Chosen, outlines: Optional[Callable[[], None]] = None) -> None:
    """Add what can be chosen.

    Parameters
    ----------
    names : {column: what people call it}, in the order of the table
    chosen : called with what was chosen
    outlines : called for outlines without colours; None where there are none
    """
    if outlines is not None:
        menu.addAction(tr("Outlines only")).triggered.connect(lambda _: outlines())
    menu.addAction(tr("Random colours")).triggered.connect(lambda _: chosen(None))
    size = next((name for name in SIZES if name in names), None)
    if size is not None:
        _add(menu, tr("Size [pixels]"), Colouring(tr("size [pixels]"), (size,)), chosen)
    means = {name: band_name(name, names[name]) for name in names if MEAN.fullmatch(name)}
    if means:
        submenu = menu.addMenu(tr("Mean of a band"))
        for name, band in means.items():
            _add(submenu, band, Colouring(tr("mean of {}").format(band), (name,)), chosen)
    if len(means) > 1:
        _add_indexes(menu.addMenu(tr("Index of two bands")), means, chosen)
    if names:
        submenu = menu.addMenu(tr("Column"))
        for name, called in names.items():
            text = name if called == name else f"{name} ({called})"
            _add(submenu, text, Colouring(called, (name,)), chosen)


def _add(menu: QMenu, text: str, colouring: Colouring, chosen: Chosen) -> None:
    menu.addAction(text.replace("&", "&&")).triggered.connect(lambda _: chosen(colouring))


def _add_indexes(menu: QMenu, means: Dict[str, str], chosen: Chosen) -> None:
    """Those that are known by the bands' names first, then (a - b) / (a + b) of any two."""
    for title, first, second in known_indexes(means):
        _add(menu, title, Colouring(title, (first, second)), chosen)
    if not menu.isEmpty():
        menu.addSeparator()
    for first, band in means.items():
        submenu = menu.addMenu(tr("{} and").format(band).replace("&", "&&"))
        for second, other in means.items():
            if second != first:
                title = tr("({0} − {1}) / ({0} + {1})").format(band, other)
                _add(submenu, other, Colouring(title, (first, second)), chosen)


def known_indexes(means: Dict[str, str]) -> Sequence[Tuple[str, str, str]]:
    """(title, first column, second column) of the indexes whose bands are known by their names."""
    found = []
    for name, first, second in INDEXES:
        columns = [
            next((column for column, band in means.items() if re.search(pattern, band, re.IGNORECASE)), None)
            for pattern in (first, second)
        ]
        if columns[0] is not None and columns[1] is not None and columns[0] != columns[1]:
            found.append((f"{name} ({means[columns[0]]}, {means[columns[1]]})", columns[0], columns[1]))
    return found


def band_name(column: str, called: str) -> str:
    """What a band is called whose mean a column is."""
    match = MEAN.fullmatch(column)
    if called and called != column:
        return re.sub(r"^mean( of)?[ :]+", "", called, flags=re.IGNORECASE)
    return tr("band {}").format(match.group(1) if match else column)
