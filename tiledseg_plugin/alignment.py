# SPDX-License-Identifier: GPL-2.0-or-later
"""Values on the segments' grid: as they are where the grids agree, else warped on the fly by GDAL."""

from dataclasses import replace

import numpy as np
from osgeo import gdal, osr

from .attributes import single_bands
from .errors import SegmentationError
from .gdal_access import collected_errors, open_raster, reason
from .georeference import geotransform, is_georeferenced, spatial_reference
from .raster import describe

TOLERANCE = 1e-3  # pixels over the whole raster by which the same grid may be off
SAME_PLACE = 0.1  # pixels by which what is left of a CRS may shift it


def bands_on_grid(values, bands, segments, folder):
    """The bands of a raster as rasters of one band each, on the segments' grid.

    Parameters
    ----------
    values : path of the raster
    bands : 1-based numbers, empty for all
    segments : Raster
    folder : WorkFolder for the VRT files of a raster that has another grid or CRS

    Raises
    ------
    SegmentationError : it cannot be brought onto the grid
    """
    raster = describe_values(values, bands, segments)
    source, grid = open_raster(values), open_raster(segments.path)
    if _same_grid(source, grid):
        return single_bands(raster)
    transform = geotransform(grid)
    if not is_georeferenced(grid) or not is_georeferenced(source) or transform[2] or transform[4]:
        raise SegmentationError(
            f"VALUES {values} ({raster.width} x {raster.height} pixels) and SEGMENTS ({segments.width} x "
            f"{segments.height}) have different grids and cannot be aligned: both must have a georeference, and "
            "SEGMENTS none that is rotated."
        )
    return tuple(
        replace(_warped(values, number, segments, grid, folder.path / f"values-{number}.vrt"), nodata_rule="any")
        for number in raster.numbers
    )


def describe_values(values, bands, segments):
    """`raster.describe` of VALUES, where a raster that declares no no-data has none."""
    return replace(describe(values, bands), zero_is_nodata=False)


def _same_grid(one, other):
    """Whether two rasters have the same pixels, though a format may have kept less of the CRS of one."""
    if (one.RasterXSize, one.RasterYSize) != (other.RasterXSize, other.RasterYSize):
        return False
    if not is_georeferenced(one) or not is_georeferenced(other):
        return is_georeferenced(one) == is_georeferenced(other)
    a, b = geotransform(one), geotransform(other)
    size = max(one.RasterXSize, one.RasterYSize)
    limits = [abs(b[1]) + abs(b[2]), abs(b[4]) + abs(b[5])]
    if any(abs(a[i] - b[i]) * (1 if i in (0, 3) else size) > TOLERANCE * limits[i // 3] for i in range(6)):
        return False
    return _same_place(spatial_reference(one), spatial_reference(other), b, one.RasterXSize, one.RasterYSize)


def _same_place(crs, other, transform, width, height):
    """Whether coordinates mean the same in two systems, within a fraction of a pixel; also where that cannot be told.

    Formats lose a system, or keep it as one that cannot be transformed: size and geotransform speak then.
    """
    if crs is None or other is None or crs.IsSame(other, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"]):
        return True
    corners = [
        gdal.ApplyGeoTransform(transform, col, row)
        for col, row in ((0, 0), (width, 0), (0, height), (width, height), (width / 2, height / 2))
    ]
    for system in (crs, other):
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    with collected_errors() as messages:
        change = osr.CoordinateTransformation(crs, other)
        if messages:
            return True
        moved = np.array(change.TransformPoints([[x, y] for x, y in corners]))[:, :2]
    limits = [SAME_PLACE * (abs(transform[i]) + abs(transform[i + 1])) for i in (1, 4)]
    known = np.isfinite(moved).all(axis=1)  # a corner may be outside of what a system can say
    return bool((np.abs(moved - corners) <= limits)[known].all())


def _warped(values, number, segments, grid, path):
    """One band through VRT files; an alpha band tells which pixels the values cover."""
    left, across, _, top, _, down = geotransform(grid)
    crs = spatial_reference(grid)
    single, aligned = (str(path.with_name(f"{kind}-{number}.vrt")) for kind in ("band", "aligned"))
    with collected_errors() as messages:
        band = gdal.Translate(single, values, format="VRT", bandList=[number])
        if band is not None:
            band.GetRasterBand(1).SetColorInterpretation(gdal.GCI_GrayIndex)
            if band.GetGCPCount():  # a warp would fit another surface to them
                band.SetGeoTransform(geotransform(band))
                band.SetSpatialRef(spatial_reference(band))
                band.SetGCPs([], None)
            if crs is not None and band.GetSpatialRef() is None:
                band.SetSpatialRef(crs)
        del band
        right, bottom = left + across * segments.width, top + down * segments.height
        warped = gdal.Warp(
            aligned,
            single,
            format="VRT",
            outputBounds=(left, bottom, right, top),
            width=segments.width,
            height=segments.height,
            dstSRS=None if crs is None else crs.ExportToWkt(),
            resampleAlg="near",
            dstAlpha=True,
            errorThreshold=0,
        )
        # GDAL takes an alpha band for a mask only if it is Byte or UInt16
        masked = None if warped is None else gdal.Translate(str(path), warped, format="VRT", bandList=[1], maskBand=2)
        done = masked is not None
        del masked, warped
    if not done:
        raise SegmentationError(
            f"VALUES {values} cannot be warped to the grid of SEGMENTS ({reason(messages)}): check that they overlap "
            "and that both have a coordinate reference system."
        )
    return replace(describe(str(path), (1,)), zero_is_nodata=False)
