# SPDX-License-Identifier: GPL-2.0-or-later
"""How a run tells what it does and hears that it should stop; the only place that talks to feedback."""

import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import Callable

from .errors import Cancelled

Advance = Callable[[float], None]  # is told the fraction that is done; raises Cancelled
CheckCancelled = Callable[[], None]  # raises Cancelled


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

    def warning(self, text: str) -> None:
        """Something the user should know, though the run goes on."""

    def debug(self, text: str) -> None:
        """Details for whoever looks for a fault."""

    def tile_started(self, tile_id: int) -> None:
        """A tile is being worked."""

    def tile_finished(self, tile_id: int) -> None:
        """A tile has been worked; its segments are settled only with the graph of all tiles."""


POLL_SECONDS = 0.1


class Progress:
    """Progress over the weighted stages of a run, with the time that each took.

    Parameters
    ----------
    feedback : Feedback
    weights : {stage: expected share of the time}, in the order of the run
    """

    def __init__(self, feedback, weights):
        self.feedback = feedback
        total = sum(weights.values())
        self._share = {stage: weight / total for stage, weight in weights.items()}
        self._done = 0.0
        self._percent = 0.0
        self._stage = None
        self._started = self._stage_started = self._last_text = time.monotonic()
        self.seconds = {}

    def check_cancelled(self):
        """Raise Cancelled if the user wants the run to end."""
        if self.feedback.is_cancelled():
            raise Cancelled()

    def listening_to(self, runner):
        """`check_cancelled` that also passes on what the execution has to tell."""

        def check():
            while runner.notes:
                self.feedback.warning(runner.notes.pop(0))
            self.check_cancelled()

        return check

    def start(self, stage, text):
        """Begin a stage (which ends the one before)."""
        self.finish()
        self._stage, self._stage_started = stage, time.monotonic()
        self.check_cancelled()
        self.feedback.set_progress_text(text)
        self._last_text = 0.0

    def advance(self, fraction, text=""):
        """The current stage is done to this fraction, 0..1; `text` names the tile or step."""
        self.check_cancelled()
        percent = 100 * (self._done + self._share[self._stage] * min(max(fraction, 0.0), 1.0))
        if percent > self._percent:
            self._percent = percent
            self.feedback.set_progress(percent)
        now = time.monotonic()
        if text and (now - self._last_text >= 0.2 or fraction >= 1):
            self._last_text = now
            self.feedback.set_progress_text(text + self._time_left(now))

    def advance_as(self, text):
        """A function fraction -> None that tells the current stage's progress with this text."""
        return lambda fraction: self.advance(fraction, text)

    def aside(self, work, text="", share=(0.0, 1.0)):
        """Do work whose single steps may take long in a thread of its own, and hear of cancelling meanwhile.

        A thread cannot be killed: when the run ends otherwise, the work ends at its next step, which is waited for. A
        thread that goes on beyond the run would crash a process that exits while it loads or compiles something.

        Parameters
        ----------
        work : called with `check_cancelled()` and `advance(fraction)`; its result is given back
        text : see `advance`
        share : of the stage that this work is, from and to
        """
        return self.result_of(self.begin_aside(work), text, share)

    def begin_aside(self, work):
        """Begin what `aside` does, and do not wait for it; gives what `result_of` takes."""
        state = _Aside(work)
        state.thread.start()
        return state

    def result_of(self, state, text="", share=(0.0, 1.0)):
        """Wait for work that was begun; the rest is as in `aside`."""
        try:
            while not state.ended.wait(POLL_SECONDS):
                self.advance(share[0] + state.fraction * (share[1] - share[0]), text)
        except BaseException:
            state.stop()
            raise
        if state.error is not None:
            raise state.error
        self.advance(share[1])
        self.check_cancelled()
        return state.result

    @contextmanager
    def beside(self, work):
        """Do what `aside` does while the block does something else; it is stopped when the block ends.

        Yields
        ------
        A function of `text` and `share` (see `aside`) that waits for the work and gives its result back.
        """
        state = self.begin_aside(work)
        try:
            yield lambda text="", share=(0.0, 1.0): self.result_of(state, text, share)
        finally:
            state.stop()

    def _time_left(self, now):
        elapsed = now - self._started
        if elapsed < 2 or self._percent < 2:
            return ""
        left = elapsed * (100 / self._percent - 1)
        return f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left"

    def finish(self):
        """End the current stage."""
        if self._stage is not None:
            self.seconds[self._stage] = time.monotonic() - self._stage_started
            self._done += self._share[self._stage]
            self._stage = None


class TileWatch:
    """Tells which tiles are worked and which are done.

    Executions begin the parts of work in order, so those that are worked are the first ones that are not done.

    Parameters
    ----------
    units : all parts of work in their order, each a tuple of things with a `tile_id`
    workers : how many are worked at a time
    """

    def __init__(self, feedback, units, workers):
        self._feedback = feedback
        self._waiting = deque(frozenset(piece.tile_id for piece in unit) for unit in units)
        self._workers = workers
        self._worked = []
        self._started, self._done = set(), set()
        self._lock = threading.RLock()
        with self._lock:
            self._begin()

    def _begin(self):
        while self._waiting and len(self._worked) < self._workers:
            tiles = self._waiting.popleft()
            if tiles <= self._done:
                continue
            self._worked.append(tiles)
            self._start(tiles)

    def _start(self, tile_ids):
        for tile_id in sorted(set(tile_ids) - self._started):
            self._started.add(tile_id)
            self._feedback.tile_started(tile_id)

    def finished(self, tile_ids):
        """All that is worked of some tiles is done; any that overtook those before them were started, too."""
        with self._lock:
            new = set(tile_ids) - self._done
            self._start(new)
            self._done |= new
            for tile_id in sorted(new):
                self._feedback.tile_finished(tile_id)
            self._worked = [tiles for tiles in self._worked if not tiles <= self._done]
            self._begin()


class _Aside:
    """What a thread of `Progress.beside` and its starter tell each other."""

    def __init__(self, work):
        self.ended, self.stopped = threading.Event(), threading.Event()
        self.fraction, self.result, self.error = 0.0, None, None
        self.thread = threading.Thread(target=self._run, args=(work,), name="tiledseg-aside", daemon=True)

    def stop(self):
        """Let the work end at its next step, and wait for that."""
        self.stopped.set()
        self.thread.join()

    def _run(self, work):
        try:
            self.result = work(self._check_stopped, self._advance)
        except BaseException as error:  # it goes on in the thread that waits
            self.error = error
        finally:
            self.ended.set()

    def _check_stopped(self):
        if self.stopped.is_set():
            raise Cancelled()

    def _advance(self, fraction):
        self.fraction = fraction
        self._check_stopped()
