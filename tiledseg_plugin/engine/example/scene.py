# SPDX-License-Identifier: GPL-2.0-or-later
"""The example as a file: a GeoTIFF with named bands, a coordinate system and no data. It replaces nothing."""

import os
from pathlib import Path

from osgeo import gdal, osr

from ..errors import SegmentationError, why
from ..files.gdal_access import collected_errors, reason
from ..files.publish import staging
from ..progress import Feedback, Progress
from .landscape import BANDS, COLS, ROWS, draw

EPSG = 32632
GEOTRANSFORM = (600_000.0, 10.0, 0.0, 5_700_000.0, 0.0, -10.0)
TITLE = "An invented landscape, drawn by the QGIS plugin Tiled Segmentation as example data"
EXTENSIONS = (".tif", ".tiff")
SIDE_FILES = (".aux.xml", ".ovr", ".msk")  # what GDAL would read along with a file of that name
COLOURS = (gdal.GCI_BlueBand, gdal.GCI_GreenBand, gdal.GCI_RedBand, gdal.GCI_Undefined)
OPTIONS = ("TILED=YES", "COMPRESS=DEFLATE", "ZLEVEL=1", "PREDICTOR=2", "ALPHA=NO", "NUM_THREADS=ALL_CPUS")


def check_example(output: str) -> None:
    """Raise SegmentationError where the example cannot be written, or a file has the name already; empty is no name."""
    if not output:
        return
    if Path(output).suffix.lower() not in EXTENSIONS:
        raise SegmentationError(f"OUTPUT {output} of the example data is a GeoTIFF: give it a name that ends in .tif.")
    for path in (output, *(output + end for end in SIDE_FILES)):
        if os.path.lexists(path):
            raise SegmentationError(f"{path} is there already, and example data replace no file: give another name.")


def write_example(output: str, feedback: Feedback) -> None:
    """Draw the scene.

    Parameters
    ----------
    output : path of the GeoTIFF; it appears when it is complete

    Raises
    ------
    SegmentationError : a file has that name, or it cannot be written; nothing of it is left
    Cancelled : the user cancelled; likewise
    """
    check_example(output)
    progress = Progress(feedback, {"drawing": 1})
    progress.start("drawing", "Drawing a landscape")
    target = Path(output).absolute()
    with staging(output) as folder:
        drawn = folder / target.name
        _write(str(drawn), output)
        progress.check_cancelled()
        _take_name(target, output)
        try:
            os.replace(drawn, target)
        except OSError as error:
            target.unlink()  # it is the one made here, and empty
            raise _not_written(output, why(error)) from error
    progress.complete()


def is_example(path: str) -> bool:
    """Whether a file is the example's, as it was drawn."""
    with collected_errors():
        dataset = gdal.Open(path) if os.path.isfile(path) else None
        if dataset is None or dataset.GetMetadataItem("TIFFTAG_IMAGEDESCRIPTION") != TITLE:
            return False
        return (dataset.RasterXSize, dataset.RasterYSize, dataset.RasterCount) == (COLS, ROWS, len(BANDS))


def _write(path: str, output: str) -> None:
    picture = draw()
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(EPSG)
    with collected_errors() as messages:
        driver = gdal.GetDriverByName("GTiff")
        dataset = driver.Create(path, COLS, ROWS, len(BANDS), gdal.GDT_UInt16, list(OPTIONS))
        if dataset is not None:
            dataset.SetGeoTransform(GEOTRANSFORM)
            dataset.SetSpatialRef(crs)
            dataset.SetMetadataItem("TIFFTAG_IMAGEDESCRIPTION", TITLE)
            for number, (name, colour, values) in enumerate(zip(BANDS, COLOURS, picture), 1):
                band = dataset.GetRasterBand(number)
                band.SetDescription(name)
                band.SetColorInterpretation(colour)
                band.SetNoDataValue(0)
                band.WriteArray(values)
                seen = values[values > 0].astype(float)
                band.SetStatistics(float(seen.min()), float(seen.max()), float(seen.mean()), float(seen.std()))
            dataset.FlushCache()
        del dataset
    if messages or not os.path.exists(path):
        raise _not_written(output, reason(messages))


def _take_name(target: Path, output: str) -> None:
    """Make the file, unless somebody has been quicker."""
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        check_example(output)
    except OSError as error:
        raise _not_written(output, why(error)) from error


def _not_written(output: str, what: str) -> SegmentationError:
    return SegmentationError(f"OUTPUT {output} cannot be written ({what}): make room on its disk, or choose another.")
