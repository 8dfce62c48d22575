# SPDX-License-Identifier: GPL-2.0-or-later
"""The colours that the algorithm compares: stretched to 8 bit, or the raw values; and what it adds up for their means.

Sums must be exact, so that no order of adding can show: integers as they are, floats as fixed-point integers.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, ClassVar, Optional, Tuple

import numpy as np

from ..kernels.contract import Kernels

FIXED_POINT_BITS = 50  # of the largest absolute value of the raster
LIMB_BITS = 25  # a sum of 2^32 numbers of 25 bits fits in 64


@dataclass(frozen=True)
class Stretched:
    """The linear stretch to uint8 of shepherd-algorithm, section 1; 0 is left for no data.

    low, high : per band, the values that become 1 and 255
    """

    low: Tuple[float, ...]
    high: Tuple[float, ...]
    weights: ClassVar[Tuple[float, ...]] = (1.0,)

    @staticmethod
    def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
        """One band's values as uint8 of the same shape, none 0."""
        return stretch(values, low, high)

    def compared(self, values: np.ndarray, valid: np.ndarray, kernel: Kernels) -> np.ndarray:
        """(bands, rows, cols) uint8, 0 where not valid. `kernel` is the set of kernels."""
        if values.dtype in (np.uint8, np.int8, np.uint16, np.int16):
            unsigned = values.view(f"u{values.dtype.itemsize}")
            return kernel.translate(unsigned, valid, _tables(self.stretch, values.dtype.str, self.low, self.high))
        stretched = np.empty(values.shape, np.uint8)
        for band, (low, high) in enumerate(zip(self.low, self.high)):
            stretched[band] = self.stretch(values[band], low, high)
        stretched *= valid
        return stretched

    def quantities(self, values: np.ndarray, compared: np.ndarray) -> np.ndarray:
        """(planes, rows, cols), what is added up."""
        return compared


@lru_cache(maxsize=2)  # small, and the same for all tiles of a run
def _tables(
    stretch: Callable[..., np.ndarray], dtype: str, low: Tuple[float, ...], high: Tuple[float, ...]
) -> np.ndarray:
    """What each value of a type of up to 16 bits, taken as unsigned, becomes in each band: (bands, n) uint8."""
    limits = np.iinfo(dtype)
    every = np.arange(limits.min, limits.max + 1)
    return np.stack([np.roll(stretch(every, *ends), limits.min) for ends in zip(low, high)])


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale `low`..`high` to 0..255, clip, round half up, add 1 (at most 255): uint8 of the same shape."""
    if high <= low:
        return np.ones(values.shape, np.uint8)
    if not np.isfinite(high - low):
        values, low, high = values / 4, low / 4, high / 4
    with np.errstate(over="ignore", invalid="ignore"):  # of huge no-data values
        scaled = np.clip((values.astype(np.float64) - low) / (high - low) * 255.0, 0, 255)
        return np.minimum(np.floor(scaled + 0.5) + 1, 255).astype(np.uint8)


@dataclass(frozen=True)
class Raw:
    """The raster's own values, compared as float32 (uint8 as they are).

    exponent : None for integers; for floats, all absolute values are below 2^exponent
    """

    exponent: Optional[int] = None

    def compared(self, values: np.ndarray, valid: np.ndarray, kernel: Kernels) -> np.ndarray:
        """(bands, rows, cols) uint8 or float32, 0 where not valid."""
        if values.dtype == np.uint8:
            return values * valid
        with np.errstate(over="ignore"):
            return np.where(valid, values.astype(np.float32), np.float32(0))

    def quantities(self, values: np.ndarray, compared: np.ndarray) -> np.ndarray:
        """(planes, rows, cols) uint8 or int64; of floats, all bands' high limbs and then their low ones."""
        if compared.dtype == np.uint8:
            return compared
        if self.exponent is None:
            return values.astype(np.int64)
        with np.errstate(over="ignore", invalid="ignore"):  # of no-data values, which nobody adds up
            fixed = np.rint(np.ldexp(values.astype(np.float64), FIXED_POINT_BITS - self.exponent)).astype(np.int64)
        return np.concatenate([fixed >> LIMB_BITS, fixed & ((1 << LIMB_BITS) - 1)])

    @property
    def weights(self) -> Tuple[float, ...]:
        """What the limbs of a sum are multiplied with."""
        if self.exponent is None:
            return (1.0,)
        unit = self.exponent - FIXED_POINT_BITS
        return float(np.ldexp(1.0, unit + LIMB_BITS)), float(np.ldexp(1.0, unit))
