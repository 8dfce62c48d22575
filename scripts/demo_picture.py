# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture of a segmentation: the whole raster, and a part of it magnified with fine outlines of the segments."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from osgeo import gdal  # noqa: E402
from PIL import Image  # noqa: E402

OVERVIEW = 1000  # longest side in pixels
CROP = 200  # pixels of the raster, a side
MAGNIFY = 6
OUTLINE = (255, 230, 70)
FRAME = "#ffe646"
DPI = 100
FIGURE = (1860, 1270)
PANELS = ((20, 45, 575, 575), (20, 670, 575, 575), (630, 45, 1200, 1200))  # left, top, width, height
INK = "#1d2b33"


def draw(raster, segments, picture):
    """Draw the picture; returns its path; only the overview and the magnified part are read."""
    gdal.UseExceptions()  # a program of its own, so this is nobody else's GDAL
    image, labels = gdal.Open(str(raster)), gdal.Open(str(segments))
    bands = _colour_bands(image)
    scale = max(image.RasterXSize, image.RasterYSize) / OVERVIEW
    size = [max(1, round(side / max(scale, 1))) for side in (image.RasterXSize, image.RasterYSize)]
    overview = _read(image, bands, (0, 0, image.RasterXSize, image.RasterYSize), size)
    valid = labels.GetRasterBand(1).ReadAsArray(buf_xsize=size[0], buf_ysize=size[1]) > 0
    limits = [np.percentile(band[valid], (1, 99)) for band in overview]
    shown = _stretch(overview, limits, valid)
    window = _interesting_window(shown, valid, image.RasterXSize, image.RasterYSize)
    part = _stretch(_read(image, bands, window), limits)
    ids = labels.GetRasterBand(1).ReadAsArray(*window)
    _compose(shown, part, ids, window, image, picture)
    return picture


def _colour_bands(image):
    """Red, green and blue where the raster says which they are, else its first three bands, or its only one."""
    wanted = (gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand)
    numbers = range(1, image.RasterCount + 1)
    meaning = {image.GetRasterBand(number).GetColorInterpretation(): number for number in reversed(numbers)}
    if all(colour in meaning for colour in wanted):
        return [meaning[colour] for colour in wanted]
    return [1, 2, 3] if image.RasterCount >= 3 else [1, 1, 1]


def _read(image, bands, window, size=None):
    width, height = size or window[2:]
    read = [image.GetRasterBand(band).ReadAsArray(*window, buf_xsize=width, buf_ysize=height) for band in bands]
    return np.nan_to_num(np.array(read, float))


def _stretch(values, limits, valid=None):
    """(rows, cols, 3) uint8 between the limits of each band; white where it is not valid."""
    low, high = (np.array(limit)[:, None, None] for limit in zip(*limits))
    scaled = np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1) ** 0.75
    colours = np.moveaxis(np.round(255 * scaled), 0, -1).astype(np.uint8)
    if valid is not None:
        colours[~valid] = 255
    return colours


def _interesting_window(shown, valid, width, height):
    """Where the overview is the most varied and has no gaps, rather in the middle: (col, row, width, height)."""
    rows, cols = valid.shape
    crop_width, crop_height = min(CROP, width), min(CROP, height)
    across, down = max(1, round(crop_width * cols / width)), max(1, round(crop_height * rows / height))
    best, best_score = (0, 0), -1.0
    for top in range(0, rows - down + 1, max(1, down // 2)):
        for left in range(0, cols - across + 1, max(1, across // 2)):
            here = (slice(top, top + down), slice(left, left + across))
            off_centre = max(abs((left + across / 2) / cols - 0.5), abs((top + down / 2) / rows - 0.5))
            score = valid[here].mean() ** 4 * (1 + shown[here].std(axis=(0, 1)).mean()) * (1 - off_centre)
            if score > best_score:
                best, best_score = (left, top), score
    col = min(round(best[0] * width / cols), width - crop_width)
    row = min(round(best[1] * height / rows), height - crop_height)
    return col, row, crop_width, crop_height


def _outlined(part, ids):
    """The part magnified, with a line along the borders of its segments that shows on dark and on bright ground."""
    size = (part.shape[1] * MAGNIFY, part.shape[0] * MAGNIFY)
    large = np.asarray(Image.fromarray(part).resize(size, Image.BICUBIC), float)
    ids = np.kron(ids, np.ones((MAGNIFY, MAGNIFY), ids.dtype))
    line = np.zeros(ids.shape, bool)
    line[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    line[1:] |= ids[1:] != ids[:-1]
    line = _grown(line)
    casing = _grown(_grown(line), towards=1)
    large[casing] *= 0.65
    large[line] = OUTLINE
    return large.astype(np.uint8)


def _grown(mask, towards=-1):
    """The mask and its neighbours on one side: the upper left (-1) or the lower right (1)."""
    grown = mask.copy()
    here, there = (slice(None, -1), slice(1, None)) if towards < 0 else (slice(1, None), slice(None, -1))
    grown[:, here] |= mask[:, there]
    grown[here] |= mask[there]
    return grown


def _compose(overview, part, ids, window, image, picture):
    col, row, width, height = window
    figure = plt.figure(figsize=(FIGURE[0] / DPI, FIGURE[1] / DPI), dpi=DPI, facecolor="white")
    whole, plain, outlined = (figure.add_axes(_in_figure(*box)) for box in PANELS)
    whole.imshow(overview, extent=(0, image.RasterXSize, image.RasterYSize, 0))
    whole.add_patch(Rectangle((col, row), width, height, fill=False, color=FRAME, linewidth=2))
    whole.set_title(f"The raster, {image.RasterXSize} x {image.RasterYSize} pixels", color=INK, fontsize=12)
    plain.imshow(part, interpolation="bicubic")
    plain.set_title("What is in the frame", color=INK, fontsize=12)
    outlined.imshow(_outlined(part, ids), interpolation="none")
    count = np.unique(ids[ids > 0]).size
    outlined.set_title(f"Its {count} segments, {width} x {height} pixels", color=INK, fontsize=12)
    for axes in (whole, plain, outlined):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(INK)
    figure.savefig(picture)
    plt.close(figure)


def _in_figure(left, top, width, height):
    """A box in pixels from the upper left corner, as matplotlib wants it."""
    return left / FIGURE[0], 1 - (top + height) / FIGURE[1], width / FIGURE[0], height / FIGURE[1]
