# SPDX-License-Identifier: GPL-2.0-or-later
"""What the stages of a run take in proportion to each other, by which its progress and time left are foretold."""

from typing import Dict

from .files.raster import Raster
from .forecast import Cost
from .machine import available_cores
from .parameters import SegmentParameters
from .products.run_outputs import stages

ENGINE_STAGES: Dict[str, Dict[str, Cost]] = {
    "builtin": {"statistics": Cost(20, 4), "tiles": Cost(165), "graph": Cost(8, 2)},
    "rsgislib": {
        "statistics": Cost(22, 2),
        "stage 1": Cost(750),
        "stage 2": Cost(250),
        "stage 3": Cost(90),
        "merge": Cost(90),
    },
}


def weights_of(parameters: SegmentParameters, raster: Raster) -> Dict[str, float]:
    """The stages of a run, in their order, with what they take in proportion to each other (see `progress`)."""
    workers = parameters.workers or available_cores()
    costs = {**ENGINE_STAGES[parameters.engine], **stages(parameters, raster)}
    return {stage: cost.among(workers) for stage, cost in costs.items()}
