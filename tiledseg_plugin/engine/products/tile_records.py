# SPDX-License-Identifier: GPL-2.0-or-later
"""The tile layer, S1Tiles: what is known about each tile of a plan, with its outline over the raster."""

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..files.gdal_access import collected_errors, open_raster
from ..files.georeference import WHOLE, geotransform, polygon_of_windows
from ..stages.plan import Occupancy, Plan, Tile
from ..stages.tiles import PieceResult


@dataclass(frozen=True)
class TileRecord:
    """One tile; the names are those of the layer's fields.

    width, height : pixels of its extent
    valid_fraction : of its pixels, 0..1
    merged_into : tile_id of the tile that a sparse one is processed together with
    segments : how many have pixels in the tile; seconds : how long it took; None before a run
    geometry : WKB in the raster's coordinates
    """

    tile_id: int
    col: int
    row: int
    width: int
    height: int
    valid_pixels: int
    valid_fraction: float
    status: str
    merged_into: Optional[int]
    segments: Optional[int]
    seconds: Optional[float]
    geometry: bytes


def tile_records(
    path: str,
    plan: Plan,
    occupancy: Occupancy,
    segments: Optional[Mapping[int, int]] = None,
    seconds: Optional[Mapping[int, float]] = None,
    origin: Tuple[int, int] = WHOLE,
) -> List[TileRecord]:
    """The records of all tiles, in the order of their ids.

    Parameters
    ----------
    path : the raster
    origin : column and row of the raster at which the plan begins
    segments, seconds : {tile_id: number} after a run; tiles that are not in them were not processed
    """
    transform = geotransform(open_raster(path), origin)
    with collected_errors():
        return [_record(tile, transform, occupancy, segments, seconds) for tile in plan.tiles]


def _record(
    tile: Tile,
    transform: Sequence[float],
    occupancy: Occupancy,
    segments: Optional[Mapping[int, int]],
    seconds: Optional[Mapping[int, float]],
) -> TileRecord:
    valid = occupancy.valid_pixels[tile.tile_id]
    return TileRecord(
        tile_id=tile.tile_id,
        col=tile.col,
        row=tile.row,
        width=tile.window.width,
        height=tile.window.height,
        valid_pixels=valid,
        valid_fraction=valid / tile.pixels,
        status=occupancy.status[tile.tile_id],
        merged_into=occupancy.merged_into.get(tile.tile_id),
        segments=None if segments is None else segments.get(tile.tile_id, 0),
        seconds=None if seconds is None else seconds.get(tile.tile_id, 0.0),
        geometry=polygon_of_windows([piece.window for piece in tile.pieces], transform),
    )


def seconds_by_tile(results: Iterable[PieceResult]) -> Dict[int, float]:
    """{tile_id: seconds}, from the results of the tiles' pieces."""
    found: Dict[int, float] = {}
    for result in results:
        found[result.tile_id] = found.get(result.tile_id, 0.0) + result.seconds
    return found
