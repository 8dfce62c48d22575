# SPDX-License-Identifier: GPL-2.0-or-later
"""What is run while faults happen: a small run with its outputs over earlier ones, and what must be true after it."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Dict, List

import numpy as np
from osgeo import gdal, ogr
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError, why
from tiledseg.tiledseg_plugin.engine.files.publish import recover_beside
from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment

SETTINGS = {
    "num_clusters": 5, "min_pixels": 6, "sampling": 3, "tile_width": 30, "tile_height": 40,
    "kernels": "plain", "execution": "serial",
}  # fmt: skip
WORK = "work"
RESUMED = "taken up"


class Scenario:
    """A folder with an input and earlier outputs, of which each case has a copy.

    Attributes
    ----------
    name : for messages
    expected : digests of the outputs of an undisturbed run, by their names
    """

    name = ""
    outputs: List[str] = []

    def __init__(self, folder: Path):
        self.template = folder / "template"
        self.template.mkdir(parents=True)
        self.prepare(self.template)
        self.before = contents(self.template)
        done = folder / "undisturbed"
        shutil.copytree(self.template, done)
        self.run(done)
        self.expected = {name: digest(done / name) for name in self.outputs}
        self.names = set(contents(done))
        self.earlier = {name: digest(self.template / name) for name in self.outputs if (self.template / name).exists()}
        assert all(self.earlier[name] != self.expected[name] for name in self.earlier)

    def prepare(self, folder: Path) -> None:
        raise NotImplementedError

    def run(self, folder: Path, **changes) -> None:
        raise NotImplementedError

    def copy(self, folder: Path) -> Path:
        shutil.copytree(self.template, folder / "case")
        return folder / "case"

    def attempt(self, folder: Path, **changes) -> dict:
        """One run: {"said": sentence}, empty if it has done what it should. Anything else is raised."""
        try:
            self.run(folder, **changes)
        except SegmentationError as error:
            return {"said": str(error)}
        except OSError as error:  # as algorithms/feedback.py says it
            return {"said": f"{error.filename} cannot be read or written ({why(error)}): check that its disk has room."}
        except MemoryError:  # likewise
            return {"said": "There is not enough memory for this run: lower WORKERS or the tile size."}
        return {"said": ""}


class Segmenting(Scenario):
    """`segment` with a mean image and polygons, resumed from WORK_DIR."""

    name = "segment"
    outputs = ["o.tif", "m.img", "p.gpkg"]
    kind = np.uint8

    def prepare(self, folder: Path) -> None:
        rng = np.random.default_rng(8)
        patches = np.kron(rng.integers(20, 230, (2, 8, 10)), np.ones((1, 6, 6), int))
        values = (patches + rng.integers(0, 40, patches.shape)).astype(self.kind)
        kind = gdal.GDT_Byte if self.kind is np.uint8 else gdal.GDT_Float32
        dataset = gdal.GetDriverByName("GTiff").Create(str(folder / "in.tif"), 60, 48, 2, kind, ["ALPHA=NO"])
        dataset.SetGeoTransform((500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0))
        dataset.WriteArray(values)
        dataset = None
        self.run(folder, min_pixels=15, work_dir="")

    def run(self, folder: Path, **changes) -> None:
        names = {"output": "o.tif", "mean_image": "m.img", "polygons": "p.gpkg", "work_dir": WORK}
        paths = {parameter: str(folder / name) for parameter, name in names.items()}
        segment(SegmentParameters(input=str(folder / "in.tif"), **{**SETTINGS, **paths, **changes}), Feedback())


class SegmentingFloats(Segmenting):
    """The same of real numbers, whose attributes are read from the pixels again; without a WORK_DIR."""

    name = "segment floats"
    outputs = ["o.img", "p.shp"]
    kind = np.float32

    def run(self, folder: Path, **changes) -> None:
        paths = {"output": str(folder / "o.img"), "polygons": str(folder / "p.shp")}
        segment(SegmentParameters(input=str(folder / "in.tif"), **{**SETTINGS, **paths, **changes}), Feedback())


class Describing(Segmenting):
    """`statistics` with UPDATE_RAT: a table, and columns in the segments' own file."""

    name = "statistics"
    outputs = ["t.gpkg", "o.img"]

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        (folder / "o.tif").rename(folder / "x.tif")
        segment(SegmentParameters(input=str(folder / "in.tif"), output=str(folder / "o.img"), **SETTINGS), Feedback())
        for path in [*folder.glob("x*"), *folder.glob("o_*"), *folder.glob("o.tif*"), *folder.glob("m.*")]:
            path.unlink(missing_ok=True)
        (folder / "p.gpkg").rename(folder / "t.gpkg")
        shutil.rmtree(folder / WORK, ignore_errors=True)

    def run(self, folder: Path, **changes) -> None:
        if changes:  # while it is prepared
            super().run(folder, **changes)
            return
        recover_beside(str(folder / "o.img"))  # as every algorithm does
        parameters = StatisticsParameters(
            str(folder / "o.img"), str(folder / "in.tif"), str(folder / "t.gpkg"), statistics=("median", "sum"),
            update_rat=True, execution="serial", kernels="plain",
        )  # fmt: skip
        segment_statistics(parameters, Feedback())


SCENARIOS = {one.name: one for one in (Segmenting, SegmentingFloats, Describing)}


def contents(folder: Path) -> Dict[str, str]:
    """{name: hash} of all files, in hidden folders, too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def digest(path: Path) -> str:
    """What a file holds, without what differs from run to run: pixels and table of a raster, rows of a vector file."""
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        return _digest(path)
    finally:
        gdal.PopErrorHandler()


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    if path.suffix in (".gpkg", ".shp"):
        dataset = ogr.Open(str(path))
        for feature in dataset.GetLayer(0):
            geometry = feature.GetGeometryRef()
            found.update(json.dumps(feature.items(), sort_keys=True).encode())
            found.update(bytes(geometry.ExportToWkb()) if geometry is not None else b"")
        return found.hexdigest()
    dataset = gdal.Open(str(path))
    found.update(dataset.ReadAsArray().tobytes())
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    for index in range(0 if table is None else table.GetColumnCount()):
        found.update(table.GetNameOfCol(index).encode() + np.asarray(table.ReadAsArray(index)).tobytes())
    return found.hexdigest()
