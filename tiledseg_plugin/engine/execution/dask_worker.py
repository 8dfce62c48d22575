# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in a Dask worker, once `dask_cluster` has brought the engine there."""

import importlib
import os
import threading
import time
import traceback
import uuid
from typing import Any, Dict, List, Optional, Tuple

from ..errors import Cancelled, SegmentationError
from ..files.on_windows import replace_file
from .interpreter import facts
from .runner import Task
from .shipping import Parcel, collect, digest_of
from .worker import DONE, FAULT, OUT_OF_MEMORY, REFUSED

CHECK_SECONDS = 0.5
MESSAGE_BYTES = 100_000
KEPT_STAGES = 2
# The engine's modules that have tasks.
WITH_TASKS = (
    "stages.statistics",
    "stages.schedule",
    "stages.numbering",
    "stages.write",
    "stages.ready",
    "products.segment_rows",
    "products.run_columns",
    "products.outlines",
    "products.shape_sums",
    "products.inside_points",
    "products.neighbour_pairs",
)

_stages: Dict[Parcel, tuple] = {}
_lock = threading.Lock()


def greet(path: str) -> Tuple[Optional[List[int]], Any]:
    """What the worker sees of the input, [columns, rows] or None, and its versions or what went wrong.

    Raises
    ------
    ImportError : a package that the engine needs is missing
    """
    import numpy

    from ..files.gdal_access import open_raster
    from ..kernels import choose

    for name in WITH_TASKS:
        importlib.import_module(f"...{name}", __name__)
    choose("plain")[0].clump(numpy.ones((2, 2), numpy.uint16))  # has all that it imports only when it is needed
    try:
        dataset = open_raster(path)
    except SegmentationError as error:
        return None, str(error)
    return [dataset.RasterXSize, dataset.RasterYSize], facts()


def perform(parcel: Parcel, index: int, item: bytes) -> Tuple[str, Any]:
    """Run one task of a stage.

    Parameters
    ----------
    parcel : file with the stage's task and what its tasks share, and its digest
    index : how manieth item this is
    item : the item itself

    Returns
    -------
    how : as of `worker.perform`
    what : the result as bytes, or the path and digest of a file with them; or a text
    """
    from distributed.protocol import deserialize_bytes, serialize_bytes

    path, _ = parcel
    try:
        task, common = _stage(parcel)
        result = serialize_bytes(task(common, deserialize_bytes(item), _Check(path)))
        if len(result) <= MESSAGE_BYTES:
            return DONE, result
        name = f"{os.path.splitext(path)[0]}-{index}-{uuid.uuid4().hex[:8]}"
        with open(f"{name}.bin.partial", "wb") as file:
            file.write(result)
        replace_file(f"{name}.bin.partial", f"{name}.bin")
        if not os.path.exists(path):  # the run has ended, and has tidied up before this file was there
            os.unlink(f"{name}.bin")
            raise Cancelled()
        return DONE, (f"{name}.bin", digest_of(result))
    except SegmentationError as error:
        return REFUSED, str(error)
    except Cancelled:
        return REFUSED, "The run has ended."
    except MemoryError:
        return OUT_OF_MEMORY, "found no more memory"
    except Exception:
        return FAULT, traceback.format_exc()


def _stage(parcel: Parcel) -> Tuple[Task, Any]:
    from distributed.protocol import deserialize_bytes

    with _lock:
        if parcel not in _stages:
            try:
                _stages[parcel] = deserialize_bytes(collect(parcel))
            except FileNotFoundError:
                raise Cancelled() from None
            while len(_stages) > KEPT_STAGES:
                del _stages[next(iter(_stages))]
        return _stages[parcel]


class _Check:
    """Raise Cancelled when the file of the stage is gone: its run has ended."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + CHECK_SECONDS
            if not os.path.exists(self._path):
                raise Cancelled()
