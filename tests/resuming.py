# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a work folder, which end in some way and are started again."""

import os
from pathlib import Path

from rasters import run
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError

SETTINGS = {
    "num_clusters": 8,
    "min_pixels": 12,
    "levels": (60, 400),
    "sampling": 2,
    "tile_width": 40,
    "tile_height": 30,
    "kernels": "plain",
}


def go(raster, work, tmp_path, log=None, **changes):
    return run(raster, tmp_path / "out.tif", work_dir=str(work), feedback=log, **{**SETTINGS, **changes})[0]


def labels(work):
    return sorted(work.glob("tiledseg-labels-*.raw"))


def broken(*_):
    raise SegmentationError("It is broken: mend it.")


def refuse_removal(monkeypatch):
    """The names, a set to be filled, of files that cannot be removed."""
    names, unlink = set(), os.unlink

    def refuse(path, *arguments, **options):
        if Path(path).name in names:
            raise PermissionError(13, "it is open elsewhere", str(path))
        unlink(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    return names
