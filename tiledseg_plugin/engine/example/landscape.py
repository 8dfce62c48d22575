# SPDX-License-Identifier: GPL-2.0-or-later
"""The example's picture: an invented landscape as a satellite with pixels of 10 m would see it. Arrays only.

What is drawn is layer upon layer: fields, meadows, woods, lanes, water, settlements, roads; then what lies between the
ground and the numbers: light on the slopes, the blur of the optics, haze, noise, and the slanted edge of the swath.
"""

from typing import Any, NamedTuple, Sequence, Tuple

import numpy as np

from .noise import curve, fractal, hashed, share, smooth, speckle, uniform

ROWS, COLS = SHAPE = (1200, 1500)
BANDS = ("blue", "green", "red", "near infrared")

# Reflectance times 10,000 in the four bands.
CROPS = np.array(
    [
        (330, 590, 350, 4100),  # winter wheat
        (360, 660, 400, 3500),  # barley
        (470, 980, 790, 3900),  # rape in flower
        (470, 780, 610, 3050),  # meadow
        (430, 700, 480, 3700),  # clover
        (600, 820, 860, 2300),  # maize, just up
        (740, 970, 1230, 1900),  # bare soil, dry
        (560, 720, 880, 1400),  # bare soil, moist
        (690, 930, 1130, 2450),  # stubble
    ],
    np.float32,
)
SHARE_OF_CROPS = np.array([22, 12, 9, 17, 8, 12, 8, 7, 5])  # per cent
BEECH, SPRUCE, CLEARING = (285, 530, 310, 3400), (245, 400, 275, 2100), (400, 640, 520, 2700)
HEDGE, RIVERSIDE = (300, 490, 340, 2900), (420, 740, 500, 3500)
DEEP, SHALLOW = (430, 370, 230, 140), (560, 620, 430, 260)
ASPHALT, CONCRETE, GRAVEL = (690, 740, 790, 1150), (880, 960, 1010, 1300), (720, 850, 960, 1800)
GARDEN = (450, 690, 540, 2750)
ROOFS = np.array(
    [(610, 680, 950, 1600), (720, 760, 800, 1150), (520, 550, 580, 900), (650, 750, 1050, 1700)], np.float32
)
HALLS = np.array([(1750, 1850, 1900, 2100), (1250, 1300, 1350, 1500), (900, 940, 980, 1150)], np.float32)

TURNS = ((1.0, 0.0), (0.8, 0.6), (12 / 13, 5 / 13), (0.6, 0.8), (15 / 17, -8 / 17), (0.96, 0.28), (24 / 25, -7 / 25))


class Settlement(NamedTuple):
    """Where a town or village lies and how large it is, in pixels."""

    row: int
    col: int
    radius: int


class Ground:
    """The picture while it is drawn.

    bands : (4, rows, cols) float32, reflectance times 10,000
    """

    def __init__(self) -> None:
        self.y = np.arange(ROWS, dtype=np.float32)[:, None]
        self.x = np.arange(COLS, dtype=np.float32)
        self.relief = fractal(11, SHAPE, 420, 4)
        self.bands = np.empty((4, ROWS, COLS), np.float32)

    def paint(self, where: np.ndarray, colour: Any, tone: Any = None) -> None:
        """Fill the pixels of a mask with a colour, (4,) or (4, pixels); a tone, (pixels,), makes them lighter."""
        rows, cols = np.nonzero(where)
        shade = np.asarray(colour, np.float32).reshape(4, -1)
        self.bands[:, rows, cols] = shade if tone is None else shade * tone

    def blend(self, share: np.ndarray, colour: Sequence[float]) -> None:
        """Mix a colour in where its share, (rows, cols) from 0 to 1, is above 0."""
        rows, cols = np.nonzero(share > 0)
        part = share[rows, cols]
        old = self.bands[:, rows, cols]
        self.bands[:, rows, cols] = old + (np.array(colour, np.float32)[:, None] - old) * part


def draw() -> np.ndarray:
    """The landscape: (4, rows, cols) uint16, blue, green, red and near infrared; 0 where the satellite saw nothing."""
    ground = Ground()
    river = _river()
    town = Settlement(760, int(river[760]) - 150, 125)
    villages = (Settlement(230, 520, 42), Settlement(1010, 1130, 48), Settlement(560, 1240, 36))
    lanes = _fields(ground)
    near_river = _across(ground.x, river)
    _riverside(ground, near_river)
    _woods(ground, near_river, (town, *villages))
    ground.blend(lanes, GRAVEL)
    ground.bands *= _slopes(ground)
    _water(ground, river, near_river)
    for number, place in enumerate((town, *villages)):
        _settlement(ground, place, number)
    _roads(ground, town, villages)
    return _as_seen(ground.bands)


def _fields(ground: Ground) -> np.ndarray:
    """Fields of farms that lie each in its own direction; returns how much of each pixel is lane between the farms."""
    warp = smooth(21, SHAPE, 170) * 90
    farm, lanes = _farms(ground.x + warp, ground.y + warp[::-1])
    farms = np.arange(farm.max() + 1)
    turns = np.array(TURNS, np.float32)[hashed(22, farms).astype(np.int64) % len(TURNS)]
    cos, sin = turns[:, 0][farm], turns[:, 1][farm]
    along, across = ground.x * cos + ground.y * sin, ground.y * cos - ground.x * sin
    height, start = (22 + 22 * uniform(23, farms))[farm], (uniform(24, farms) * 40)[farm]
    strip = _parted(across, height, start, hashed(25, farms)[farm])
    bits = hashed(26, farm, strip)
    place = _parted(along, 32 + 56 * share(bits, 0), share(bits, 12) * 80, bits)
    field = hashed(29, bits.view(np.int64), place)
    crop = np.searchsorted(np.cumsum(SHARE_OF_CROPS), (share(field, 20) * 100).astype(np.int64), side="right")
    for band in range(4):
        ground.bands[band] = CROPS[:, band][crop]
    tone, growth = 0.86 + 0.28 * share(field, 4), 0.88 + 0.24 * share(field, 40)
    patchy = fractal(31, SHAPE, 48, 3) - 0.5
    ground.bands[:3] *= tone * (1 - 0.22 * patchy)
    ground.bands[3] *= growth * (1 + 0.26 * patchy)
    border = np.zeros(SHAPE, bool)
    border[:, 1:] = field[:, 1:] != field[:, :-1]
    border[1:] |= field[1:] != field[:-1]
    hedge = border & (share(bits, 24) < 0.35)
    ground.blend(hedge * np.float32(0.75), HEDGE)
    ground.blend((border & ~hedge) * np.float32(0.3), CROPS[3])
    return lanes


def _farms(x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Which of some places is nearest to each pixel, and the lanes, where two of them are equally near."""
    count = np.arange(18)
    rows = ((count // 6 + 0.15 + 0.7 * uniform(41, count)) * 400).astype(np.float32)
    cols = ((count % 6 + 0.15 + 0.7 * uniform(42, count)) * 265).astype(np.float32)
    nearest, second = np.full((2, *SHAPE), 1e9, np.float32)
    farm = np.zeros(SHAPE, np.int64)
    for number in count:
        distance = (x - cols[number]) ** 2
        distance += (y - rows[number]) ** 2
        np.copyto(farm, number, where=distance < nearest)
        np.minimum(second, np.maximum(nearest, distance), out=second)
        np.minimum(nearest, distance, out=nearest)
    return farm, np.clip(1.6 - (np.sqrt(second) - np.sqrt(nearest)), 0, 0.8)


def _parted(position: np.ndarray, step: np.ndarray, start: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Numbers of the parts, of unequal length, in which positions lie, int64; `which` line it is makes others."""
    scaled = (position + start) / step
    whole = np.floor(scaled)
    number = whole.astype(np.int64)
    return number - (scaled - whole < 0.55 * uniform(28, which.view(np.int64), number))


def _river() -> np.ndarray:
    """The column of the river's middle in each row."""
    return 560 + 420 * curve(51, ROWS, 380) + 90 * curve(55, ROWS, 120, 2)


def _across(position: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """How far each pixel is from a winding line that has one place in every row, measured across it."""
    slope = np.gradient(middle)
    return np.abs(position - middle[:, None]) / np.sqrt(1 + slope * slope)[:, None]


def _riverside(ground: Ground, near_river: np.ndarray) -> None:
    """Wet meadows along the river, and trees on its banks."""
    width = 26 + 34 * smooth(61, SHAPE, 90)
    ground.blend(np.clip((width - near_river) / 10, 0, 0.85), RIVERSIDE)
    trees = (near_river < 15) & (smooth(62, SHAPE, 9) > 0.5)
    ground.paint(trees, BEECH)


def _woods(ground: Ground, near_river: np.ndarray, settlements: Sequence[Settlement]) -> None:
    """Woods on the hills, of beech and spruce, with crowns, clearings and shade along their edges."""
    cover = fractal(71, SHAPE, 230, 4) + 0.45 * (ground.relief - 0.5)
    for place in settlements:
        away = (ground.x - place.col) ** 2 + (ground.y - place.row) ** 2
        cover -= 0.3 * np.clip(1 - away / np.float32((1.9 * place.radius) ** 2), 0, 1)
    wood = (cover > 0.59) & (near_river > 22)
    stand = fractal(75, SHAPE, 110, 3)
    spruce = np.clip((stand - 0.46) * 14, 0, 1)[wood]
    colour = np.array(BEECH, np.float32)[:, None] * (1 - spruce) + np.array(SPRUCE, np.float32)[:, None] * spruce
    crowns = 0.72 + 0.32 * smooth(78, SHAPE, 3) + 0.24 * smooth(79, SHAPE, 40)
    ground.paint(wood, colour, crowns[wood])
    clearing = wood & (fractal(81, SHAPE, 30, 3) > 0.75)
    ground.paint(clearing, CLEARING)
    shade = np.zeros(SHAPE, bool)
    shade[:-2, :-1] = wood[2:, 1:] & ~wood[:-2, :-1]
    ground.bands[:, shade] *= np.float32(0.78)


def _slopes(ground: Ground) -> np.ndarray:
    """Light and shade of hills in the morning, about 1."""
    down, right = np.gradient(ground.relief)
    return np.clip(1 + 22 * (down - right), 0.82, 1.18).astype(np.float32)


def _water(ground: Ground, river: np.ndarray, near_river: np.ndarray) -> None:
    """The lake, the river that feeds and leaves it, and two brooks."""
    row, col = 400, float(river[400])
    u, v = (ground.x - col) * 0.8 + (ground.y - row) * 0.6, (ground.y - row) * 0.8 - (ground.x - col) * 0.6
    depth = 1 - (u / 118) ** 2 - (v / 78) ** 2 + 0.9 * (fractal(91, SHAPE, 70, 3) - 0.5)
    for seed, start, height in ((95, 560, 170), (98, 930, 130)):
        brook = start + height * curve(seed, COLS, 210)
        near = _across(ground.y.T, brook).T
        ground.paint((near < 6) & (smooth(seed + 9, SHAPE, 7) > 0.45), BEECH)
        ground.blend(np.clip(1.8 - near, 0, 0.9), SHALLOW)
    width = 3.6 + ground.y / 400 + 1.5 * curve(94, ROWS, 60)[:, None]
    ground.blend(np.clip(width + 0.5 - near_river, 0, 1), SHALLOW)
    ground.blend(np.clip(depth * 12, 0, 1), SHALLOW)
    ground.blend(np.clip(depth * 2.2, 0, 1), DEEP)


def _settlement(ground: Ground, place: Settlement, number: int) -> None:
    """Streets, houses and gardens, denser towards the middle; beside a town the halls of its works."""
    size = int(place.radius * 1.5)
    rows = slice(max(place.row - size, 0), min(place.row + size, ROWS))
    cols = slice(max(place.col - size, 0), min(place.col + size, COLS))
    y, x = ground.y[rows] - place.row, ground.x[cols] - place.col
    edge = 1 + 0.7 * (fractal(111 + number, SHAPE, 50, 3)[rows, cols] - 0.5)
    density = edge - np.sqrt(x * x + y * y) / place.radius
    cos, sin = TURNS[1 + number]
    u, v = x * cos + y * sin + 4 * smooth(115, SHAPE, 60)[rows, cols], y * cos - x * sin
    park = smooth(116 + number, SHAPE, 34)[rows, cols]
    street = (np.minimum(np.abs(u % 19 - 9.5), np.abs(v % 13 - 6.5)) < 0.7) & (park < 0.72)
    cell = np.floor(u / 1.9).astype(np.int64), np.floor(v / 2.3).astype(np.int64)
    built = uniform(121 + number, *cell) < np.clip(0.12 + 0.85 * density, 0, 0.75) * (park < 0.7)
    roof = ROOFS[hashed(125 + number, *cell).astype(np.int64) % len(ROOFS)].T.swapaxes(1, 2)
    picture = np.where(built, roof, np.array(GARDEN, np.float32)[:, None, None])
    picture = picture * (0.8 + 0.4 * uniform(131 + number, *cell))
    works = (u > 0.42 * place.radius) & (np.abs(v) < 0.5 * place.radius) & (number == 0)
    hall = np.floor(u / 13).astype(np.int64), np.floor(v / 9).astype(np.int64)
    halls = HALLS[hashed(135, *hall).astype(np.int64) % len(HALLS)].T.swapaxes(1, 2)
    inside = (u % 13 > 3) & (v % 9 > 2.5) & (uniform(136, *hall) < 0.75)
    picture = np.where(works, np.where(inside, halls, np.array(ASPHALT, np.float32)[:, None, None]), picture)
    picture = np.where(street & ~works, np.array(ASPHALT, np.float32)[:, None, None], picture)
    water = ground.bands[3, rows, cols] < 400
    ground.bands[:, rows, cols] = np.where((density > 0) & ~water, picture, ground.bands[:, rows, cols])


def _roads(ground: Ground, town: Settlement, villages: Sequence[Settlement]) -> None:
    """A motorway, and roads that wind through the town and on to the villages."""
    rows, cols = np.arange(ROWS, dtype=np.float32), np.arange(COLS, dtype=np.float32)
    west = _through([(0, 300), (town.row - 250, town.col - 190), (town.row + 120, town.col - 210), (1199, 120)], rows)
    motorway = _across(ground.x, west)
    ground.blend(np.clip(2.4 - motorway, 0, 1), CONCRETE)
    ground.blend(np.clip(0.7 - motorway, 0, 0.6), HEDGE)
    first, second, third = villages
    winding = 26 * (curve(141, COLS, 130) - 0.5)
    east = _through([(0, 830), (town.col, town.row + 8), (second.col, second.row), (1499, 1080)], cols) + winding
    ground.blend(np.clip(1.9 - _across(ground.y.T, east).T, 0, 1), ASPHALT)
    north = _through([(0, 470), (first.row, first.col), (town.row, town.col), (1199, town.col + 160)], rows)
    north = north + 22 * (curve(144, ROWS, 140) - 0.5)
    ground.blend(np.clip(1.7 - _across(ground.x, north), 0, 1), ASPHALT)
    far = _through([(0, 250), (first.col, first.row), (third.col, third.row), (1499, 640)], cols)
    far = far + 30 * (curve(147, COLS, 150) - 0.5)
    away = _across(ground.y.T, far).T
    ground.blend(np.clip(1.4 - away, 0, 1) * (ground.bands[3] > 400), ASPHALT)


def _through(points: Sequence[Tuple[float, float]], places: np.ndarray) -> np.ndarray:
    """A bent line through points (place, value)."""
    at, values = zip(*points)
    knots, heights = np.array(at, float), np.array(values, float)
    before = np.clip(np.searchsorted(knots, places, side="right") - 1, 0, knots.size - 2)
    steep = np.diff(heights) / np.diff(knots)
    line = heights[before] + (places - knots[before]) * steep[before]
    for _ in range(3):  # rounded at the points
        padded = np.pad(line, 20, mode="edge")
        sums = np.cumsum(padded)
        line = (sums[40:] - sums[:-40]) / 40
        line = line[: places.size]
    return line.astype(np.float32)


def _as_seen(bands: np.ndarray) -> np.ndarray:
    """What a sensor makes of the ground: blurred, hazy, noisy, and only within its slanted swath."""
    y, x = np.arange(ROWS, dtype=np.float32)[:, None], np.arange(COLS, dtype=np.float32)
    haze = (x + y) / (ROWS + COLS) + 0.5 * smooth(151, SHAPE, 500)
    seen = (x > 250 - 0.2 * y) & (x < 1478 - 0.2 * y)
    noises = (*speckle(155, SHAPE), *speckle(156, SHAPE))
    picture = np.zeros(bands.shape, np.uint16)
    for number, band in enumerate(bands):
        blurred = band.copy()
        for axis in (0, 1):
            line = np.moveaxis(blurred, axis, 0)
            inside = line[1:-1] * 2 + line[:-2] + line[2:]
            line[1:-1] = inside / 4
        noise = noises[number]
        lit = blurred * (1.03 - 0.04 * haze) + haze * (60, 45, 30, 10)[number]
        picture[number] = np.where(seen, np.clip(lit * (1 + 0.022 * noise) + 9 * noise, 1, 10000) + 0.5, 0)
    return picture
