# SPDX-License-Identifier: GPL-2.0-or-later
"""ENGINE=rsgislib: the three-stage tiling of Clewley et al. (2014) with RSGISLib 5 doing the segmentation.

Stage 1 segments each tile by itself. The segments that touch the border to another tile are cut there, so stage 2 does
their pixels anew in tiles offset by half a tile, and stage 3 does anew what touches the borders of those, where no
border is left. Nothing in here is needed by the built-in engine, whose result no tile border changes.

availability : is RSGISLib here -> patches : what is segmented in which stage -> shepherd : one patch by RSGISLib ->
borders : where its segments meet others -> tasks : what workers do -> run : one stage after the other; the built-in
engine need not import it
"""

from typing import TYPE_CHECKING, Any

from .availability import describe, require

if TYPE_CHECKING:
    from .run import segment_in_stages, wants_centres, worker_memory

__all__ = ["describe", "require", "segment_in_stages", "wants_centres", "worker_memory"]


def __getattr__(name: str) -> Any:
    """The functions of `run`, which is imported only when one of them is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from . import run

    return getattr(run, name)
