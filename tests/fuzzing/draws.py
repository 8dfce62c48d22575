# SPDX-License-Identifier: GPL-2.0-or-later
"""Drawing cases: every parameter over its whole range, and images on which it makes a difference.

A case is plain values, so that it can be kept as JSON: {"kind", "seed", "image", "file", "parameters", "run", "zones"}.
"""

import random

import numpy as np

from . import cluster
from .files import GEOREFERENCES
from .images import KINDS, REAL, _real_raster
from .zones import draw_zones

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
FLOAT_RANGES = ((0.0, 1.0), (-1.0, 1.0), (1.0, 1e4), (-1e9, 1e9), (1e-12, 1e-9), (-1e-3, 1e12))
TURNED = ["north up"] * 3 + [name for name in GEOREFERENCES if name != "north up"]
LEVELS = (0, 0, 0, 2, 3, 5, 12, 100)
# what takes a second to start has a small share of the cases: up to which chance each is drawn
COSTLY = {"small": {"processes": 0.003, "dask": 0.012}, "large": {"processes": 0.02, "dask": 0.06}}


def usable_dtypes():
    """The dtypes that this GDAL has; bytes with a sign are those of GDAL 3.7 and later."""
    from osgeo import gdal

    lacking = set()
    if not hasattr(gdal, "GDT_Int8"):
        lacking.add("int8")
    if not hasattr(gdal, "GDT_Int64"):
        lacking |= {"int64", "uint64"}
    return [dtype for dtype in DTYPES if dtype not in lacking]


def draw(kind, seed):
    """The case of a kind (`small`, `large`) and seed (text)."""
    rng = random.Random(f"{kind} {seed}")  # noqa: S311
    image = _image(rng, kind)
    file = _file(rng, image)
    file["georeference"] = random.Random(f"georeference {kind} {seed}").choice(TURNED)  # noqa: S311
    parameters = _parameters(rng, kind, image, file)
    parameters.update(_nodata(random.Random(f"no data {kind} {seed}"), image, file))  # noqa: S311
    parameters.update(_levels(random.Random(f"levels {kind} {seed}"), kind, image, parameters))  # noqa: S311
    parameters.update(_extent(random.Random(f"extent {kind} {seed}"), image["rows"], image["cols"]))  # noqa: S311
    return {
        "kind": kind,
        "seed": seed,
        "image": image,
        "file": file,
        "parameters": parameters,
        "run": _run(rng, kind),
        "zones": draw_zones(random.Random(f"zones {kind} {seed}"), image["rows"], image["cols"]),  # noqa: S311
    }


def logarithmic(rng, low, high):
    """An integer, its magnitude evenly spread."""
    return int(round(np.exp(rng.uniform(np.log(low), np.log(high + 0.49)))))


def _sides(rng, kind):
    if kind == "small":
        most = rng.choice([4, 12, 12, 16, 24, 24, 40])
        sides = [rng.randint(1, most), rng.randint(1, most)]
        if rng.random() < 0.06:
            sides = [1, rng.randint(1, 120)]
    else:
        most = rng.choice([200, 200, 300, 300, 300, 500, 500, 1000, 2000] if rng.random() < 0.3 else [120, 200, 300])
        sides = [logarithmic(rng, 60, most), most]
        if rng.random() < 0.25:  # what shows only after hundreds of steps needs half a million pixels
            sides = [rng.randint(500, 800), rng.randint(500, 800)]
    rng.shuffle(sides)
    return sides


def _image(rng, kind):
    dtype = rng.choice(usable_dtypes() + ["uint8", "uint8", "uint16", "float32"])
    rows, cols = _sides(rng, kind)
    if np.dtype(dtype).kind == "f":
        low, high = rng.choice(FLOAT_RANGES)
    else:
        limits = np.iinfo(dtype)
        low, high = rng.choice(
            [
                (limits.min, limits.max),
                (max(limits.min, -100), 100),
                (0, min(limits.max, 255)),
                (1, min(limits.max, 2000)),
                (1, rng.choice([2, 4, 12])),
                (limits.max - 60, limits.max),
            ]
        )
    bands = rng.choice([1, 1, 2, 3, 3, 4]) if rng.random() < 0.7 else rng.randint(1, 12)
    if kind == "large":
        bands = min(bands, 12 if rows * cols < 150_000 else 4)
    kinds = KINDS if kind == "small" else [name for name in KINDS if name not in ("constant", "checkers", "noise")]
    kinds = [*kinds, "fractal", "fractal", "real"]
    if _real_raster(0) is None and not REAL:
        kinds = [name for name in kinds if name != "real"]
    return {
        "kind": rng.choice(kinds),
        "seed": rng.getrandbits(32),
        "bands": bands,
        "rows": rows,
        "cols": cols,
        "dtype": dtype,
        "low": low,
        "high": high,
        "levels": rng.choice(LEVELS),
        "grain": rng.choice([0, 1, 2, 3, 4]),
    }


def _file(rng, image):
    dtype, bands = np.dtype(image["dtype"]), image["bands"]
    holes = rng.choice(["", "", "pixels", "block", "slanted", "line"]) if rng.random() < 0.98 else "all"
    fills = [0, 0, "inside"] + (["nan", "inf", "-inf"] if dtype.kind == "f" else [])
    fills += [-9999.0, 1e20] if dtype.kind == "f" else [int(np.iinfo(dtype).max), int(np.iinfo(dtype).min)]
    fill = rng.choice(fills) if holes else None
    if fill == "inside":
        low, high = image["low"], image["high"]
        fill = (low + high) / 2 if dtype.kind == "f" else (low + high) // 2
    # GDAL takes an alpha band for a mask in rasters of two and four bands of these types only
    has_alpha = image["dtype"] in ("uint8", "uint16") and bands in (1, 3)
    masks = ["internal", "file"] + (["alpha"] if has_alpha else [])
    mask = rng.choice(masks) if holes and rng.random() < 0.3 else ""
    nodata = fill if fill is not None and fill not in ("inf", "-inf") and not mask and rng.random() < 0.7 else None
    if nodata is None and not mask and rng.random() < 0.1:
        nodata = rng.choice([0, 7])
    if dtype.itemsize == 8 and dtype.kind in "iu" and nodata is not None and abs(nodata) > 2**52:
        nodata = None  # GDAL's own way of such values is not what is tested here
    order = list(range(bands))
    rng.shuffle(order)
    vrt = rng.random() < 0.2 and not mask
    return {
        "holes": holes,
        "holes_seed": rng.getrandbits(32),
        "fill": fill,
        "fill_some": bool(holes) and rng.random() < 0.3,
        "nodata": nodata,
        "mask": mask,
        "layout": _layout(rng),
        "order": order,
        "vrt": vrt,
        "vrt_nodata": [rng.choice([None, nodata, 0]) for _ in order] if vrt and rng.random() < 0.5 else None,
    }


def _nodata(rng, image, file):
    """NODATA, where it is given: what is in the raster, or is not, or cannot be; as text."""
    if rng.random() < 0.75:
        return {}
    given = ["none", "none", "0", "7", "256", "-1", "0.5", "nan", "1e400", "-9999"]
    given += [str(file[name]) for name in ("fill", "nodata") if file[name] not in (None, "nan", "inf", "-inf")] * 3
    return {"nodata": rng.choice(given)}


def _levels(rng, kind, image, parameters):
    """LEVELS, where it is given: up to four minimum sizes above MIN_PIXELS, some of them next to each other."""
    least, pixels = parameters["min_pixels"], image["rows"] * image["cols"]
    if rng.random() < 0.5 or least > 10**8:
        return {}
    most = max(least + 2, 3 * pixels)
    sizes = {
        least + 1,
        2 * least,
        pixels,
        pixels + 1,
        2**31 - 1,
        *(logarithmic(rng, least + 1, most) for _ in range(6)),
    }
    sizes = sorted(size for size in sizes if size > least)
    sizes = rng.sample(sizes, min(len(sizes), rng.randint(1, 4 if kind == "small" else 2)))
    if rng.random() < 0.2:
        sizes.append(sizes[0] + 1)
    return {"levels": sorted({size for size in sizes if size < 2**31})}


def _extent(rng, rows, cols):
    """EXTENT, where it is given: a part of the raster, which may reach beyond its edges."""
    if rng.random() < 0.75:
        return {}
    begins = [rng.randint(-2, side // 2) for side in (cols, rows)]
    sizes = [rng.randint(max(1 - begin, side // 3), side + 3) for begin, side in zip(begins, (cols, rows))]
    return {"extent": [*begins, *sizes]}


def _layout(rng):
    options = [f"INTERLEAVE={rng.choice(['PIXEL', 'BAND'])}"]
    if rng.random() < 0.5:
        options += ["TILED=YES", f"BLOCKXSIZE={rng.choice([16, 64, 256])}", f"BLOCKYSIZE={rng.choice([16, 64, 256])}"]
    elif rng.random() < 0.5:
        options.append(f"BLOCKYSIZE={rng.choice([1, 3, 8, 1000])}")
    if rng.random() < 0.3:
        options.append(f"COMPRESS={rng.choice(['DEFLATE', 'LZW', 'PACKBITS'])}")
    return options


def _parameters(rng, kind, image, file):
    pixels = image["rows"] * image["cols"]
    bands = list(range(1, image["bands"] + 1))
    chosen = rng.sample(bands, rng.randint(1, len(bands))) if rng.random() < 0.4 or file["mask"] == "alpha" else []
    large = kind == "large"
    parameters = {
        "bands": chosen,
        "num_clusters": rng.choice([2, 3, 60, 255, 256, 500, logarithmic(rng, 2, 500)] if not large else [8, 60, 300])
        if rng.random() < 0.5
        else logarithmic(rng, 2, 60),
        "min_pixels": _min_pixels(rng, kind, pixels),
        "distance_threshold": _threshold(rng, image),
        "stretch": rng.random() < 0.6,
        "sampling": rng.choice([1, 1, 2, 3, 7]) if not large else rng.choice([1, 5, 20, 100]),
        "kmeans_max_iterations": rng.choice([1, 2, 10, 200, 200, 200]),
        "nodata_rule": rng.choice(["any", "any", "all"]),
        "valid_data_threshold": rng.choice([0.0, 0.3, 0.3, 0.9, 1.0]),
    }
    if rng.random() < 0.04:
        parameters["sampling"] = rng.choice([pixels, 10 * pixels, 1_000_000])
    if parameters["stretch"] and rng.random() < 0.2:
        parameters["rsgislib_stretch"] = True
    parameters.update(_tiles(rng, kind, image))
    return parameters


def _min_pixels(rng, kind, pixels):
    if kind == "large":
        return rng.choice([logarithmic(rng, 1, 10_000), logarithmic(rng, 200, 10_000), 255, 256, 257, 512, 3 * pixels])
    return rng.choice(
        [
            logarithmic(rng, 1, 10_000),
            logarithmic(rng, 1, max(pixels, 2)),
            rng.randint(1, 12),
            rng.randint(1, 40),
            pixels,
            pixels + 1,
            10**9,
        ]
    )


def _threshold(rng, image):
    span = max(float(image["high"]) - float(image["low"]), 1e-12)
    return rng.choice(
        [None, None, 100.0, 100.0, 30.0, 3.0, 0.5, 1e-300, 1e-30, 1e30, 1e300, span * rng.uniform(0.001, 1.5)]
    )


def _tiles(rng, kind, image):
    rows, cols = image["rows"], image["cols"]
    if rng.random() < 0.25:
        return {"tiles": _rectangles(rng, kind, rows, cols), "tile_width": 2000, "tile_height": 2000}
    if kind == "small":
        return {"tile_width": rng.choice([16, 16, 17, 20, 1000]), "tile_height": rng.choice([16, 16, 19, 1000])}
    return {
        "tile_width": logarithmic(rng, 16, 2 * cols) if cols * rows < 150_000 else logarithmic(rng, 64, cols),
        "tile_height": logarithmic(rng, 16, 2 * rows) if cols * rows < 150_000 else logarithmic(rng, 64, rows),
    }


def _rectangles(rng, kind, rows, cols):
    """Rectangles that overlap, leave gaps, and go beyond the raster; or, mostly, cut it up unevenly."""
    if rng.random() < 0.6:
        xs = sorted({0, cols, *(rng.randint(0, cols) for _ in range(rng.randint(0, 4)))})
        ys = sorted({0, rows, *(rng.randint(0, rows) for _ in range(rng.randint(0, 4)))})
        cut = [[x, y, x2 - x, y2 - y] for x, x2 in zip(xs, xs[1:]) for y, y2 in zip(ys, ys[1:])]
        rng.shuffle(cut)
        return cut if rng.random() < 0.7 else cut[: max(1, len(cut) - 1)]
    found = []
    for _ in range(rng.randint(1, 6)):
        x, y = rng.randint(-3, cols - 1), rng.randint(-3, rows - 1)
        found.append([x, y, rng.randint(4, cols + 6), rng.randint(4, rows + 6)])
    return found


def _run(rng, kind):
    """How the engine is run: what must not make any difference."""
    execution = rng.choice(["serial"] * 5 + ["auto"] + ["threads"] * 4)
    chance = rng.random()
    execution = next((name for name, most in COSTLY[kind].items() if chance < most), execution)
    if execution == "dask" and not cluster.is_available():
        execution = "threads"
    return {
        "kernels": rng.choice(["plain", "compiled", "compiled"]),
        "execution": execution,
        "workers": rng.choice([1, 2, 3, 5]),
        "interrupted": rng.choice(["cancelled", "killed"]) if rng.random() < 0.08 else "",
        "moment": rng.random(),
        "kernels_resumed": rng.choice(["plain", "compiled"]),
        "extension": rng.choice([".tif"] * 5 + [".img"]),
        "least_pixels": rng.choice([1 << 20, 64, 1000]),
    }
