# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a raster's values depend on the window by which they are read.

Most formats hold blocks of pixels, and a pixel is what its block says. A virtual raster whose sources have other
pixels than itself computes them for the window that it is asked for, and where pixels do not fit a whole number of
times, what it computes depends on where the window begins and ends. So do some services and wavelet formats.
"""

import os
import xml.etree.ElementTree as ElementTree  # nosec B405 - of what GDAL itself has written, without entities
from typing import Optional, Set, Tuple

from osgeo import gdal

from .gdal_access import collected_errors

DRIVERS = {
    *("WMS", "WMTS", "WCS", "GTI", "STACIT", "STACTA", "PostGISRaster", "Rasterlite", "DERIVED"),
    *("ECW", "JP2ECW", "MrSID", "JP2MrSID", "JP2KAK", "JPIPKAK"),
}
PLAIN_BANDS = {None, "VRTRasterBand", "VRTSourcedRasterBand", "VRTRawRasterBand"}
PLAIN_SOURCES = {"SimpleSource", "ComplexSource"}
NESTED_ENDS = (".vrt", ".xml", ".ecw", ".sid")
NESTED_STARTS = ("<", "vrt:", "derived_subdataset:", "wms:", "wmts:", "wcs:", "gti:", "pg:", "stacit:", "stacta:")
MOST_NESTED = 8  # virtual rasters in one another; deeper ones are taken for the worst


def depends_on_windows(dataset: gdal.Dataset) -> bool:
    """Whether reading a pixel in another window can give another value; True where that cannot be known."""
    return _depends(dataset, set(), 0)


def _depends(dataset: gdal.Dataset, seen: Set[str], depth: int) -> bool:
    name = dataset.GetDriver().ShortName
    if name != "VRT":
        return name in DRIVERS
    described = dataset.GetMetadata("xml:VRT")
    try:
        root = ElementTree.fromstring(described[0])  # noqa: S314 # nosec B314
    except (ElementTree.ParseError, IndexError, KeyError, TypeError):
        return True
    if root.get("subClass") or depth > MOST_NESTED:
        return True
    size = (dataset.RasterXSize, dataset.RasterYSize)
    for band in root.iter("VRTRasterBand"):
        if band.get("subClass") not in PLAIN_BANDS:
            return True
        for source in band:
            if source.tag.endswith("Source") and not _is_plain(source, size):
                return True
    folder = os.path.dirname(dataset.GetDescription())
    return any(_nested_depends(name, folder, seen, depth) for name in root.iter("SourceFilename"))


def _is_plain(source: ElementTree.Element, size: Tuple[int, int]) -> bool:
    """Whether each pixel of a source is one pixel of the raster."""
    if source.tag not in PLAIN_SOURCES or source.find("OpenOptions/OOI[@key='OVERVIEW_LEVEL']") is not None:
        return False
    taken, put = _rectangle(source.find("SrcRect")), _rectangle(source.find("DstRect"))
    if taken is None and put is None:
        known = source.find("SourceProperties")
        return known is not None and (known.get("RasterXSize"), known.get("RasterYSize")) == tuple(map(str, size))
    if taken is None or put is None:
        return False
    return taken[2:] == put[2:] and all(value == int(value) for value in (*taken, *put))


def _rectangle(element: Optional[ElementTree.Element]) -> Optional[Tuple[float, ...]]:
    if element is None:
        return None
    try:
        return tuple(float(element.get(name, "")) for name in ("xOff", "yOff", "xSize", "ySize"))
    except ValueError:
        return None


def _nested_depends(element: ElementTree.Element, folder: str, seen: Set[str], depth: int) -> bool:
    """Whether a source is a virtual raster that depends on windows; of thousands of plain files none is opened."""
    name = (element.text or "").strip()
    if element.get("relativeToVRT") == "1":
        name = os.path.join(folder, name)
    if name in seen or not (name.lower().endswith(NESTED_ENDS) or name.lower().startswith(NESTED_STARTS)):
        return False
    seen.add(name)
    with collected_errors():
        dataset = gdal.Open(name, gdal.GA_ReadOnly)
    return dataset is not None and _depends(dataset, seen, depth + 1)
