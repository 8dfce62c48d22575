# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the layers and files a user gave, said before a run starts and in one sentence each."""

import os
import tempfile

from ..tiledseg_plugin.compat import is_null
from ..tiledseg_plugin.errors import SegmentationError
from .text import tr

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".kea": "KEA"}


def gdal_source(layer, given, name):
    """What GDAL opens for a raster layer: a path, /vsi path, VRT or subdataset.

    Parameters
    ----------
    layer : QgsRasterLayer or None
    given : what the user gave, for the message
    name : id of the parameter
    """
    if layer is None or not layer.isValid():
        raise SegmentationError(
            tr("{} '{}' cannot be opened as a raster: check that the file exists and can be read.").format(name, given)
        )
    if layer.providerType() != "gdal":
        raise SegmentationError(
            tr("{} '{}' comes from the provider '{}', not from a file: export it to a GeoTIFF and use that.").format(
                name, layer.name(), layer.providerType()
            )
        )
    return layer.source().split("|option:")[0]


def band_numbers(given, band_count, name):
    """The bands that were asked for, as a tuple of 1-based numbers; () for all.

    Parameters
    ----------
    given : the raw value: QGIS itself reads '1,3' as band 0 and accepts bands that do not exist
    band_count : of the raster
    name : id of the parameter
    """
    if is_null(given):
        return ()
    parts = given.split(";") if isinstance(given, str) else given if isinstance(given, (list, tuple)) else [given]
    bands = tuple(_band_number(part, name) for part in parts)
    for band in bands:
        if not 1 <= band <= band_count:
            raise SegmentationError(
                tr("{}: there is no band {} in the raster: give numbers from 1 to {}, as in {}=1;3.").format(
                    name, band, band_count, name
                )
                if band_count > 1
                else tr("{}: there is no band {} in the raster: it has one band, so give 1 or leave it empty.").format(
                    name, band
                )
            )
        if bands.count(band) > 1:
            raise SegmentationError(tr("{} names band {} more than once: name each band once.").format(name, band))
    return bands


def _band_number(part, name):
    text = str(part).strip()
    if text.isdigit():
        return int(text)
    raise SegmentationError(
        tr("{}: '{}' is not a band number: separate numbers by semicolons, as in {}=1;3.").format(name, text, name)
    )


def check_output_raster(path, input_source, name):
    """Raise SegmentationError if a raster cannot be written here, without touching what is there."""
    extension = os.path.splitext(path)[1].lower()
    if extension not in DRIVERS:
        raise SegmentationError(
            tr("{} '{}' has no extension this can write: end the file name with one of {}.").format(
                name, path, ", ".join(DRIVERS)
            )
        )
    _check_driver(path, extension, name)
    if os.path.isdir(path):
        raise SegmentationError(tr("{} '{}' is a folder: give the name of a file.").format(name, path))
    for source in _files_of(input_source):
        if _same_file(path, source):
            raise SegmentationError(
                tr("{} '{}' is a file of INPUT, which would be overwritten: give another file name.").format(name, path)
            )
    check_folder_writable(os.path.dirname(os.path.abspath(path)), name)


def check_folder_writable(folder, name):
    """Raise SegmentationError unless a file can be made in the folder; only trying tells on network drives."""
    if not os.path.isdir(folder):
        raise SegmentationError(
            tr("{}: the folder '{}' does not exist: create it or choose another.").format(name, folder)
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise SegmentationError(
            tr("{}: the folder '{}' cannot be written ({}): choose another.").format(name, folder, error.strerror)
        ) from error


def check_work_folder(folder, name):
    """Raise SegmentationError unless the folder is there, or can be made, and can be written."""
    folder = os.path.abspath(folder)
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    check_folder_writable(folder, name)


def _check_driver(path, extension, name):
    from osgeo import gdal

    if gdal.GetDriverByName(DRIVERS[extension]) is None:
        raise SegmentationError(
            tr("{} '{}' needs the GDAL driver {}, which this installation does not have: write a .tif.").format(
                name, path, DRIVERS[extension]
            )
        )


def _files_of(source):
    """All files a GDAL data set is made of: those of a VRT, too, must not be overwritten."""
    from osgeo import gdal

    try:
        dataset = gdal.Open(source)
    except RuntimeError:  # another plugin may have switched GDAL's exceptions on
        dataset = None
    return [source] if dataset is None else [source, *(dataset.GetFileList() or [])]


def _same_file(one, other):
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.normcase(os.path.abspath(one)) == os.path.normcase(os.path.abspath(other))
