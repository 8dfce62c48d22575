# SPDX-License-Identifier: GPL-2.0-or-later
"""What the plugin says of itself: version and home page from metadata.txt, the icon; needs no QGIS."""

import configparser
from pathlib import Path

PLUGIN_FOLDER = Path(__file__).resolve().parent.parent
ICON = str(PLUGIN_FOLDER / "resources" / "icon.svg")


def _stated(key: str) -> str:
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(PLUGIN_FOLDER / "metadata.txt", encoding="utf-8")
    return metadata.get("general", key)


def plugin_version() -> str:
    """Such as '0.1.0'."""
    return _stated("version")


def homepage() -> str:
    """Where documentation is found."""
    return _stated("homepage")
