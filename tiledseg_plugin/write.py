# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 5, write: labels through lookup tables into OUTPUT, window by window.

Everything is written in a folder beside OUTPUT and moved at the end: what bears OUTPUT's name is whole, or what it was.
"""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from . import kernels
from .errors import SegmentationError
from .gdal_access import collected_errors, open_raster, reason
from .ownership import OWNER, Ownership, remove_abandoned
from .raster import Window
from .tiles import labels_of
from .work_folder import WorkFolder

WINDOW_PIXELS = 1 << 22
BLOCK = 512
DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".kea": "KEA"}
STAGING = ".tiledseg-"
SIDE_FILES = (".aux.xml", ".ovr", ".msk")


def driver_for(output):
    """The GDAL driver for a path's extension.

    Raises
    ------
    SegmentationError : the extension is none of ours, or this GDAL has no driver for it
    """
    extension = Path(output).suffix.lower()
    if extension not in DRIVERS:
        raise SegmentationError(f"OUTPUT {output} ends in '{extension}': use one of {', '.join(DRIVERS)}.")
    driver = gdal.GetDriverByName(DRIVERS[extension])
    if driver is None:
        raise SegmentationError(f"This GDAL has no {DRIVERS[extension]} driver for OUTPUT {output}: use .tif or .img.")
    return driver


def check_output(output, inputs):
    """Refuse an output that could not be written, before anything is done.

    Parameters
    ----------
    inputs : paths that must not be overwritten
    """
    driver_for(output)
    folder = Path(output).absolute().parent
    if not folder.is_dir():
        raise SegmentationError(f"The folder {folder} of OUTPUT does not exist: make it, or choose another.")
    for path in inputs:
        if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise SegmentationError(f"OUTPUT {output} is the input itself: choose another name.")
    if os.path.isdir(output):
        raise SegmentationError(f"OUTPUT {output} is a folder: give a file name in it.")
    with _staging(output):
        pass  # a folder that cannot be written to is told now


@contextmanager
def _staging(output):
    """A folder beside the output, gone at the end."""
    target = Path(output).absolute()
    remove_abandoned(target.parent, STAGING)
    try:
        folder = tempfile.mkdtemp(prefix=STAGING, dir=target.parent)
        ownership = Ownership(folder)
    except OSError as error:
        raise SegmentationError(
            f"The folder {target.parent} of OUTPUT cannot be written to ({error.strerror}): choose another."
        ) from error
    try:
        yield Path(folder)
    finally:
        ownership.release()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def publishing(output):
    """A path to write at; what stands there in the end, side files too, becomes the output."""
    target = Path(output).absolute()
    with _staging(output) as folder:
        yield str(folder / target.name)
        try:
            for suffix in SIDE_FILES:
                Path(str(target) + suffix).unlink(missing_ok=True)
            made = [file for file in folder.iterdir() if file.name != OWNER]
            for file in sorted(made, key=lambda file: file.name == target.name):
                os.replace(file, target.parent / file.name)
        except OSError as error:
            raise SegmentationError(
                f"OUTPUT {target} cannot be replaced ({error.strerror}): close it in other programs, or choose another."
            ) from error


def creation_options(driver_name, given, threads):
    """GDAL creation options: the user's, and ours for what they leave open."""
    options = dict(option.split("=", 1) for option in given.split("|") if "=" in option)
    wrong = [option for option in given.split("|") if option and "=" not in option]
    if wrong:
        raise SegmentationError(f"CREATION_OPTIONS has '{wrong[0]}': write NAME=VALUE, separated by '|'.")
    options = {name.strip().upper(): value.strip() for name, value in options.items()}
    defaults = {}
    if driver_name == "GTiff":
        defaults = {"TILED": "YES", "COMPRESS": "DEFLATE", "BIGTIFF": "IF_SAFER", "NUM_THREADS": str(threads)}
        if options.get("TILED", "YES").upper() == "YES":
            defaults.update(BLOCKXSIZE=str(BLOCK), BLOCKYSIZE=str(BLOCK))
        if options.get("COMPRESS", "DEFLATE").upper() == "DEFLATE":
            defaults["ZLEVEL"] = "6"
    elif driver_name == "HFA":
        defaults = {"COMPRESSED": "YES"}
    return [f"{name}={value}" for name, value in {**defaults, **options}.items()]


def create_like(path, raster, count, data_type, options, assign_crs):
    """A new dataset with the input's size, geotransform, GCPs and CRS (or the CRS given as WKT)."""
    source = open_raster(raster.path)
    with collected_errors() as messages:
        driver = driver_for(path)
        dataset = driver.Create(path, raster.width, raster.height, count, data_type, options)
    if dataset is None:
        raise SegmentationError(
            f"OUTPUT {Path(path).name} cannot be created ({reason(messages)}): check CREATION_OPTIONS and free space."
        )
    crs = source.GetSpatialRef()
    gcp_crs = source.GetGCPSpatialRef()
    if assign_crs:
        crs = gcp_crs = osr.SpatialReference(wkt=assign_crs)
    with collected_errors():
        geotransform = source.GetGeoTransform(can_return_null=True)
        if geotransform is not None:
            dataset.SetGeoTransform(geotransform)
        if source.GetGCPCount():
            dataset.SetGCPs(source.GetGCPs(), gcp_crs)
        if crs is not None:
            dataset.SetSpatialRef(crs)
    return dataset


def output_windows(width, height):
    """Windows in whole blocks of the output, in the order in which a file grows."""
    columns = min(-(-width // BLOCK) * BLOCK, 16 * BLOCK)
    rows = max(BLOCK, WINDOW_PIXELS // columns // BLOCK * BLOCK)
    return [
        Window(col, row, min(columns, width - col), min(rows, height - row))
        for row in range(0, height, rows)
        for col in range(0, width, columns)
    ]


@dataclass(frozen=True)
class RelabelJob:
    """What all pieces share that are relabelled elsewhere."""

    kernels: str
    folder: WorkFolder


def relabel_piece(job, piece, check_cancelled):
    """Labels of one piece through its lookup table: a task, for executions whose workers are on other machines."""
    kernel, _ = kernels.choose(job.kernels)
    saved = job.folder.load(table_of(piece))
    if saved is None:
        raise SegmentationError(f"The lookup table of tile {piece.tile_id} in {job.folder.path} is damaged: run again.")
    check_cancelled()
    width, height = piece.window.width, piece.window.height
    ids = kernel.relabel(job.folder.load_rows(labels_of(piece), 0, height, width, np.uint32), saved["table"])
    check_cancelled()
    job.folder.save_rows(ids_of(piece), ids)


def table_of(piece):
    """Under which a piece's lookup table lies in the work folder."""
    return f"table-{piece.piece_id:07d}"


def ids_of(piece):
    """Under which a piece's segment ids lie in the work folder."""
    return f"ids-{piece.piece_id:07d}"


def write_segments(path, raster, plan, segments, folder, kernel, workers, options, assign_crs, advance, relabelled=False):
    """Write the segment ids.

    Parameters
    ----------
    segments : graph.Segments
    folder : WorkFolder with the tiles' labels
    workers : threads that look labels up and compress
    options : the user's creation options, `|`-separated
    advance : called with the fraction that is done
    relabelled : whether `relabel_piece` has been at all pieces
    """
    driver = driver_for(path)
    options = creation_options(driver.ShortName, options, workers)
    dataset = create_like(path, raster, 1, gdal.GDT_UInt32, options, assign_crs)
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(0)
    band.SetDescription("segment")

    def part(piece, window):
        common = piece.window.intersection(window)
        name = ids_of(piece) if relabelled else labels_of(piece)
        rows = folder.load_rows(name, common.row - piece.window.row, common.height, piece.window.width, np.uint32)
        left = common.col - piece.window.col
        rows = rows[:, left : left + common.width]
        return common, rows if relabelled else kernel.relabel(rows, segments.tables[piece.piece_id])

    def ids_in(window, pool):
        ids = np.zeros((window.height, window.width), np.uint32)
        pieces = [piece for piece in plan.pieces_in(window) if piece.piece_id in segments.tables]
        for common, array in pool.map(lambda piece: part(piece, window), pieces):
            ids[common.within(window)] = array
        return ids

    windows = output_windows(raster.width, raster.height)
    with collected_errors() as messages, ThreadPoolExecutor(workers) as pool:
        for done, window in enumerate(windows):
            advance(done / len(windows))
            band.WriteArray(ids_in(window, pool), window.col, window.row)
            dataset.FlushCache()  # so that closing, which cannot be cancelled, has little left to do
            if messages:
                break
        band.FlushCache()
        del band
        dataset.FlushCache()
        del dataset
    if messages:
        raise SegmentationError(f"OUTPUT cannot be written ({reason(messages)}): make room on its disk, or choose another.")
