# SPDX-License-Identifier: GPL-2.0-or-later
"""Something that takes RSGISLib's place: our own kernels do the same with an array. Worker processes import it."""

import os
import signal
from dataclasses import dataclass
from typing import Optional

import numpy as np
from rasters import segment_untiled


@dataclass(frozen=True)
class OwnKernels:
    """See `rsgislib.shepherd.Shepherd`. log : a file that each call adds a line to"""

    min_pixels: int
    distance_threshold: Optional[float]
    log: str = ""
    fatal: str = ""

    def with_centres(self, compared, valid, centres, folder):
        self._note(folder)
        (folder / "side file.txt").write_text("left behind")
        return segment_untiled(compared, valid, centres, self.min_pixels, self.distance_threshold), "said something"

    def alone(self, values, num_clusters, sampling, kmeans_max_iterations, stretch, folder):
        self._note(folder)
        valid = values[0] != 0
        return valid.astype(np.uint32), "said something"

    def _note(self, folder):
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(folder.name + "\n")
        if self.fatal and folder.name == self.fatal:
            with open(self.log, encoding="utf-8") as file:
                if file.read().split().count(folder.name) == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
