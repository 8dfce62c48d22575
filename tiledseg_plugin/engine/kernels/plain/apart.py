# SPDX-License-Identifier: GPL-2.0-or-later
"""How far centres are from each other, which tells with which of them a colour has to be compared."""

from functools import lru_cache
from typing import List, NamedTuple, Tuple, Union

import numpy as np

from .pixels import compare_at_once, nearest_two

SOME_NEAR = 7  # one in so many centres is taken to be near to a centre
FAR = 1e19  # a distance, of which it is enough to know that it is so large: in float32, the square of 2e19 is infinite
MOST_PAIRED = 256  # centres; of more, to look at all pairs takes longer than it saves


def is_settled(nearest: np.ndarray, others: np.ndarray, margin: float, least: float) -> np.ndarray:
    """Whether what is at most as far as `nearest` is nearer than what is at least as far as `others`: (n,) bool.

    Parameters
    ----------
    margin, least : float, see `lloyd.reassign`
    """
    settled: np.ndarray = nearest * (1 + margin) + least < others * (1 - margin)
    return settled


class Lot(NamedTuple):
    """Colours that are to be compared.

    some : (n,) intp, which of them
    own : (n,) intp, index of the centre that each belongs to so far
    candidates : (k, m) intp, ascending, the centres that colours of each centre are compared with; (k, 0) for all
    beyond : float or (n,) float64, not more than the distance to any other centre
    """

    some: np.ndarray
    own: np.ndarray
    candidates: np.ndarray
    beyond: Union[float, np.ndarray]

    def nearest_two(self, planes: np.ndarray, centres: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As the kernel of that name, of these colours and what they are to be compared with.

        Parameters
        ----------
        planes : (bands, n) float32, all colours
        centres : (k, bands) float32
        """
        values = np.take(planes, self.some, axis=1)
        if not self.candidates.size:
            return nearest_two(values, centres)
        second = np.full(self.some.size, np.inf, np.float32)
        rows = centres[self.candidates].transpose(2, 1, 0).reshape(-1, len(centres))
        of_each = np.empty((len(rows), self.own.size), np.float32)
        np.take(rows, self.own, axis=1, out=of_each, mode="clip")  # the mode in which numpy fills `out` directly
        of_each = of_each.reshape(len(planes), self.candidates.shape[1], self.own.size)
        index, nearest = compare_at_once(values, of_each, second)
        return self.candidates[self.own, index].astype(np.uint16) + np.uint16(1), nearest, second


class Apart:
    """What the distances between centres, and how far these have moved, say about the colours around them.

    What is as far from its own centre as `d` is at least `a - d` from one that is `a` from that (Elkan 2003, Using the
    triangle inequality to accelerate k-means). So the far ones may move a long way and change nothing, and what is not
    half as far from its own centre as they are has to be compared with the near ones only. Of too many centres nothing
    is known but how far they move.

    Parameters
    ----------
    centres : (k, bands) float32
    moved : (k,) float64, see `lloyd.reassign`

    Attributes
    ----------
    nearest : (k,) float64, not more than the distance from each to the nearest other one, or `FAR`
    """

    def __init__(self, centres: np.ndarray, moved: np.ndarray) -> None:
        k, exact = len(centres), centres.astype(np.float64)
        self._near = np.empty((k, 0), np.intp)  # of each, the near ones and itself, ascending
        if k > MOST_PAIRED:
            self.nearest = self._beyond = np.zeros(k)
            self._near_moved = self._all_moved = np.full(k, moved.max())
            return
        squared = np.zeros((k, k))
        for band in exact.T:
            squared += np.square(band[:, None] - band)
        np.fill_diagonal(squared, np.inf)
        order, every = np.argsort(squared, axis=1, kind="stable"), np.arange(k)  # its own one comes last
        number = min(k - 1, max(1, k // SOME_NEAR))
        self.nearest, self._beyond = (
            np.minimum(np.sqrt(squared[every, order[:, place]]), FAR) for place in (0, number)
        )
        self._near_moved = moved[order[:, :number]].max(axis=1, initial=0)
        self._all_moved = moved[order[:, :-1]].max(axis=1, initial=0)
        self._near = np.sort(np.column_stack([order[:, :number], every]), axis=1)

    def bound_others(self, own: np.ndarray, to_nearest: np.ndarray, to_others: np.ndarray) -> None:
        """Bring the bounds of the distances to all centres but a colour's own, of index `own`, up to date, in place.

        Parameters
        ----------
        own : (n,) intp
        to_nearest, to_others : (n,) float64, see `lloyd.reassign`; the first are up to date
        """
        if_near = np.minimum(to_others - self._near_moved.take(own), self._beyond.take(own) - to_nearest)
        to_others -= self._all_moved.take(own)
        np.maximum(to_others, if_near, out=to_others)
        np.maximum(to_others, self.nearest.take(own) - to_nearest, out=to_others)

    def lots(self, some: np.ndarray, own: np.ndarray, to_nearest: np.ndarray, margin: float, least: float) -> List[Lot]:
        """Colours with the centres that they are to be compared with: those near to their own one, or all.

        Parameters
        ----------
        some, own : (n,) intp, see `Lot`
        to_nearest : (n,) float64, not less than the distance of each to its own centre
        """
        beyond = self._beyond.take(own) - to_nearest
        is_near = is_settled(to_nearest, beyond, margin, least)  # of too many centres none is
        near, far = np.flatnonzero(is_near), np.flatnonzero(~is_near)
        return [
            Lot(some.take(near), own.take(near), self._near, beyond.take(near)),
            Lot(some.take(far), own.take(far), self._near[:, :0], np.inf),
        ]


@lru_cache(maxsize=2)  # all parts of the colours are compared with the same centres, in whichever thread
def _apart(shape: Tuple[int, int], centres: bytes, moved: bytes) -> Apart:
    return Apart(np.frombuffer(centres, np.float32).reshape(shape), np.frombuffer(moved))


def apart(centres: np.ndarray, moved: np.ndarray) -> Apart:
    """An `Apart`, which is to be read only."""
    return _apart(centres.shape, centres.tobytes(), moved.tobytes())
