# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenes of any size: a small raster, real or drawn, repeated as in a mirror, with seeded noise on each copy.

Without noise every copy would have the same segments, and caches and compression would have too easy a time.
"""

import argparse
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

ROWS = 512  # written at a time
SIDE = 700  # of the drawn source
NOISE = 6.0  # of 16-bit reflectances; of other values two per cent of a band's standard deviation
FOOTPRINT = ((0.22, 0.02), (0.98, 0.20), (0.78, 0.98), (0.02, 0.80))  # corners, clockwise, as fractions of the side


@dataclass(frozen=True)
class Scene:
    """A square raster. `kind` is `full`, `slanted` (no data outside a slanted footprint) or `bands` (ten bands).

    source : a raster, empty for a drawn one; source_bands : of it, which become the scene's bands
    """

    kind: str
    megapixels: float
    source: str = ""
    source_bands: Tuple[int, ...] = (1, 2, 3)
    seed: int = 0

    @property
    def side(self) -> int:
        return round(1000 * math.sqrt(self.megapixels))

    @property
    def bands(self) -> int:
        return len(self.source_bands)

    @property
    def name(self) -> str:
        return f"{self.kind}{self.megapixels:g}"

    @property
    def title(self) -> str:
        what = {"full": "", "slanted": ", slanted footprint", "bands": ""}[self.kind]
        return f"{self.megapixels:g} Mpx ({self.side} x {self.side}, {self.bands} bands{what})"

    def path(self, folder) -> Path:
        """The file, whose name changes with all that it is made from."""
        made_from = repr(self) + (str(Path(self.source).stat().st_mtime_ns) if self.source else "")
        return Path(folder) / f"{self.name}_{hashlib.sha256(made_from.encode()).hexdigest()[:8]}.tif"


def make(scene, target):
    """Write a scene: tiled GeoTIFF, DEFLATE, no data 0, data type of the source.

    Parameters
    ----------
    scene : Scene
    target : Path
    """
    import numpy as np
    from osgeo import gdal, gdal_array

    gdal.UseExceptions()
    unit, projection, geotransform = _drawn(scene) if not scene.source else _read(scene)
    integer = unit.dtype.kind in "iu"
    noise = np.full(scene.bands, NOISE) if unit.dtype == np.uint16 else 0.02 * unit.std(axis=(1, 2))
    partial = target.with_suffix(".partial.tif")
    target.parent.mkdir(parents=True, exist_ok=True)
    options = ["TILED=YES", "COMPRESS=DEFLATE", f"PREDICTOR={2 if integer else 3}", "NUM_THREADS=ALL_CPUS"]
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(unit.dtype)
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(partial), scene.side, scene.side, scene.bands, kind, options + ["BIGTIFF=IF_SAFER", "ALPHA=NO"]
    )
    dataset.SetProjection(projection)
    dataset.SetGeoTransform(geotransform)
    for number in range(1, scene.bands + 1):
        dataset.GetRasterBand(number).SetNoDataValue(0)
    columns = _mirrored(np.arange(scene.side), unit.shape[2])
    for top in range(0, scene.side, ROWS):
        rows = np.arange(top, min(top + ROWS, scene.side))
        pixels = unit[:, _mirrored(rows, unit.shape[1])][:, :, columns].astype(np.float32)
        random = np.random.default_rng([scene.seed, top])
        pixels += random.standard_normal(pixels.shape, np.float32) * noise.astype(np.float32)[:, None, None]
        if integer:
            pixels = np.clip(np.rint(pixels), 1, np.iinfo(unit.dtype).max)
        if scene.kind == "slanted":
            pixels[:, ~_inside(rows, scene.side)] = 0
        dataset.WriteArray(pixels.astype(unit.dtype), 0, top)
    dataset = None
    partial.replace(target)


def _mirrored(indices, length):
    """Indices beyond a length, as they are when the range is repeated by reflection."""
    import numpy as np

    around = indices % (2 * length)
    return np.minimum(around, 2 * length - 1 - around)


def _inside(rows, side):
    """Which pixels of these rows are within the footprint: on the right-hand side of each of its edges."""
    import numpy as np

    y, x = (rows[:, None] + 0.5) / side, (np.arange(side)[None, :] + 0.5) / side
    inside = np.ones((len(rows), side), bool)
    for (x0, y0), (x1, y1) in zip(FOOTPRINT, FOOTPRINT[1:] + FOOTPRINT[:1]):
        inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= 0
    return inside


def _read(scene):
    import numpy as np
    from osgeo import gdal

    dataset = gdal.Open(scene.source)
    unit = np.stack([dataset.GetRasterBand(number).ReadAsArray() for number in scene.source_bands])
    return unit, dataset.GetProjection(), dataset.GetGeoTransform()


def _drawn(scene):
    """Fields of many sizes, each with a colour and a texture of its own, on land that slopes gently; 16 bit."""
    import numpy as np
    from osgeo import osr
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    random = np.random.default_rng(scene.seed + 1)
    fields = 900
    y, x = np.mgrid[:SIDE, :SIDE]
    centres = SIDE * random.random((fields, 2)) ** 1.3  # small fields at one corner, large ones at the other
    field = cKDTree(centres).query(np.stack([y, x], axis=-1).reshape(-1, 2))[1].reshape(SIDE, SIDE)
    roughness = random.gamma(2.0, 40.0, fields)[field]
    land = random.uniform(300, 2600, (24, scene.bands))[random.integers(0, 24, fields)]  # 24 kinds of land cover
    colours = land * random.normal(1, 0.06, (fields, scene.bands))
    unit = np.empty((scene.bands, SIDE, SIDE))
    shared = gaussian_filter(random.standard_normal((SIDE, SIDE)), 1.2) * 3
    for band in range(scene.bands):
        own = gaussian_filter(random.standard_normal((SIDE, SIDE)), 0.8) * 2
        unit[band] = colours[field, band] + roughness * (shared + 0.4 * own) + 0.15 * (x + y)
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32630)
    unit = np.clip(unit, 1, 10000).astype(np.uint16)
    return unit, crs.ExportToWkt(), (400000.0, 10.0, 0.0, 5800000.0, 0.0, -10.0)


def main():
    """Make one scene, in a process of its own, so that the one that measures stays small."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("kind", choices=["full", "slanted", "bands"])
    parser.add_argument("megapixels", type=float)
    parser.add_argument("--source", default="")
    parser.add_argument("--source-bands", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    make(Scene(given.kind, given.megapixels, given.source, tuple(given.source_bands), given.seed), given.target)


if __name__ == "__main__":
    main()
