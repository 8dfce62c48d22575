# SPDX-License-Identifier: GPL-2.0-or-later
"""A raster of any size that takes no room on the disk: a VRT that repeats a scene, mirrored so that no seam shows."""

import os
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np
from osgeo import gdal

MOST_UNIT_PIXELS = 1 << 24


def make_mirrored(
    source: str, bands: Sequence[int], side: int, folder: Path, floats: bool = False, files: bool = False
) -> Path:
    """A VRT of `side` x `side` pixels; the scene with its mirror images, which it repeats, lies beside it.

    Parameters
    ----------
    bands : 1-based, none for all
    floats : whether the values become float32
    files : whether each repetition is a file of its own, as far as GDAL knows
    """
    unit = folder / "unit.tif"
    _make_unit(source, bands, unit, floats)
    dataset = gdal.Open(str(unit))
    width, height = dataset.RasterXSize, dataset.RasterYSize
    kind = gdal.GetDataTypeName(dataset.GetRasterBand(1).DataType)
    block = dataset.GetRasterBand(1).GetBlockSize()
    lines = [
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}">',
        f"<SRS>{gdal_escape(dataset.GetProjection())}</SRS>",
        f"<GeoTransform>{', '.join(map(repr, dataset.GetGeoTransform()))}</GeoTransform>",
    ]
    for number in range(1, dataset.RasterCount + 1):
        lines.append(f'<VRTRasterBand dataType="{kind}" band="{number}"><NoDataValue>0</NoDataValue>')
        for top in range(0, side, height):
            for left in range(0, side, width):
                columns, rows = min(width, side - left), min(height, side - top)
                size = f'xSize="{columns}" ySize="{rows}"'
                name = _linked(unit, top // height, left // width) if files else unit.name
                lines.append(
                    f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
                    f"<SourceBand>{number}</SourceBand>"
                    f'<SourceProperties RasterXSize="{width}" RasterYSize="{height}" DataType="{kind}" '
                    f'BlockXSize="{block[0]}" BlockYSize="{block[1]}"/>'
                    f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{left}" yOff="{top}" {size}/></SimpleSource>'
                )
        lines.append("</VRTRasterBand>")
    path = folder / "scene.vrt"
    path.write_text("\n".join([*lines, "</VRTDataset>"]), encoding="utf-8")
    return path


def footprints(scene: Path, overlap: int) -> List[Tuple[int, int, int, int]]:
    """(column, row, width, height) of what `make_mirrored` repeats, each with so many pixels more on all sides."""
    whole, unit = (gdal.Open(str(path)) for path in (scene, scene.with_name("unit.tif")))
    side = whole.RasterXSize
    found = []
    for top in range(0, side, unit.RasterYSize):
        for left in range(0, side, unit.RasterXSize):
            col, row = max(left - overlap, 0), max(top - overlap, 0)
            right, bottom = (min(end, side) + overlap for end in (left + unit.RasterXSize, top + unit.RasterYSize))
            found.append((col, row, min(right, side) - col, min(bottom, side) - row))
    return found


def _linked(unit: Path, row: int, col: int) -> str:
    """Another name of the scene, in a folder beside it."""
    name = f"files/{row:03d}-{col:03d}.tif"
    path = unit.with_name("files") / Path(name).name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        os.link(unit, path)
    return name


def gdal_escape(text: str) -> str:
    """Text as it stands in XML."""
    return gdal.EscapeString(text, scheme=gdal.CPLES_XML)


def _make_unit(source: str, bands: Sequence[int], path: Path, floats: bool) -> None:
    """The scene, its mirror images beside and below it, and both below; no pixel is 0, which is no data."""
    dataset = gdal.Open(str(source))
    numbers = list(bands) or list(range(1, dataset.RasterCount + 1))
    values = np.stack([dataset.GetRasterBand(number).ReadAsArray() for number in numbers])
    if 4 * values[0].size > MOST_UNIT_PIXELS:
        values = values[:, : int(MOST_UNIT_PIXELS**0.5) // 2, : int(MOST_UNIT_PIXELS**0.5) // 2]
    if values.dtype.kind in "iu":
        values = np.maximum(values, 1)
    if floats:
        values = values.astype(np.float32)
    values = np.concatenate([values, values[:, ::-1]], axis=1)
    values = np.concatenate([values, values[:, :, ::-1]], axis=2)
    options = ["TILED=YES", "COMPRESS=DEFLATE", f"PREDICTOR={3 if values.dtype.kind == 'f' else 2}", "ALPHA=NO"]
    kind = gdal.GDT_Float32 if floats else dataset.GetRasterBand(numbers[0]).DataType
    unit = gdal.GetDriverByName("GTiff").Create(
        str(path), values.shape[2], values.shape[1], len(numbers), kind, options
    )
    unit.SetProjection(dataset.GetProjection())
    unit.SetGeoTransform(dataset.GetGeoTransform())
    unit.WriteArray(values)
    unit.FlushCache()
