#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make a grid of square tiles in a coordinate system of its own over a raster, such as a national 100 km grid.

usage: tile_grid.py RASTER TILES.gpkg [--crs EPSG:3035] [--size 100000]

The layer can be given to tiledseg:preflight and tiledseg:segment as TILES. Tiles lie at multiples of their size; those
that touch the raster's extent are written, row by row from the north, with their name, such as E4300N3100 (km).
"""

import argparse
import math

from osgeo import gdal, ogr, osr

gdal.UseExceptions()


def extent_in(raster, crs):
    """(left, bottom, right, top) of a raster in another coordinate system, from points all along its border."""
    width, height = raster.RasterXSize, raster.RasterYSize
    steps = [i / 100 for i in range(101)]
    border = [(s * width, row) for s in steps for row in (0, height)]
    border += [(col, s * height) for s in steps for col in (0, width)]
    points = [gdal.ApplyGeoTransform(raster.GetGeoTransform(), *point) for point in border]
    own = raster.GetSpatialRef()
    own.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    xs, ys, _ = zip(*osr.CoordinateTransformation(own, crs).TransformPoints(points))
    return min(xs), min(ys), max(xs), max(ys)


def make_grid(raster_path, output, crs_name, size):
    """Write the grid; returns the number of tiles."""
    crs = osr.SpatialReference()
    crs.SetFromUserInput(crs_name)
    crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    left, bottom, right, top = (edge / size for edge in extent_in(gdal.Open(raster_path), crs))
    dataset = ogr.GetDriverByName("GPKG").CreateDataSource(output)
    layer = dataset.CreateLayer("tiles", crs, ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("name", ogr.OFTString))
    for row in reversed(range(math.floor(bottom), math.ceil(top))):
        for col in range(math.floor(left), math.ceil(right)):
            x, y = col * size, row * size
            feature = ogr.Feature(layer.GetLayerDefn())
            feature["name"] = f"E{x / 1000:g}N{y / 1000:g}"
            ring = f"{x} {y},{x + size} {y},{x + size} {y + size},{x} {y + size},{x} {y}"
            feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POLYGON(({ring}))"))
            layer.CreateFeature(feature)
    return layer.GetFeatureCount()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raster")
    parser.add_argument("tiles")
    parser.add_argument("--crs", default="EPSG:3035")
    parser.add_argument("--size", type=float, default=100_000)
    given = parser.parse_args()
    print(make_grid(given.raster, given.tiles, given.crs, given.size), "tiles")
