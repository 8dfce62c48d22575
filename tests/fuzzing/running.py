# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the engine on a case as it was drawn: tiled, in parallel, cancelled or killed and taken up again."""

import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal
from tiledseg.tiledseg_plugin.engine.errors import Cancelled, SegmentationError
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment
from tiledseg.tiledseg_plugin.engine.stages import plan

from . import cluster, undecided
from .zones import cells_of, zones_beside


@dataclass
class Ran:
    """What the engine made of a case; `refused` is its sentence where it made nothing.

    table : {column: values}, of the attribute table, the row of segment 1 first
    report : what stands in the JSON report
    """

    ids: Any = None
    result: Any = None
    table: Any = None
    report: Any = None
    refused: str = ""


class Impatient(Feedback):
    """Cancels at a share of the run."""

    def __init__(self, moment):
        self.moment, self.percent = moment, 0.0

    def set_progress(self, percent):
        self.percent = percent

    def is_cancelled(self):
        return self.percent >= 100 * self.moment


def run_case(case, path, folder, **changes):
    """Run the engine: Ran.

    Parameters
    ----------
    path : of the raster, beside which its zones are
    folder : for the output and what lies beside it; has to be empty
    changes : of `run`
    """
    how = {**case["run"], **changes}
    output = Path(folder) / f"out{how['extension']}"
    parameters = segment_parameters(case, path, str(output), how)
    with pieces_of(how["least_pixels"]), undecided.watching(), cells_of(case):
        try:
            if how["execution"] == "dask":
                parameters = replace(
                    parameters, dask_scheduler=cluster.kept.address, work_dir=str(Path(folder) / "work")
                )
            if how["interrupted"]:
                parameters = _interrupt(parameters, how, Path(folder) / "work")
            result = segment(parameters, Feedback())
        except SegmentationError as refusal:
            return Ran(refused=str(refusal))
    return Ran(*_read(output, result))


@contextmanager
def pieces_of(least):
    """Let the engine part tiles from so many pixels on."""
    before, plan.LEAST_PIXELS = plan.LEAST_PIXELS, least
    try:
        yield
    finally:
        plan.LEAST_PIXELS = before


def segment_parameters(case, path, output, how):
    """The engine's parameters of a case."""
    given = dict(case["parameters"])
    given["bands"] = tuple(given["bands"])
    given.update({name: tuple(given.get(name, ())) for name in ("levels", "extent")})
    if "tiles" in given:
        given["tiles"] = tuple(tuple(tile) for tile in given["tiles"])
    if case.get("zones"):
        given.update(zones=zones_beside(path), zones_outside=case["zones"]["outside"])
    given.update(execution=how["execution"], workers=how["workers"], kernels=how["kernels"])
    return SegmentParameters(input=path, output=output, **given)


def _interrupt(parameters, how, work):
    """Begin the run in a work folder and end it early; what goes on from there."""
    begun = replace(parameters, work_dir=str(work))
    if how["interrupted"] == "cancelled" or not hasattr(os, "fork"):
        try:
            segment(begun, Impatient(how["moment"]))
        except Cancelled:
            pass
    else:  # a process that is forked cannot be a client of Dask's
        _kill(replace(begun, execution="serial") if begun.execution == "dask" else begun, how["moment"])
    return replace(begun, kernels=how["kernels_resumed"])


def _kill(parameters, moment):
    """Run in a process of its own that is killed, unless it has finished by then."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            segment(parameters, Feedback())
        finally:
            os._exit(0)
    time.sleep(0.12 * moment)
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(child, 0)


def _read(output, result):
    import json

    dataset = gdal.Open(str(output))
    band = dataset.GetRasterBand(1)
    ids = band.ReadAsArray()
    table = band.GetDefaultRAT()
    names = [table.GetNameOfCol(index) for index in range(table.GetColumnCount())] if table else []
    columns = {name: np.asarray(table.ReadAsArray(index))[1:] for index, name in enumerate(names)}
    with open(result.report, encoding="utf-8") as file:
        report = json.load(file)
    return ids, result, columns or None, report
