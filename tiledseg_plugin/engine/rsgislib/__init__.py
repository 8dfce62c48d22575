# SPDX-License-Identifier: GPL-2.0-or-later
"""ENGINE=rsgislib: the three-stage tiling of Clewley et al. (2014) with RSGISLib 5 doing the segmentation.

Stage 1 segments each tile by itself. The segments that touch the border to another tile are cut there, so stage 2 does
their pixels anew in tiles offset by half a tile, and stage 3 does anew what touches the borders of those, where no
border is left. Nothing in here is needed by the built-in engine, whose result no tile border changes.

availability : is RSGISLib here -> patches : what is segmented in which stage -> shepherd : one patch by RSGISLib ->
tasks : what workers do -> run : one stage after the other, which the built-in engine need not import
"""

from .availability import describe, require

__all__ = ["describe", "require", "segment_in_stages", "wants_centres", "worker_memory"]


def segment_in_stages(*arguments):
    """See `run.segment_in_stages`."""
    from .run import segment_in_stages

    return segment_in_stages(*arguments)


def wants_centres(plan, parameters):
    """See `run.wants_centres`."""
    from .run import wants_centres

    return wants_centres(plan, parameters)


def worker_memory(*arguments):
    """See `run.worker_memory`."""
    from .run import worker_memory

    return worker_memory(*arguments)
