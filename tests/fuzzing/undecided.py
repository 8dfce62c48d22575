# SPDX-License-Identifier: GPL-2.0-or-later
"""What every elimination of a run is given: clumps of which `undecided_from` says nothing that cannot be."""

from contextlib import contextmanager

import numpy as np
from tiledseg.tiledseg_plugin.engine.stages import elimination


def contradictions(sizes, edges, min_pixels, undecided_from):
    """How many pairs of neighbours break what `contract.Kernels.Elimination` says of `undecided_from`."""
    if undecided_from is None:
        return 0
    called = np.maximum(sizes, undecided_from)
    found = 0
    for one, other in (edges.T, edges.T[::-1]):
        acting = sizes[one] < min_pixels
        found += np.count_nonzero(undecided_from[other][acting] > called[one][acting])
    return int(found)


class Watched:
    """Counts of the eliminations of this process.

    Attributes
    ----------
    eliminations, late : how many there were; clumps in them that are undecided from a step after that of their size
    """

    def __init__(self):
        self.eliminations = self.late = 0

    def look(self, clumps, rules):
        """Raises AssertionError where a run gives its kernels what it never should."""
        self.eliminations += 1
        if clumps.undecided_from is not None:
            self.late += int(np.count_nonzero(clumps.undecided_from > clumps.sizes))
        broken = contradictions(clumps.sizes, clumps.edges, rules.min_pixels, clumps.undecided_from)
        if broken:
            raise AssertionError(f"an elimination is given {broken} contradictory pairs in undecided_from")


watched = Watched()


@contextmanager
def watching():
    """Look at what is given to the eliminations within the block."""
    eliminate = elimination.eliminate

    def watch(kernel, clumps, rules, *arguments, **options):
        clumps = clumps._replace(edges=clumps.edges() if callable(clumps.edges) else clumps.edges)
        watched.look(clumps, rules)
        return eliminate(kernel, clumps, rules, *arguments, **options)

    elimination.eliminate = watch
    try:
        yield watched
    finally:
        elimination.eliminate = eliminate
