# SPDX-License-Identifier: GPL-2.0-or-later
"""How a run reports what it does and hears that it should stop; the only place that talks to feedback."""

import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Generic,
    Iterable,
    List,
    Mapping,
    Optional,
    Protocol,
    Set,
    Tuple,
    TypeVar,
)

from .errors import Cancelled
from .forecast import Forecast
from .machine import ThreadPool

Check = Callable[[], None]  # raises Cancelled if the user wants the run to end
Advance = Callable[[float], None]  # is called with the fraction that is done, 0..1
Result = TypeVar("Result")


class Feedback:
    """Where messages go and where cancelling comes from. This one is silent; algorithms hand in their own."""

    def is_cancelled(self) -> bool:
        return False

    def set_progress(self, percent: float) -> None:
        """0..100 over the whole run."""

    def set_progress_text(self, text: str) -> None:
        """What is being done now."""

    def info(self, text: str) -> None:
        """A line for the log."""

    def notice(self, text: str) -> None:
        """A line for the log that also who does not read it should know."""
        self.info(text)

    def warning(self, text: str) -> None:
        """Something the user should know, though the run goes on."""

    def debug(self, text: str) -> None:
        """Details for whoever looks for a fault."""

    def tile_started(self, tile_id: int) -> None:
        """A tile is being processed."""

    def tile_finished(self, tile_id: int) -> None:
        """A tile has been processed; its segments are final only with the graph of all tiles."""


POLL_SECONDS = 0.1
ALMOST = 99.9  # percent, the most that is shown before all is done


class HasNotes(Protocol):
    """What collects sentences for the user while it runs, as executions do."""

    notes: List[str]


class HasTile(Protocol):
    """What belongs to a tile, as pieces do."""

    @property
    def tile_id(self) -> int: ...


class Background(Generic[Result]):
    """Work that has begun in a thread of its own. As a context manager it is stopped at the end of the block.

    Parameters
    ----------
    work : called with `check_cancelled()` and `advance(fraction)`
    """

    def __init__(self, work: Callable[[Check, Advance], Result]) -> None:
        self.fraction = 0.0
        self._stopped = threading.Event()
        self._thread = ThreadPool(1, thread_name_prefix="tiledseg-background")
        self.future: Future[Result] = self._thread.submit(work, self._check_stopped, self._advance)
        self._thread.shutdown(wait=False)  # it ends with this work

    def stop(self) -> None:
        """Let the work end at its next step, and wait for that."""
        self._stopped.set()
        self._thread.shutdown()

    def __enter__(self) -> "Background[Result]":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise Cancelled()

    def _advance(self, fraction: float) -> None:
        self.fraction = fraction
        self._check_stopped()


class Progress:
    """Progress over the weighted stages of a run, with the time that each took.

    Parameters
    ----------
    feedback : Feedback
    weights : {stage: expected share of the time}, in the order of the run
    held_for : returns for how many seconds something will still slow the run down, such as kernels that are being
        compiled; None where nothing does
    pace : seconds that a weight of 1 should take on this machine, None where that is not known
    """

    def __init__(
        self,
        feedback: Feedback,
        weights: Mapping[str, float],
        held_for: Callable[[], Optional[float]] = lambda: None,
        pace: Optional[float] = None,
    ) -> None:
        self.feedback = feedback
        self._forecast, self._held_for = Forecast(weights, pace), held_for
        self._percent = 0.0
        self._stage: Optional[str] = None
        self._stage_started = self._last_text = time.monotonic()
        self.seconds: Dict[str, float] = {}

    def check_cancelled(self) -> None:
        """Raise Cancelled if the user wants the run to end."""
        if self.feedback.is_cancelled():
            raise Cancelled()

    def listening_to(self, runner: HasNotes) -> Check:
        """`check_cancelled` that also passes on what the execution has noted."""

        def check() -> None:
            while runner.notes:
                self.feedback.warning(runner.notes.pop(0))
            self.check_cancelled()

        return check

    def start(self, stage: str, text: str) -> None:
        """Begin a stage (which ends the one before)."""
        self.finish()
        self._stage, self._stage_started = stage, time.monotonic()
        self._forecast.begin(stage, self._stage_started)
        self.check_cancelled()
        self.feedback.set_progress_text(text)
        self._last_text = 0.0

    def advance(self, fraction: float, text: str = "") -> None:
        """The current stage is done to this fraction, 0..1; `text` names the tile or step."""
        self.check_cancelled()
        now = time.monotonic()
        left = self._forecast.at(min(max(fraction, 0.0), 1.0), now, self._held_for())
        percent = min(100 * left.done, ALMOST)
        if percent > self._percent:
            self._percent = percent
            self.feedback.set_progress(percent)
        if text and (now - self._last_text >= 0.2 or fraction >= 1):
            self._last_text = now
            self.feedback.set_progress_text(text + _time_left(left.seconds))

    def advance_as(self, text: str) -> Advance:
        """A function fraction -> None that reports the current stage's progress with this text."""
        return lambda fraction: self.advance(fraction, text)

    def in_background(
        self, work: Callable[[Check, Advance], Result], text: str = "", share: Tuple[float, float] = (0.0, 1.0)
    ) -> Result:
        """The result of work whose single steps may take long; this thread hears of cancelling meanwhile.

        A thread cannot be killed: when the run ends otherwise, the work ends at its next step, which is waited for. A
        thread that goes on beyond the run would crash a process that exits while it loads or compiles something.

        Parameters
        ----------
        work : see `Background`
        text : see `advance`
        share : of the stage that this work is, from and to
        """
        return self.wait_for(Background(work), text, share)

    def wait_for(
        self, background: Background[Result], text: str = "", share: Tuple[float, float] = (0.0, 1.0)
    ) -> Result:
        """The result of work that began in the background; the rest is as in `in_background`."""
        try:
            while not wait([background.future], timeout=POLL_SECONDS).done:
                self.advance(share[0] + background.fraction * (share[1] - share[0]), text)
        finally:
            background.stop()  # where there is a result, this only ends the thread
        result = background.future.result()
        self.advance(share[1])
        self.check_cancelled()
        return result

    def finish(self) -> None:
        """End the current stage."""
        if self._stage is not None:
            now = time.monotonic()
            self.seconds[self._stage] = now - self._stage_started
            self._forecast.end(now)
            self._stage = None

    def complete(self) -> None:
        """All is done: the outputs have their names."""
        self.finish()
        self._percent = 100.0
        self.feedback.set_progress(100.0)


def _time_left(seconds: Optional[float]) -> str:
    return "" if seconds is None else f", about {rounded_time(seconds)} left"


def rounded_time(seconds: float) -> str:
    """A time as roughly as it is known, so that a text with it seldom changes."""
    if seconds > 90:
        return f"{seconds / 60:.0f} min"
    step = next(step for least, step in ((50, 30), (20, 10), (0, 5)) if seconds >= least)
    return f"{max(step, step * round(seconds / step)):.0f} s"


class TileWatch:
    """Reports which tiles are being processed and which are finished.

    Executions begin units in order, so those that are being processed are the first ones that are not finished.

    Parameters
    ----------
    units : in their order; each a tuple of what belongs to a tile
    workers : how many units are processed at a time
    """

    def __init__(self, feedback: Feedback, units: Iterable[Iterable[HasTile]], workers: int) -> None:
        self._feedback = feedback
        self._waiting = deque(frozenset(piece.tile_id for piece in unit) for unit in units)
        self._workers = workers
        self._processed: List[FrozenSet[int]] = []
        self._started: Set[int] = set()
        self._finished: Set[int] = set()
        self._lock = threading.RLock()
        with self._lock:
            self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._processed) < self._workers:
            tiles = self._waiting.popleft()
            if tiles <= self._finished:
                continue
            self._processed.append(tiles)
            self._start(tiles)

    def _start(self, tile_ids: Iterable[int]) -> None:
        for tile_id in sorted(set(tile_ids) - self._started):
            self._started.add(tile_id)
            self._feedback.tile_started(tile_id)

    def finished(self, tile_ids: Iterable[int]) -> None:
        """All units of some tiles are finished. What was not reported as started is so now."""
        with self._lock:
            new = set(tile_ids) - self._finished
            self._start(new)
            self._finished |= new
            for tile_id in sorted(new):
                self._feedback.tile_finished(tile_id)
            self._processed = [tiles for tiles in self._processed if not tiles <= self._finished]
            self._begin()
