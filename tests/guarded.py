# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs of every kind, the files that belong to them, and every output of every operation."""

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from osgeo import gdal, ogr, osr
from rasters import UTM, write_raster
from tiledseg.tiledseg_plugin.engine.parameter_search.candidates import PolygonLayer, SearchParameters
from tiledseg.tiledseg_plugin.engine.parameter_search.search import Layers, find_parameters
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.products.segment_columns import RasteriseParameters, rasterise_column
from tiledseg.tiledseg_plugin.engine.products.segment_neighbours import NeighboursParameters, segment_neighbours
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
    MeanImageParameters,
    PolygonsParameters,
    segment_mean_image,
    segment_polygons,
)
from tiledseg.tiledseg_plugin.engine.products.segment_shape import ShapeParameters, segment_shape
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment

SIZE = 48
BOX = "POLYGON((500000 6000000,500480 6000000,500480 5999520,500000 5999520,500000 6000000))"  # all pixels


def values(bands=3):
    rng = np.random.default_rng(4)
    return np.kron(rng.integers(1, 200, (bands, 6, 6)), np.ones((8, 8), int)).astype(np.uint16)


def ids():
    return (np.arange(36, dtype=np.uint32).reshape(6, 6) // 6 + 1).repeat(8, 0).repeat(8, 1)[None]


def contents(folder):
    """{name: hash} of all files below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def write_tiles(path, driver="GPKG", crs=UTM):
    reference = osr.SpatialReference()
    reference.SetFromUserInput(crs)
    dataset = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    layer = dataset.CreateLayer(Path(path).stem, reference, ogr.wkbPolygon)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(ogr.CreateGeometryFromWkt(BOX))
    layer.CreateFeature(feature)
    del feature, layer, dataset
    return str(path)


def write_vrt(path, *sources, relative=False):
    listed = "".join(
        f'<VRTRasterBand dataType="UInt32" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{int(relative)}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{SIZE}" ySize="{SIZE}"/><DstRect xOff="0" yOff="0" xSize="{SIZE}" '
        f'ySize="{SIZE}"/></SimpleSource></VRTRasterBand>'
        for band, source in enumerate(sources, 1)
    )
    where = "<GeoTransform>500000, 10, 0, 6000000, 0, -10</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}">{where}{listed}</VRTDataset>')
    return str(path)


def plain(folder, array, name):
    path = write_raster(folder / f"{name}.tif", array)
    return path, [path]


def imagine(folder, array, name):
    path = write_raster(folder / f"{name}.img", array, driver="HFA")
    return path, [path]


def geopackage(folder, array, name):
    path = str(folder / f"{name}.gpkg")
    source = write_raster(folder / "source.tif", np.clip(array, 0, 255).astype(np.uint8)[:1])
    gdal.Translate(path, source, format="GPKG", creationOptions=["RASTER_TABLE=r"])
    return f"GPKG:{path}:r", [path]


def mosaic(folder, array, name):
    sources = [
        write_raster(folder / f"{name}{index}{end}", band[None])
        for index, (band, end) in enumerate(zip(array, (".tif", ".tiff", ".TIF")))
    ]
    return write_vrt(folder / f"{name}.vrt", *map(os.path.basename, sources), relative=True), sources


def mosaic_of_mosaics(folder, array, name):
    (folder / "deep").mkdir()
    inner, sources = mosaic(folder / "deep", array, name)
    missing = str(folder / "missing.tif")
    return write_vrt(folder / f"{name}.vrt", inner, missing), [*sources, missing]


def linked(folder, array, name):
    path = write_raster(folder / f"{name}.tif", array)
    os.link(path, folder / "hard.tif")
    os.symlink(path, folder / "soft.tif")
    return str(folder / "soft.tif"), [path, str(folder / "hard.tif"), str(folder / "soft.tif")]


def zipped(folder, array, name):
    write_raster(folder / "source.tif", array)
    with zipfile.ZipFile(folder / f"{name}.tif", "w") as archive:
        archive.write(folder / "source.tif", "inside.tif")
    return f"/vsizip/{{{folder / f'{name}.tif'}}}/inside.tif", [str(folder / f"{name}.tif")]


RASTERS = (plain, imagine, geopackage, mosaic, mosaic_of_mosaics, linked, zipped)

ENDS = {"raster": (".tif", ".tiff", ".img"), "vector": (".gpkg", ".shp", ".csv"), "page": (".html",)}


def aimed_at(path, kind):
    """A name by which an output of that kind would harm a file; None if there is none."""
    stem, end = os.path.splitext(path)
    return path if end.lower() in ENDS[kind] else None


def engine_runs(folder, given):
    """{(operation, output): function of a path that runs it}: every output of every operation of the engine."""
    raster, segments, tiles = given["INPUT"], given["SEGMENTS"], given["TILES"]
    spare = str(folder / "spare.tif")

    def run(parameters, work):
        return lambda path, name: work(replace(parameters, **{name.lower(): path}), Feedback())

    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    serial = {"execution": "serial", "kernels": "plain"}
    box = bytes(ogr.CreateGeometryFromWkt(BOX).ExportToWkb())
    layers = Layers(*(PolygonLayer((box,), source=given[name]) for name in ("REGIONS", "REFERENCE")))
    few = {"num_clusters": (4,), "min_pixels": (3,), "sampling": 1, "kernels": "plain"}
    operations = {
        "segment": run(
            SegmentParameters(raster, spare, tiles_source=tiles, zones=given.get("ZONES", ""), **quick), segment
        ),
        "preflight": run(PreflightParameters(raster, tiles_source=tiles, zones=given.get("ZONES", "")), preflight),
        "statistics": run(
            StatisticsParameters(segments, given["VALUES"], more_values=(given["MORE_VALUES"],), **serial),
            segment_statistics,
        ),
        "parameters": run(
            SearchParameters(raster, str(folder / "spare.csv"), **few),
            lambda parameters, feedback: find_parameters(parameters, layers, feedback),
        ),
        "rasterise": run(RasteriseParameters(segments, "n", "", given["TABLE"], **serial), rasterise_column),
        "neighbours": run(NeighboursParameters(segments, values=given["VALUES"], **serial), segment_neighbours),
        "shape": run(ShapeParameters(segments, **serial), segment_shape),
        "meanimage": run(MeanImageParameters(segments, given["VALUES"], "", **serial), segment_mean_image),
        "polygons": run(PolygonsParameters(segments, "", given["VALUES"], **serial), segment_polygons),
    }
    outputs = {
        "segment": {"OUTPUT": "raster", "MEAN_IMAGE": "raster", "POLYGONS": "vector", "S1TILES": "vector"},
        "preflight": {"OUTPUT": "vector"},
        "parameters": {"OUTPUT": "vector", "REPORT": "page", "POLYGON_TABLE": "vector"},
        "statistics": {"OUTPUT": "vector"},
        "rasterise": {"OUTPUT": "raster"},
        "neighbours": {"OUTPUT": "vector", "SUMMARY": "vector"},
        "shape": {"OUTPUT": "vector"},
        "meanimage": {"OUTPUT": "raster"},
        "polygons": {"OUTPUT": "vector"},
    }
    return {
        (operation, name): (kind, operations[operation])
        for operation, names in outputs.items()
        for name, kind in names.items()
    }


INPUTS_OF = {
    "segment": ("INPUT", "TILES", "ZONES"),
    "preflight": ("INPUT", "TILES", "ZONES"),
    "statistics": ("SEGMENTS", "VALUES", "MORE_VALUES"),
    "parameters": ("INPUT", "REGIONS", "REFERENCE"),
    "rasterise": ("SEGMENTS", "TABLE"),
    "neighbours": ("SEGMENTS", "VALUES"),
    "shape": ("SEGMENTS",),
    "meanimage": ("SEGMENTS", "VALUES"),
    "polygons": ("SEGMENTS", "VALUES"),
}
VECTORS = ("TILES", "TABLE", "ZONES", "REGIONS", "REFERENCE")


def inputs_in(folder, name, make):
    """All inputs, of which that of one name is made in a way of its own, with its files."""
    folder.mkdir()
    given = {
        "INPUT": write_raster(folder / "input.tif", values()),
        "VALUES": write_raster(folder / "values.tif", values()),
        "MORE_VALUES": write_raster(folder / "more.tif", values()),
        "SEGMENTS": write_raster(folder / "segments.tif", ids(), 0),
        "TILES": write_tiles(folder / "tiles.gpkg"),
        "TABLE": write_tiles(folder / "table.gpkg"),
        "ZONES": write_tiles(folder / "zones.gpkg"),
        "REGIONS": write_tiles(folder / "regions.gpkg"),
        "REFERENCE": write_tiles(folder / "reference.gpkg"),
    }
    own = folder / "own"
    own.mkdir()
    if name in VECTORS:
        given[name] = write_tiles(own / "mine.gpkg") + "|layername=mine"
        return given, [str(own / "mine.gpkg")]
    given[name], files = make(own, np.repeat(ids(), 3, 0) if name == "SEGMENTS" else values(), "mine")
    return given, files
