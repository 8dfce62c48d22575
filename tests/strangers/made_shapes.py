# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd rasters: every shape, layout, side file and reference."""

from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from osgeo import gdal, osr

from .making import GEOTRANSFORM, Made, create, everywhere, odd, outside_hole, scene, tif, with_hole, wkt, written

SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 500), (500, 1), (1, 65500), (65500, 1), (16, 16), (17, 33))


def _shape(rows: int, cols: int, folder: Path) -> Made:
    return Made(tif(folder, scene(1 if rows * cols > 10_000 else 3, rows, cols)), everywhere(rows, cols))


for _rows, _cols in SHAPES:
    odd(f"{_cols} x {_rows} pixels")(partial(_shape, _rows, _cols))


def _layout(options: list, folder: Path) -> Made:
    return Made(tif(folder, scene(3), options=options), everywhere())


for _name, _options in {
    "one strip": ["BLOCKYSIZE=20"],
    "strips of one row": ["BLOCKYSIZE=1"],
    "strips of seven rows, by band": ["BLOCKYSIZE=7", "INTERLEAVE=BAND"],
    "tiles of 16": ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"],
    "a tile larger than the raster": ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512"],
    "LZW, predictor": ["COMPRESS=LZW", "PREDICTOR=2"],
    "DEFLATE": ["COMPRESS=DEFLATE", "TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"],
    "PACKBITS": ["COMPRESS=PACKBITS"],
    "BigTIFF": ["BIGTIFF=YES"],
    "big-endian": ["ENDIANNESS=BIG"],
    "JPEG in TIFF": ["COMPRESS=JPEG", "PHOTOMETRIC=YCBCR", "TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"],
    "RGB": ["PHOTOMETRIC=RGB"],
}.items():
    odd(f"layout: {_name}")(partial(_layout, _options))


def _sparse(nodata: Any, folder: Path) -> Made:
    """A file of which most blocks were never written."""
    path = str(folder / "in.tif")
    options = ["SPARSE_OK=YES", "TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"]
    dataset = gdal.GetDriverByName("GTiff").Create(path, 48, 48, 2, gdal.GDT_UInt16, options)
    if nodata is not None:
        dataset.GetRasterBand(1).SetNoDataValue(nodata)
        dataset.GetRasterBand(2).SetNoDataValue(nodata)
    dataset.WriteArray(scene(2, 16, 16, np.uint16), 16, 16)
    dataset.FlushCache()
    valid = np.zeros((48, 48), bool)
    valid[16:32, 16:32] = True
    return Made(path, valid)


odd("sparse, none declared")(partial(_sparse, None))
odd("sparse, 0 declared")(partial(_sparse, 0))
odd("sparse, 65535 declared")(partial(_sparse, 65535))


@odd("sparse, nothing written")
def _nothing_written(folder: Path) -> Made:
    path = str(folder / "in.tif")
    gdal.GetDriverByName("GTiff").Create(path, 48, 48, 2, gdal.GDT_UInt16, ["SPARSE_OK=YES"]).FlushCache()
    return Made(path, refused="no valid pixel")


@odd("constant")
def _constant(folder: Path) -> Made:
    return Made(tif(folder, np.full((3, 20, 26), 9, np.uint8)), everywhere())


@odd("constant, float")
def _constant_float(folder: Path) -> Made:
    return Made(tif(folder, np.full((1, 20, 26), -0.3, np.float32)), everywhere())


@odd("chessboard")
def _chessboard(folder: Path) -> Made:
    values = (np.indices((20, 26)).sum(axis=0) % 2 * 100 + 50).astype(np.uint8)[None]
    return Made(tif(folder, values), everywhere())


@odd("noise")
def _noise(folder: Path) -> Made:
    return Made(tif(folder, np.random.default_rng(1).integers(1, 255, (3, 20, 26)).astype(np.uint8)), everywhere())


@odd("gradient")
def _gradient(folder: Path) -> Made:
    values = np.linspace(1, 60000, 520).reshape(1, 20, 26).astype(np.uint16)
    return Made(tif(folder, values), everywhere())


@odd("two rows of pixels that meet at corners")
def _diagonal(folder: Path) -> Made:
    values = np.full((1, 20, 26), 20, np.uint8)
    values[0, np.arange(20), np.arange(20)] = 200
    return Made(tif(folder, values), everywhere())


def _overviews(outside: bool, folder: Path) -> Made:
    path = tif(folder, scene(3, 60, 70))
    dataset = gdal.Open(path, gdal.GA_ReadOnly if outside else gdal.GA_Update)
    dataset.BuildOverviews("AVERAGE", [2, 4])
    del dataset
    return Made(path, everywhere(60, 70))


odd("overviews in the file")(partial(_overviews, False))
odd("overviews beside the file")(partial(_overviews, True))


@odd("statistics in an .aux.xml that are wrong")
def _wrong_statistics(folder: Path) -> Made:
    path = tif(folder, scene(2))
    written(
        f"{path}.aux.xml",
        """<PAMDataset><PAMRasterBand band="1"><Histograms><HistItem><HistMin>-0.5</HistMin><HistMax>255.5</HistMax>
        <BucketCount>2</BucketCount><IncludeOutOfRange>1</IncludeOutOfRange><Approximate>0</Approximate>
        <HistCounts>5|9</HistCounts></HistItem></Histograms><Metadata><MDI key="STATISTICS_MAXIMUM">1</MDI>
        <MDI key="STATISTICS_MEAN">0.5</MDI><MDI key="STATISTICS_MINIMUM">0</MDI><MDI key="STATISTICS_STDDEV">0</MDI>
        <MDI key="STATISTICS_VALID_PERCENT">1</MDI></Metadata></PAMRasterBand></PAMDataset>""",
    )
    return Made(path, everywhere())


@odd("statistics by GDAL in an .aux.xml")
def _statistics(folder: Path) -> Made:
    path = tif(folder, scene(2))
    dataset = gdal.Open(path)
    dataset.GetRasterBand(1).ComputeStatistics(False)
    dataset.GetRasterBand(2).GetDefaultHistogram(force=1)
    del dataset
    return Made(path, everywhere())


@odd("no data in an .aux.xml")
def _nodata_beside(folder: Path) -> Made:
    path = tif(folder, with_hole(3, 1))
    written(
        f"{path}.aux.xml",
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>3</NoDataValue></PAMRasterBand></PAMDataset>',
    )
    values = with_hole(3, 1)
    return Made(path, values[0] != 3)


@odd("an .aux.xml that is no XML")
def _broken_aux(folder: Path) -> Made:
    path = tif(folder, scene(2))
    written(f"{path}.aux.xml", "<PAMDataset><PAMRasterBand band='1'>")
    return Made(path, everywhere())


@odd("an .ovr that is no raster")
def _broken_overview(folder: Path) -> Made:
    path = tif(folder, scene(2))
    written(f"{path}.ovr", "not a raster")
    return Made(path, everywhere())


@odd("a .msk that is no raster")
def _broken_mask(folder: Path) -> Made:
    path = tif(folder, scene(2))
    written(f"{path}.msk", "not a raster")
    return Made(path, everywhere())


REFERENCES = {
    "rotated": ((1.5, 0.1, 0.03, 2.25, -0.04, -0.1), "EPSG:4326"),
    "south-up": ((0.125, 10.0, 0.0, 7.0, 0.0, 10.0), "EPSG:32630"),
    "mirrored": ((500000.0, -10.0, 0.0, 6000000.0, 0.0, -10.0), "EPSG:32630"),
    "turned by a right angle": ((500000.0, 0.0, 10.0, 6000000.0, 10.0, 0.0), "EPSG:32630"),
    "oblong pixels": ((500000.0, 10.0, 0.0, 6000000.0, 0.0, -0.25), "EPSG:32630"),
    "no CRS": (GEOTRANSFORM, None),
    "nothing": (None, None),
    "CRS only": (None, "EPSG:32630"),
    "geographic": ((-3.5, 0.001, 0.0, 52.5, 0.0, -0.001), "EPSG:4326"),
    "over the date line": ((179.99, 0.001, 0.0, 52.5, 0.0, -0.001), "EPSG:4326"),
    "beyond the poles": ((-200.0, 20.0, 0.0, 100.0, 0.0, -20.0), "EPSG:4326"),
    "tiny pixels": ((3.0, 1e-9, 0.0, 50.0, 0.0, -1e-9), "EPSG:4326"),
    "huge coordinates": ((1e12, 1e6, 0.0, 1e12, 0.0, -1e6), "EPSG:32630"),
    "feet": ((500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0), "EPSG:2263"),
    "compound CRS": (GEOTRANSFORM, "EPSG:32630+5773"),
    "identity": ((0.0, 1.0, 0.0, 0.0, 0.0, 1.0), None),
    "datum with a shift": (GEOTRANSFORM, "+proj=utm +zone=30 +ellps=intl +towgs84=-87,-98,-121 +units=m"),
}


def _reference(transform: Any, crs: Any, folder: Path) -> Made:
    values = scene(2)
    path = str(folder / "in.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(path, values.shape[2], values.shape[1], 2, gdal.GDT_Byte)
    if transform:
        dataset.SetGeoTransform(transform)
    if crs:
        dataset.SetProjection(wkt(crs))
    dataset.WriteArray(values)
    dataset.FlushCache()
    return Made(path, everywhere())


for _name, (_transform, _crs) in REFERENCES.items():
    odd(f"reference: {_name}")(partial(_reference, _transform, _crs))


@odd("reference: local")
def _local(folder: Path) -> Made:
    path = _reference(GEOTRANSFORM, None, folder).source
    dataset = gdal.Open(path, gdal.GA_Update)
    reference = osr.SpatialReference()
    reference.SetLocalCS("a building site")
    reference.SetLinearUnits("metre", 1.0)
    dataset.SetSpatialRef(reference)
    del dataset
    return Made(path, everywhere())


def _gcps(points: list, folder: Path) -> Made:
    path = _reference(None, None, folder).source
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.SetGCPs([gdal.GCP(*point) for point in points], wkt())
    del dataset
    return Made(path, everywhere())


_CORNERS = [(500000 + 10 * x + y, 6000000 - 11 * y, 0, x, y) for x, y in ((0, 0), (26, 0), (0, 20), (26, 20))]
odd("reference: control points")(partial(_gcps, _CORNERS))
odd("reference: one control point")(partial(_gcps, _CORNERS[:1]))
odd("reference: control points in one place")(partial(_gcps, [(1.0, 2.0, 0, 3, 4)] * 4))


def _gcps_and_more(more: str, folder: Path) -> Made:
    path = _gcps(_CORNERS, folder).source
    dataset = gdal.Translate(str(folder / "in.vrt"), path, format="VRT")
    dataset.FlushCache()
    text = (folder / "in.vrt").read_text().replace("<GCPList", f"{more.format(wkt=escape(wkt()))}<GCPList", 1)
    (folder / "in.vrt").write_text(text)
    return Made(str(folder / "in.vrt"), everywhere())


_MORE = {
    "a geotransform": "<GeoTransform>500000, 10, 0, 6000000, 0, -10</GeoTransform>",
    "no more than GDAL's default geotransform": "<GeoTransform>0, 1, 0, 0, 0, 1</GeoTransform>",
    "a CRS that is not only theirs": "<SRS>{wkt}</SRS>",
}
for _what, _text in _MORE.items():
    odd(f"reference: control points and {_what}, VRT")(partial(_gcps_and_more, _text))


@odd("reference: rational polynomials")
def _rpcs(folder: Path) -> Made:
    path = str(folder / "in.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(path, 26, 20, 2, gdal.GDT_UInt16, ["PROFILE=GDALGeoTIFF"])
    dataset.WriteArray(scene(2, dtype=np.uint16))
    numbers = " ".join(["0", "1"] + ["0"] * 18)
    ones = " ".join(["1"] + ["0"] * 19)
    scales = dict.fromkeys(("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"), "10")
    offsets = dict.fromkeys(("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF"), "5")
    polynomials = {"LINE_NUM_COEFF": numbers, "SAMP_NUM_COEFF": numbers}
    denominators = {"LINE_DEN_COEFF": ones, "SAMP_DEN_COEFF": ones}
    dataset.SetMetadata({**scales, **offsets, **polynomials, **denominators}, "RPC")
    dataset.FlushCache()
    return Made(path, everywhere())


def _world_file(extension: str, folder: Path) -> Made:
    path = str(folder / "in.tif")
    gdal.GetDriverByName("GTiff").Create(path, 26, 20, 1, gdal.GDT_Byte, ["PROFILE=BASELINE"]).WriteArray(scene(1))
    written(folder / f"in.{extension}", "10\n0\n0\n-10\n500005\n5999995\n")
    return Made(path, everywhere())


for _extension in ("tfw", "wld"):
    odd(f"reference: world file .{_extension}")(partial(_world_file, _extension))


@odd("reference: geolocation arrays")
def _geolocation(folder: Path) -> Made:
    path = tif(folder, scene(2), name="source.tif")
    dataset = gdal.Translate(str(folder / "in.vrt"), path, format="VRT", noData="none")
    arrays = {"X_DATASET": path, "X_BAND": "1", "Y_DATASET": path, "Y_BAND": "2", "SRS": wkt("EPSG:4326")}
    steps = {"PIXEL_OFFSET": "0", "LINE_OFFSET": "0", "PIXEL_STEP": "1", "LINE_STEP": "1"}
    dataset.SetMetadata({**arrays, **steps}, "GEOLOCATION")
    dataset.FlushCache()
    return Made(str(folder / "in.vrt"), everywhere())


@odd("masked and rotated and of 16 bits")
def _all_at_once(folder: Path) -> Made:
    path = str(folder / "in.img")
    dataset = create(path, with_hole(9, 2, np.int16), form="HFA")
    dataset.SetGeoTransform((500000.0, 9.0, 2.0, 6000000.0, 2.0, -9.0))
    for number in (1, 2):
        dataset.GetRasterBand(number).SetNoDataValue(9)
    dataset.FlushCache()
    values = with_hole(9, 2, np.int16)
    return Made(path, (values != 9).all(axis=0) & outside_hole())
