# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a raster's pixels lie on the map."""

from osgeo import gdal, ogr


def geotransform(dataset):
    """The six numbers from pixels to map coordinates.

    Ground control points are approximated. A raster with neither lies where QGIS shows it: its upper left corner at
    0, 0, pixels of size 1, downwards.
    """
    found = dataset.GetGeoTransform(can_return_null=True)
    if found is None and dataset.GetGCPCount():
        found = gdal.GCPsToGeoTransform(dataset.GetGCPs())
    return tuple(found) if found is not None else (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def spatial_reference(dataset):
    """The coordinate system of the raster or of its ground control points; None where it has none."""
    crs = dataset.GetSpatialRef() or dataset.GetGCPSpatialRef()
    return crs.Clone() if crs is not None else None


def outline(windows, transform):
    """The union of windows as a polygon, or multipolygon, in a raster's coordinates: WKB.

    Parameters
    ----------
    transform : the raster's geotransform; with rotation the polygon is rotated, too
    """
    union = ogr.Geometry(ogr.wkbMultiPolygon)
    for window in windows:
        ring = ogr.Geometry(ogr.wkbLinearRing)
        for col, row in (
            (window.col, window.row),
            (window.right, window.row),
            (window.right, window.bottom),
            (window.col, window.bottom),
            (window.col, window.row),
        ):
            ring.AddPoint_2D(float(col), float(row))
        part = ogr.Geometry(ogr.wkbPolygon)
        part.AddGeometry(ring)
        union.AddGeometry(part)
    union = union.UnionCascaded() if len(windows) > 1 else union.GetGeometryRef(0).Clone()
    _place(union, transform)
    return bytes(union.ExportToWkb(ogr.wkbNDR))


def _place(geometry, transform):
    if geometry.GetGeometryCount():
        for i in range(geometry.GetGeometryCount()):
            _place(geometry.GetGeometryRef(i), transform)
        return
    for i, (col, row) in enumerate(point[:2] for point in geometry.GetPoints()):
        geometry.SetPoint_2D(i, *gdal.ApplyGeoTransform(transform, col, row))
