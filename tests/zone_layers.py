# SPDX-License-Identifier: GPL-2.0-or-later
"""Layers of zones for tests, drawn in pixels, and what they mean by definitions of their own."""

from fractions import Fraction

import numpy as np
from osgeo import gdal, ogr, osr
from rasters import GEOTRANSFORM, UTM

TINY = Fraction(1, 10**30)  # by which lines are thought of as moved to the right; and, squared, down


def polygon(*rings):
    """WKT of rings [(col, row), ...], which are closed here."""
    return "POLYGON(" + ",".join("(" + ",".join(f"{x!r} {y!r}" for x, y in [*r, r[0]]) + ")" for r in rings) + ")"


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def line(points):
    return "LINESTRING(" + ",".join(f"{x!r} {y!r}" for x, y in points) + ")"


def write_layer(path, shapes, ids=None, crs=UTM, geotransform=GEOTRANSFORM, kind=ogr.wkbUnknown, driver="GPKG", to=""):
    """Write a layer of WKT in pixels of a raster with that geotransform; None is a feature without a geometry.

    Parameters
    ----------
    to : the coordinate system it is written in, if not that of the raster
    """
    system = None
    if crs:
        system = osr.SpatialReference()
        system.SetFromUserInput(crs)
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    target = system
    if to:
        target = osr.SpatialReference()
        target.SetFromUserInput(to)
        target.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    dataset = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    layer = dataset.CreateLayer("zones", target, kind)
    feature = None
    for index, wkt in enumerate(shapes):
        feature = ogr.Feature(layer.GetLayerDefn())
        if ids is not None:
            feature.SetFID(ids[index])
        if wkt is not None:
            geometry = _placed(ogr.CreateGeometryFromWkt(wkt), geotransform)
            if to:
                geometry.Transform(osr.CoordinateTransformation(system, target))
            feature.SetGeometry(geometry)
        layer.CreateFeature(feature)
    del feature, layer, dataset
    return str(path)


def _placed(geometry, geotransform):
    for part in range(geometry.GetGeometryCount()):
        _placed(geometry.GetGeometryRef(part), geotransform)
    for point in range(geometry.GetPointCount()):
        geometry.SetPoint_2D(point, *gdal.ApplyGeoTransform(geotransform, *geometry.GetPoint_2D(point)))
    return geometry


def burnt_at_once(layer, raster):
    """(rows, cols) int64, 1 + the place of the feature that GDAL burns into each pixel of the whole raster; 0: none."""
    grid = gdal.Open(str(raster))
    target = gdal.GetDriverByName("MEM").Create("", grid.RasterXSize, grid.RasterYSize, 1, gdal.GDT_Int32)
    target.SetGeoTransform(grid.GetGeoTransform())
    target.SetProjection(grid.GetProjection())
    dataset = ogr.Open(str(layer))
    whole = np.zeros((grid.RasterYSize, grid.RasterXSize), np.int64)
    own = ogr.GetDriverByName("Memory").CreateDataSource("own")
    for place, feature in enumerate(dataset.GetLayer(0), 1):
        if feature.GetGeometryRef() is None:
            continue
        alone = own.CreateLayer(str(place), dataset.GetLayer(0).GetSpatialRef(), ogr.wkbUnknown)
        copy = ogr.Feature(alone.GetLayerDefn())
        copy.SetGeometry(feature.GetGeometryRef())
        alone.CreateFeature(copy)
        target.GetRasterBand(1).Fill(0)
        gdal.RasterizeLayer(target, [1], alone, burn_values=[1])
        whole[target.ReadAsArray() == 1] = place
    return whole


def crosses(one, other, begin, end):
    """Whether a piece of a line, moved by TINY, crosses the way between two centres, in exact fractions."""

    def side(a, b, point):
        return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])

    begin, end = ((Fraction(x) + TINY, Fraction(y) + TINY * TINY) for x, y in (begin, end))
    one, other = (tuple(map(Fraction, point)) for point in (one, other))
    return side(begin, end, one) * side(begin, end, other) < 0 and side(one, other, begin) * side(one, other, end) < 0


def _is_near(centre, begin, end):
    """Whether a centre is less than two pixels, and a bit, from the straight line through two points."""
    across, down = end[0] - begin[0], end[1] - begin[1]
    return abs(across * (centre[1] - begin[1]) - down * (centre[0] - begin[0])) <= 2.1 * np.hypot(across, down)


def cut_by(lines, shape):
    """The pairs of pixels (indices in raster order) that lines [(col, row), ...] part."""
    rows, cols = shape
    cut = set()
    for points in lines:
        for begin, end in zip(points, points[1:]):
            left, right = sorted((begin[0], end[0]))
            top, bottom = sorted((begin[1], end[1]))
            for row in range(max(int(top) - 2, 0), min(int(bottom) + 2, rows)):
                for col in range(max(int(left) - 2, 0), min(int(right) + 2, cols)):
                    if not _is_near((col + 0.5, row + 0.5), begin, end):
                        continue
                    for near_row, near_col in ((row, col + 1), (row + 1, col)):
                        if near_row < rows and near_col < cols:
                            one, other = (col + 0.5, row + 0.5), (near_col + 0.5, near_row + 0.5)
                            if crosses(one, other, begin, end):
                                cut.add((row * cols + col, near_row * cols + near_col))
    return cut


def zone_column(path, name="zone"):
    """The column `zone` of the attribute table, or another, the row of segment 1 first."""
    dataset = gdal.Open(str(path))  # goes last, as the table is its own
    table = dataset.GetRasterBand(1).GetDefaultRAT()
    names = [table.GetNameOfCol(index) for index in range(table.GetColumnCount())]
    return np.asarray(table.ReadAsArray(names.index(name)))[1:]
