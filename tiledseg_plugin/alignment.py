# SPDX-License-Identifier: GPL-2.0-or-later
"""Values on the segments' grid: as they are where the grids agree, else warped on the fly by GDAL."""

from dataclasses import replace

from osgeo import gdal

from .attributes import single_bands
from .errors import SegmentationError
from .gdal_access import collected_errors, open_raster, reason
from .raster import describe

TOLERANCE = 1e-3  # pixels over the whole raster by which the same grid may be off


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
    transform = grid.GetGeoTransform(can_return_null=True)
    if transform is None or source.GetGeoTransform(can_return_null=True) is None or transform[2] or transform[4]:
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
    if (one.RasterXSize, one.RasterYSize) != (other.RasterXSize, other.RasterYSize):
        return False
    a, b = one.GetGeoTransform(can_return_null=True), other.GetGeoTransform(can_return_null=True)
    if a is None or b is None:
        return a is None and b is None
    crs, other_crs = one.GetSpatialRef(), other.GetSpatialRef()
    axes = ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"]
    if crs is not None and other_crs is not None and not crs.IsSame(other_crs, axes):
        return False
    size = max(one.RasterXSize, one.RasterYSize)
    limits = [abs(b[1]) + abs(b[2]), abs(b[4]) + abs(b[5])]
    return all(abs(a[i] - b[i]) * (1 if i in (0, 3) else size) <= TOLERANCE * limits[i // 3] for i in range(6))


def _warped(values, number, segments, grid, path):
    """One band through VRT files; an alpha band tells which pixels the values cover."""
    left, across, _, top, _, down = grid.GetGeoTransform()
    crs = grid.GetSpatialRef()
    single, aligned = (str(path.with_name(f"{kind}-{number}.vrt")) for kind in ("band", "aligned"))
    with collected_errors() as messages:
        band = gdal.Translate(single, values, format="VRT", bandList=[number])
        if band is not None:
            band.GetRasterBand(1).SetColorInterpretation(gdal.GCI_GrayIndex)
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
