# SPDX-License-Identifier: GPL-2.0-or-later
"""RSGISLib's segmentation as functions on arrays. Everything it reads and writes lies in a folder of the caller's.

This is the only module that calls RSGISLib, and what a test puts something else in the place of.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Protocol, Tuple

import numpy as np
from osgeo import gdal, gdal_array

from ..errors import SegmentationError
from ..files.gdal_access import collected_errors, reason
from . import availability
from .capture import captured_output

NO_LIMIT = 1e30
NOT_ZERO = np.float32(1e-30)  # too small to change a distance, and not what RSGISLib takes as no data
EXTENSIONS = {"KEA": ".kea", "GTiff": ".tif"}
MOST_IN_MEMORY = 25_000_000  # pixels; RSGISLib is about twice as fast with its intermediate rasters in memory
KNOWN_TYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")


class TooFewColoursError(Exception):
    """RSGISLib found fewer distinct colours than clusters are asked for."""


class Segmenter(Protocol):
    """What segments a patch with the parameters of a run; plain values, as it travels to workers."""

    def with_centres(
        self, compared: np.ndarray, valid: np.ndarray, centres: np.ndarray, folder: Path
    ) -> Tuple[np.ndarray, str]:
        """See `Shepherd.with_centres`."""

    def alone(
        self,
        values: np.ndarray,
        num_clusters: int,
        sampling: int,
        kmeans_max_iterations: int,
        stretch: bool,
        folder: Path,
    ) -> Tuple[np.ndarray, str]:
        """See `Shepherd.alone`."""


@dataclass(frozen=True)
class Shepherd:
    """RSGISLib as a `Segmenter`.

    distance_threshold : None for no limit
    form : GDAL's name of the intermediate format, KEA or GTiff
    """

    min_pixels: int
    distance_threshold: Optional[float]
    form: str

    def with_centres(
        self, compared: np.ndarray, valid: np.ndarray, centres: np.ndarray, folder: Path
    ) -> Tuple[np.ndarray, str]:
        """Segment stretched or raw colours with given cluster centres.

        Parameters
        ----------
        compared : (bands, rows, cols) uint8 or float32, 0 where not valid
        valid : (rows, cols) bool
        centres : (k, bands) float32
        folder : Path, empty

        Returns
        -------
        labels : (rows, cols) uint32, 1 and up; 0 where not valid
        printed : what RSGISLib said
        """
        self._export(folder, _without_zeros(compared, valid))
        write_centres(folder / "centres.gmtxt", centres)
        return self._call(
            folder,
            valid.size,
            availability.load().run_shepherd_segmentation_pre_calcd_stats,
            kmeans_centres=str(folder / "centres.gmtxt"),
            img_stretch_stats=None,
            no_stretch=True,
        )

    def alone(
        self,
        values: np.ndarray,
        num_clusters: int,
        sampling: int,
        kmeans_max_iterations: int,
        stretch: bool,
        folder: Path,
    ) -> Tuple[np.ndarray, str]:
        """Segment values with RSGISLib's own statistics, and with its own rule of what is no data.

        Parameters
        ----------
        values : (bands, rows, cols)
        folder : Path, empty

        Raises
        ------
        TooFewColoursError
        """
        self._export(folder, values)
        return self._call(
            folder,
            values[0].size,
            availability.load().run_shepherd_segmentation,
            num_clusters=num_clusters,
            sampling=sampling,
            km_max_iter=kmeans_max_iterations,
            no_stretch=not stretch,
        )

    def _export(self, folder: Path, values: np.ndarray) -> None:
        if values.dtype.name not in KNOWN_TYPES:
            values = values.astype(np.float64 if values.dtype.itemsize > 2 else np.int16)
        bands, rows, cols = values.shape
        kind = gdal_array.NumericTypeCodeToGDALTypeCode(values.dtype)
        with collected_errors() as messages:
            dataset = gdal.GetDriverByName(self.form).Create(str(self._file(folder, "patch")), cols, rows, bands, kind)
            if dataset is not None:
                # RSGISLib puts datasets together by their place on the map, so they need one.
                dataset.SetGeoTransform((0.0, 1.0, 0.0, float(rows), 0.0, -1.0))
                dataset.WriteArray(values)
                dataset.FlushCache()
        if dataset is None or messages:
            raise SegmentationError(
                f"The work folder {folder.parent} cannot be written ({reason(messages)}): make room, "
                "or choose another WORK_DIR."
            )

    def _file(self, folder: Path, name: str) -> Path:
        return folder / (name + EXTENSIONS[self.form])

    def _call(
        self, folder: Path, pixels: int, function: Callable[..., None], **settings: Any
    ) -> Tuple[np.ndarray, str]:
        limit = NO_LIMIT if self.distance_threshold is None else self.distance_threshold
        output = self._file(folder, "segments")
        failure: Optional[Exception] = None
        with captured_output(folder / "printed.txt") as printed:
            try:
                function(
                    str(self._file(folder, "patch")),
                    str(output),
                    tmp_dir=str(folder),
                    gdalformat=self.form,
                    calc_stats=False,
                    min_n_pxls=self.min_pixels,
                    dist_thres=limit,
                    process_in_mem=pixels <= MOST_IN_MEMORY,
                    **settings,
                )
            except Exception as error:  # its exceptions have no base of their own
                failure = error
        if failure is not None:
            if "unique cluster centres" in str(failure) + printed.text:
                raise TooFewColoursError(str(failure))
            lines = (str(failure) or type(failure).__name__).strip().splitlines()
            raise SegmentationError(f"RSGISLib failed ({lines[0]}): use ENGINE=builtin.") from failure
        return _read_labels(output), printed.text


def write_centres(path: Path, centres: np.ndarray) -> None:
    """Write cluster centres as RSGISLib's text file of a matrix: a line a band, with a number for each centre."""
    count, bands = centres.shape
    lines = [",".join(f"{value:.6g}" for value in band) for band in centres.T]
    Path(path).write_text("\n".join([f"m={count}", f"n={bands}", *lines]) + "\n", encoding="ascii")


def _without_zeros(compared: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The same colours, but no valid pixel is 0 in all bands, which RSGISLib would take as no data."""
    zero = valid & ~compared.any(axis=0)
    if not zero.any():
        return compared
    changed = compared.astype(np.float32)
    changed[0][zero] = NOT_ZERO
    return changed


def _read_labels(path: Path) -> np.ndarray:
    with collected_errors() as messages:
        dataset = gdal.Open(str(path))
        labels = dataset.GetRasterBand(1).ReadAsArray() if dataset is not None else None
    if labels is None:
        raise SegmentationError(f"RSGISLib returned no segments ({reason(messages)}): use ENGINE=builtin.")
    return labels.astype(np.uint32)
