# SPDX-License-Identifier: GPL-2.0-or-later
"""How far a run is and how long it still takes, from what its stages were expected to take and have taken so far.

At first nothing is known but what the stages take in proportion to each other. What has been measured then counts the
more, the more of it there is: the current stage goes on at its own pace, later ones at that of all before them.

What one stage has taken says little of others: files are read at many speeds, from 13 to 37 ns a pixel on one machine,
while all else is computing, and tiles take 127 to 280, by what is in them, while what is written hardly differs. So the
first stage counts for less, and the speed at which this machine computes always counts, too.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional

SETTLING_SECONDS = 4.0  # of a run, in which its own pace says less than the proportions
LONG_SECONDS = 20.0  # a run that should take so long is settled from its first step on
KNOWN_SECONDS, KNOWN_SHARE = 2.0, 0.02  # from which on something can be said of what is left
FIRST_COUNTS = 0.2  # the first stage
MACHINE_COUNTS = 0.2  # of the whole run, as if that had been seen: the speed of the machine, where that is known
DOUBT = 0.1  # of a stage: when so much of it is done, its own pace counts as much as what was expected


class Cost(NamedTuple):
    """What a stage takes of processors, in nanoseconds a pixel: what its workers share, and what they do not."""

    shared: float
    alone: float = 0.0

    def among(self, workers: int) -> float:
        """With so many workers."""
        return self.shared / workers + self.alone


class Left(NamedTuple):
    """What is said of a run: how much of it is done, 0..1, and the seconds that are left; None where unknown."""

    done: float
    seconds: Optional[float]


class Forecast:
    """See the module. Times are of any clock, in seconds.

    Parameters
    ----------
    expected : {stage: what it takes in proportion to the others}, in the order of the run
    pace : seconds that this machine should take for what is expected to take one; None where nothing is known
    """

    def __init__(self, expected: Mapping[str, float], pace: Optional[float] = None) -> None:
        self._expected, self._machine = dict(expected), pace
        self._took: Dict[str, float] = {}
        self._stage = ""
        self._begun: Optional[float] = None  # when the first step of the first stage was finished; starting is no work
        self._skipped = 0.0  # what was expected of that step
        self._stage_begun = 0.0
        self._origin = (0.0, 0.0)  # when, and at which fraction of it, the stage's own pace began to count

    def begin(self, stage: str, now: float) -> None:
        """A stage begins; the one before has ended."""
        self.end(now)
        self._stage, self._stage_begun, self._origin = stage, now, (now, 0.0)

    def end(self, now: float) -> None:
        """The current stage has ended."""
        if self._stage:
            self._took[self._stage] = max(now - self._stage_begun, 0.0)
        self._stage = ""

    def at(self, fraction: float, now: float, held_for: Optional[float] = None) -> Left:
        """What can be said when so much of the current stage is done.

        Parameters
        ----------
        held_for : seconds for which the run will still be slower than it will be then; None where nothing holds it up
        """
        if self._begun is None and fraction > 0:
            self._begun, self._skipped = now, fraction * self._expected[self._stage]
            self._stage_begun, self._origin = now, (now, fraction)
        since = 0.0 if self._begun is None else now - self._begun
        if held_for is not None:
            self._origin = now, fraction
        done, whole = self._done(fraction), sum(self._expected.values())
        is_settled = since >= SETTLING_SECONDS or (self._machine or 0.0) * whole >= LONG_SECONDS
        if not is_settled and held_for is None:
            known = since >= KNOWN_SECONDS and done >= KNOWN_SHARE * whole and done > self._skipped
            return Left(done / whole, since * (whole - done) / (done - self._skipped) if known else None)
        pace = self._pace(fraction, now)
        own = self._left_of_stage(fraction, now, pace) + (held_for or 0.0)
        later = pace * sum(self._expected[stage] for stage in self._following())
        before = sum(self._took.get(stage, 0.0) for stage in self._preceding()) + now - self._stage_begun
        before += pace * self._skipped
        share = before / max(before + own + later, 1e-9) if is_settled else done / whole
        return Left(share, own + later if since >= KNOWN_SECONDS else None)

    def _preceding(self) -> List[str]:
        stages = list(self._expected)
        return stages[: stages.index(self._stage)]

    def _following(self) -> List[str]:
        stages = list(self._expected)
        return stages[stages.index(self._stage) + 1 :]

    def _done(self, fraction: float) -> float:
        """What was expected of all that is done."""
        return sum(self._expected[stage] for stage in self._preceding()) + fraction * self._expected[self._stage]

    def _pace(self, fraction: float, now: float) -> float:
        """Seconds for what was expected to take one; of what is measured, and of what is done of this stage."""
        begun, at_fraction = self._origin
        first = next(iter(self._expected))
        measured = expected = 0.0
        if self._machine is not None:
            expected = MACHINE_COUNTS * sum(self._expected.values())
            measured = self._machine * expected
        for stage in self._preceding():
            if stage in self._took:
                counts = FIRST_COUNTS if stage == first else 1.0
                measured += counts * self._took[stage]
                expected += counts * (self._expected[stage] - (self._skipped if stage == first else 0.0))
        counts = FIRST_COUNTS if self._stage == first else 1.0
        measured += counts * (now - begun)
        expected += counts * max(fraction - at_fraction, 0.0) * self._expected[self._stage]
        return measured / expected if expected > 0 and measured > 0 else 1.0

    def _left_of_stage(self, fraction: float, now: float, pace: float) -> float:
        """Seconds for the rest of the current stage."""
        begun, at_fraction = self._origin
        done = fraction - at_fraction
        foreseen = self._expected[self._stage] * pace
        own = (now - begun) / done if done > 0 else foreseen
        trust = done / (done + DOUBT) if done > 0 else 0.0
        return (trust * own + (1 - trust) * foreseen) * (1 - fraction)
