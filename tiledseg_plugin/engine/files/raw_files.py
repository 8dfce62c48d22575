# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of bare values beside a header: where one is cut short, GDAL reads zeros and says nothing."""

import os

from osgeo import gdal

from ..errors import SegmentationError

DRIVERS = ("ENVI", "EHdr", "ERS", "EIR", "GenBin", "ISCE", "PAux", "ROI_PAC", "RRASTER", "SAGA")
GZIP = b"\x1f\x8b"  # ENVI may be compressed


def check_whole(dataset: gdal.Dataset, path: str) -> None:
    """Raise SegmentationError if the file of values is shorter than its header says.

    Parameters
    ----------
    dataset : as `gdal_access.open_raster` returns it
    path : the raster, for the message
    """
    if dataset.GetDriver().ShortName not in DRIVERS:
        return
    files = [name for name in dataset.GetFileList() or () if os.path.isfile(name)]
    if not files:
        return
    largest = max(files, key=os.path.getsize)
    expected, found = _expected_bytes(dataset), os.path.getsize(largest)
    if found < expected and not _is_compressed(largest):
        raise SegmentationError(
            f"{path} is damaged: its values take {expected} bytes, but {largest} has only {found}; copy it again."
        )


def _expected_bytes(dataset: gdal.Dataset) -> int:
    bits = 0
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        used = band.GetMetadataItem("NBITS", "IMAGE_STRUCTURE")
        bits += int(used) if used else gdal.GetDataTypeSize(band.DataType)
    return int(dataset.RasterXSize * dataset.RasterYSize * bits // 8)


def _is_compressed(name: str) -> bool:
    with open(name, "rb") as file:
        return file.read(len(GZIP)) == GZIP
