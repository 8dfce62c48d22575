# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of many kinds, from a recipe of plain values.

A recipe is {"kind", "seed", "bands", "rows", "cols", "dtype", "low", "high", "levels", "grain"}, optionally "crop"
[top, bottom, left, right], or {"pixels", "dtype"}. Random noise of single pixels hardly ever needs many steps of
elimination: it takes images with regions of all sizes, hence the fractals, ramps and crops of real rasters, and those
that are made of regions of all sizes, `cuts` and `runs`, whose small rasters have hundreds of steps.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np

KINDS = ("fractal", "ramp", "steps", "constant", "checkers", "patches", "noise", "rings", "real", "cuts", "runs")
REAL = (
    "naip_maryland_4band_uint8.tif",
    "landsat7_bahamas_rgb_uint8.tif",
    "sen2_20210527_aber_10band.tif",
    "landsat7_nc_5band_float32.tif",
)
ROOT = Path(__file__).resolve().parent.parent.parent


def make(recipe):
    """(bands, rows, cols) of the recipe's dtype."""
    dtype = np.dtype(recipe["dtype"])
    if "pixels" in recipe:
        return np.array(recipe["pixels"], dtype)
    rng = np.random.default_rng(recipe["seed"])
    shape = recipe["rows"], recipe["cols"]
    shares = np.stack([_share(recipe, shape, rng, band) for band in range(recipe["bands"])])
    levels = recipe["levels"]
    if levels:
        shares = np.floor(shares * levels).clip(0, levels - 1) / max(levels - 1, 1)
    values = _scaled(shares, recipe["low"], recipe["high"], dtype)
    if "crop" in recipe:
        top, bottom, left, right = recipe["crop"]
        values = values[:, top:bottom, left:right]
    return np.ascontiguousarray(values)


def _scaled(shares, low, high, dtype):
    """From 0..1 to low..high."""
    if dtype.kind == "f":
        return (low + shares * (high - low)).astype(dtype)
    limits = np.iinfo(dtype)
    values = np.rint(float(low) + shares * (float(high) - float(low)))
    inside = values.clip(float(limits.min), float(limits.max))
    wide = np.where(inside >= float(limits.max), 0, inside).astype(dtype)  # the greatest may not be a double
    return np.where(inside >= float(limits.max), dtype.type(limits.max), wide)


def _share(recipe, shape, rng, band):
    """One band, of values from 0 to 1."""
    made = _MAKERS[recipe["kind"]](shape, rng, recipe["grain"], band, recipe)
    low, high = made.min(), made.max()
    return (made - low) / (high - low) if high > low else np.zeros(shape)


def _fractal(shape, rng, grain, band, recipe):
    """Noise whose power falls with frequency: regions of all sizes."""
    rows, cols = shape
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=shape)) / frequency ** (0.5 + 0.4 * grain)
    return np.fft.irfft2(spectrum, shape)


def _ramp(shape, rng, grain, band, recipe):
    rows, cols = np.indices(shape)
    angle = rng.uniform(0, 2 * np.pi)
    slope = rows * np.cos(angle) + cols * np.sin(angle)
    return slope + rng.normal(0, 0.3 * grain, shape)


def _steps(shape, rng, grain, band, recipe):
    return np.floor(_ramp(shape, rng, 0, band, recipe) / (1 + grain))


def _constant(shape, rng, grain, band, recipe):
    return np.zeros(shape)


def _checkers(shape, rng, grain, band, recipe):
    rows, cols = np.indices(shape)
    size = 1 + int(grain)
    return ((rows // size + cols // size) % 2) + rng.integers(0, 2, shape) * (rng.random() < 0.5) * 0.2


def _patches(shape, rng, grain, band, recipe):
    size = 2 + int(grain)
    cells = rng.random((-(-shape[0] // size), -(-shape[1] // size)))
    return np.kron(cells, np.ones((size, size)))[: shape[0], : shape[1]] + rng.normal(0, 0.02 * grain, shape)


def _noise(shape, rng, grain, band, recipe):
    return rng.random(shape)


def _rings(shape, rng, grain, band, recipe):
    rows, cols = np.indices(shape)
    centre = rng.random(2) * shape
    return np.sin(np.hypot(rows - centre[0], cols - centre[1]) / (1 + grain)) + rng.normal(0, 0.05 * grain, shape)


def _cuts(shape, rng, grain, band, recipe):
    """Rectangles of all sizes, the same in all bands: cut in two again and again, at any place."""
    places = np.random.default_rng(recipe["seed"])
    made, todo = np.zeros(shape), [(0, shape[0], 0, shape[1])]
    while todo:
        top, bottom, left, right = todo.pop()
        rows, cols = bottom - top, right - left
        if max(rows, cols) > 1 and places.random() > 1.5**-grain * 40 / (40 + rows * cols):
            if places.random() * (rows + cols) < rows and rows > 1 or cols == 1:
                cut = top + 1 + int(places.integers(rows - 1))
                todo += [(top, cut, left, right), (cut, bottom, left, right)]
            else:
                cut = left + 1 + int(places.integers(cols - 1))
                todo += [(top, bottom, left, cut), (top, bottom, cut, right)]
        else:
            made[top:bottom, left:right] = rng.random()
    return made


def _runs(shape, rng, grain, band, recipe):
    """Runs of all lengths from 1 on, one behind the other, every other row backwards; the same in all bands."""
    places = np.random.default_rng(recipe["seed"])
    pixels = shape[0] * shape[1]
    longest = int(np.sqrt(2 * pixels / (1 + grain))) + 1
    lengths = np.concatenate([places.permutation(np.arange(1, longest + 1)) for _ in range(2 + grain)])
    made = np.repeat(rng.random(lengths.size), lengths)[:pixels]
    made = np.pad(made, (0, pixels - made.size), mode="edge").reshape(shape)
    made[1::2] = made[1::2, ::-1]
    return made


def _real(shape, rng, grain, band, recipe):
    """A crop of a real raster, tiled by reflection, with a little noise."""
    place = np.random.default_rng(recipe["seed"])  # the same in all bands
    planes = _real_raster(int(place.integers(len(REAL))))
    if planes is None:
        return _fractal(shape, rng, grain, band, recipe)
    plane = planes[band % len(planes)]
    rows = (place.integers(plane.shape[0]) + np.arange(shape[0])) % (2 * plane.shape[0])
    cols = (place.integers(plane.shape[1]) + np.arange(shape[1])) % (2 * plane.shape[1])
    rows = np.where(rows < plane.shape[0], rows, 2 * plane.shape[0] - 1 - rows)
    cols = np.where(cols < plane.shape[1], cols, 2 * plane.shape[1] - 1 - cols)
    crop = plane[np.ix_(rows, cols)].astype(np.float64)
    return crop + rng.normal(0, 0.5 * (grain % 3), shape)


@cache
def _real_raster(index):
    """(bands, rows, cols), None where it is not there."""
    from osgeo import gdal

    folder = Path(os.environ.get("TILEDSEG_SHARED", ROOT.parent / "shared")) / "data"
    if not (folder / REAL[index]).is_file():
        return None
    planes = gdal.Open(str(folder / REAL[index])).ReadAsArray()
    return np.where(planes < -1e4, 0, planes) if planes.dtype.kind == "f" else planes


_MAKERS = {
    "fractal": _fractal,
    "ramp": _ramp,
    "steps": _steps,
    "constant": _constant,
    "checkers": _checkers,
    "patches": _patches,
    "noise": _noise,
    "rings": _rings,
    "real": _real,
    "cuts": _cuts,
    "runs": _runs,
}
