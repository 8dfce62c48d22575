# SPDX-License-Identifier: GPL-2.0-or-later
"""Values on the segments' grid: as they are where the grids agree, else warped on the fly by GDAL."""

import uuid
from dataclasses import replace
from functools import reduce
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
from osgeo import gdal, osr

from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, open_raster, reason
from ..files.georeference import geotransform, is_georeferenced, spatial_reference
from ..files.raster import Raster, describe
from ..files.work_folder import WorkFolder
from ..progress import Check
from .attributes import single_bands

TOLERANCE = 1e-3  # pixels over the whole raster by which the same grid may be off
SAME_PLACE = 0.1  # pixels by which what is left of a CRS may shift it
MOST_WARPED = 1000  # bands of a raster; for each its file is opened anew, which takes the longer the more there are


def bands_on_grid(
    raster: Raster, segments: Raster, folder: WorkFolder, check_cancelled: Check, number: int = 0
) -> Tuple[Raster, ...]:
    """The bands of a raster as rasters of one band each, on the segments' grid.

    Parameters
    ----------
    raster : as `describe_values` returns it
    folder : for the VRT files of a raster that has another grid or CRS
    number : by which they are told from those of other rasters

    Raises
    ------
    SegmentationError : it cannot be brought onto the grid
    Cancelled : the user cancelled
    """
    source, grid = open_raster(raster.path), open_raster(segments.path)
    if _same_grid(source, grid):
        return single_bands(raster)
    transform = geotransform(grid)
    if not is_georeferenced(grid) or not is_georeferenced(source) or transform[2] or transform[4]:
        raise SegmentationError(
            f"VALUES {raster.path} ({raster.width} x {raster.height} pixels) and SEGMENTS ({segments.width} x "
            f"{segments.height}) have different grids and cannot be aligned: both must have a georeference, and "
            "SEGMENTS none that is rotated."
        )
    if len(raster.bands) > MOST_WARPED:
        raise SegmentationError(
            f"VALUES {raster.path} has another grid than SEGMENTS, and {len(raster.bands)} bands are too many to be "
            f"aligned: name at most {MOST_WARPED} in BANDS, or warp it to the grid of SEGMENTS."
        )
    stem = str(folder.path / f"values-{number}")
    aligned = []
    for band in single_bands(raster):
        check_cancelled()
        aligned.append(_warped(band, segments, grid, stem))
    return tuple(aligned)


def describe_values(values: str, bands: Tuple[int, ...]) -> Raster:
    """`raster.describe` of VALUES, where a raster that declares no no-data has none."""
    return describe(values, bands, zero_may_be_nodata=False)


def _same_grid(one: gdal.Dataset, other: gdal.Dataset) -> bool:
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
    crs, other_crs = spatial_reference(one), spatial_reference(other)
    if _same_place(crs, other_crs, b, one.RasterXSize, one.RasterYSize):
        return True
    return any(
        kept is not None and kept.IsSame(wanted, ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"])
        for kept, wanted in ((_as_kept_by(other, crs), other_crs), (_as_kept_by(one, other_crs), crs))
    )


def _as_kept_by(dataset: gdal.Dataset, crs: Optional[osr.SpatialReference]) -> Optional[osr.SpatialReference]:
    """What the format of a raster makes of a coordinate system; None where that cannot be tried.

    GeoTIFF takes the sphere of a planet for the ellipsoid that goes by the same name, for one.
    """
    if dataset.GetDriver().ShortName != "GTiff":
        return None
    path = f"/vsimem/tiledseg-crs-{uuid.uuid4().hex}.tif"
    with collected_errors():
        trial = dataset.GetDriver().Create(path, 1, 1, 1, gdal.GDT_Byte)
        trial.SetGeoTransform(geotransform(dataset))
        trial.SetSpatialRef(crs)
        del trial
        trial = gdal.Open(path)
        kept = None if trial is None else spatial_reference(trial)
        del trial
        gdal.Unlink(path)
    return kept


def _same_place(
    crs: Optional[osr.SpatialReference],
    other: Optional[osr.SpatialReference],
    transform: Sequence[float],
    width: int,
    height: int,
) -> bool:
    """Whether coordinates mean the same in two systems, within a fraction of a pixel; True where that cannot be known.

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


def _stacked(
    source: str, planes: Sequence[Union[int, str]], path: str, crs: Optional[osr.SpatialReference]
) -> Optional[gdal.Dataset]:
    """A VRT of some bands and masks of a raster as plain bands, placed by a geotransform; None if it cannot be made.

    Parameters
    ----------
    crs : for a raster that has none
    """
    stacked = gdal.Translate(path, source, format="VRT", bandList=planes, noData="none", maskBand="none")
    if stacked is None:
        return None
    stacked.SetMetadata({})  # NODATA_VALUES, by which GDAL would leave out pixels itself
    for number in range(1, len(planes) + 1):
        stacked.GetRasterBand(number).SetColorInterpretation(gdal.GCI_GrayIndex)
    if stacked.GetGCPCount():  # a warp would fit another surface to them
        stacked.SetGeoTransform(geotransform(stacked))
        stacked.SetSpatialRef(spatial_reference(stacked))
        stacked.SetGCPs([], None)
    if crs is not None and stacked.GetSpatialRef() is None:
        stacked.SetSpatialRef(crs)
    stacked.FlushCache()
    return stacked


def _warped(raster: Raster, segments: Raster, grid: gdal.Dataset, stem: str) -> Raster:
    """A raster of one band through VRT files: nearest pixels as they are stored, whatever they mean.

    What masks the band becomes bands beside it, and a last one says which pixels the values cover, so that what is
    valid is judged by the same rules as on the values' own grid.

    Parameters
    ----------
    stem : what the paths of the files begin with
    """
    left, across, _, top, _, down = geotransform(grid)
    crs = spatial_reference(grid)
    (band,) = raster.bands
    single, aligned = (f"{stem}-{band.number}-{kind}.vrt" for kind in ("band", "aligned"))
    planes: List[Union[int, str]] = [band.number, *band.alphas, *([f"mask,{band.mask}"] if band.mask else [])]
    with collected_errors() as messages:
        stacked = _stacked(raster.path, planes, single, crs)
        right, bottom = left + across * segments.width, top + down * segments.height
        warped = None
        if stacked is not None:
            types = [stacked.GetRasterBand(1 + index).DataType for index in range(len(planes))]
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
                outputType=reduce(gdal.DataTypeUnion, types),
            )
        block = () if warped is None else tuple(warped.GetRasterBand(1).GetBlockSize())
        del warped, stacked
    if not block:
        raise SegmentationError(
            f"VALUES {raster.path} cannot be warped to the grid of SEGMENTS ({reason(messages)}): check that they "
            "overlap and that both have a coordinate reference system."
        )
    return replace(
        raster,
        path=aligned,
        width=segments.width,
        height=segments.height,
        bands=(replace(band, number=1, mask=0, alphas=tuple(range(2, len(planes) + 2))),),
        block=block,
        resampled=True,
    )
