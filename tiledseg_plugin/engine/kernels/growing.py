# SPDX-License-Identifier: GPL-2.0-or-later
"""The set of kernels that begins plain and takes each compiled one as soon as it is there.

The two sets return identical arrays, so a run may go from one to the other between any two calls. Another process does
the compiling (see `execution.compiling`); here is only looked, now and then, whether it has got any further, and what
it has left in the folder of `machine_code` is loaded. Nothing is compiled in this process.
"""

import threading
import time
import warnings
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np

from ..errors import Cancelled
from . import machine_code, plain
from .contract import Check
from .entries import KINDS, NEVER, entry_of

LOOK_SECONDS = 0.1  # between looks at what is ready
ASK_SECONDS = 2.0  # between requests to compile what is missing
COUNT_SECONDS = 0.5  # between counts of what is missing
ENTRY_SECONDS = 1.5  # that an entry takes to be compiled, on average
PLAIN_LOSES = 0.8  # of the time in which plain kernels work: compiled ones would have done that much in the rest of it
WORTH_IMPORTING = 1 / 3  # of the kernels that are missing: numba takes half a second, in which this process does little
MANY = 0.25  # of the kernels that are wanted; where fewer are missing, a run is hardly slower

Compiler = Callable[[Sequence[str], bool], str]  # entries, calm -> why nothing can be compiled here, or ""


class Growing:
    """See the module; the contract is `contract.Kernels`. Threads share it.

    reason : why compiled kernels are not used at all; empty where they are, or will be
    is_alone : whether that is because there is no process that could make them
    """

    NAME = "auto"

    def __init__(self) -> None:
        self.reason, self.is_alone = "", False
        self.failed: Dict[str, str] = {}  # {entry: why it cannot be compiled}
        self.compiler: Optional[Compiler] = None
        self._is_calm = False
        self._ready: Set[str] = set()
        self._wanted: Dict[str, None] = {}  # in the order in which they were asked for
        self._requested: Set[str] = set()
        self._compiled: Any = None
        self._used: Set[str] = set()  # names of the sets that calls went to
        self._lock = threading.Lock()
        self._next_look = self._next_request = self._next_count = 0.0
        self._lost: Optional[float] = None  # of `seconds_lost`
        self._first_count = (0.0, 0)  # when it was looked first, and how many were missing then

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(plain, name):
            raise AttributeError(name)
        if name not in KINDS:
            return getattr(plain, name)
        return lambda *arguments, **more: getattr(self.set_for(name, *arguments), name)(*arguments, **more)

    def NearestCentre(self, centres: np.ndarray) -> "GrowingLabeller":  # a class in both sets
        return GrowingLabeller(centres)

    def warm_up(self, check: Check = lambda: None) -> None:
        """Compiled kernels are loaded as they are ready."""

    @property
    def is_complete(self) -> bool:
        """Whether all that was asked for is there."""
        return not self.reason and all(entry in self._ready for entry in self._wanted)

    def seconds_lost(self) -> Optional[float]:
        """About how many seconds a run still loses as kernels are being compiled; None where that is not worth a word.

        It is looked at, not loaded. What takes so long is known from what has become ready since the first look, and
        from experience before that. Where only few are missing, most of the work is done by compiled ones.
        """
        now = time.monotonic()
        if self.reason or now < self._next_count:
            return None if self.reason else self._lost
        self._next_count, self._lost = now + COUNT_SECONDS, None
        wanted = list(self._wanted)
        missing = [entry for entry in wanted if entry not in self._ready and entry not in self.failed]
        ready = machine_code.marked(machine_code.READY) if missing else set()
        left = sum(entry not in ready for entry in missing)
        if left < MANY * len(wanted) or not left:
            return None
        begun, at_first = self._first_count
        if left > at_first:
            begun, at_first = self._first_count = now, left
        each = (now - begun) / (at_first - left) if left < at_first else ENTRY_SECONDS
        self._lost = left * each * PLAIN_LOSES * left / len(wanted)
        return self._lost

    @property
    def used(self) -> str:
        """Which kernels did the work so far: `plain`, `compiled`, or `plain and compiled`."""
        return " and ".join(sorted(self._used, reverse=True)) or ("plain" if self.reason else "compiled")

    @property
    def failures(self) -> List[str]:
        """A sentence for each kernel that cannot be compiled here."""
        return [
            f"The kernel {entry} cannot be compiled here ({why}); the plain one is used, with the same result."
            for entry, why in self.failed.items()
        ]

    def compile_calmly(self, calm: bool) -> None:
        """Whether what is missing is compiled at the lowest priority, as what this process does goes first."""
        if self._is_calm and not calm:
            self._next_look = self._next_request = 0.0  # those that wait for it now are not to wait for the calm one
        self._is_calm = calm

    def has(self, name: str, *arguments: Any) -> bool:
        """Whether the compiled kernel for these arguments is there; it is wanted from now on."""
        entry = entry_of(name, *arguments)
        if entry not in self._ready and entry not in NEVER:
            self.want([entry])
        return entry in self._ready

    def set_for(self, name: str, *arguments: Any) -> Any:
        chosen = self._compiled if self.has(name, *arguments) else plain
        self._used.add(chosen.NAME)
        return chosen

    def want(self, entries: Iterable[str], check: Check = lambda: None) -> None:
        """Load what is ready, and have the rest compiled; where another thread is about that, it is left to it."""
        if self.reason or not self._lock.acquire(blocking=False):
            return
        try:
            new = [entry for entry in entries if entry not in self._wanted]
            self._wanted.update(dict.fromkeys(new))
            if new or time.monotonic() >= self._next_look:  # what nobody has asked for before may have been ready long
                self._look(check)
                self._next_look = time.monotonic() + LOOK_SECONDS
        except Cancelled:
            raise
        except Exception as error:  # numba breaks in many ways (ABI of numpy, LLVM, caches); all of them mean plain
            self.reason = f"{type(error).__name__}: {error}".splitlines()[0]
        finally:
            self._lock.release()

    def _look(self, check: Check) -> None:
        missing = [entry for entry in self._wanted if entry not in self._ready and entry not in self.failed]
        if not missing:
            return
        ready = machine_code.marked(machine_code.READY)
        found = [entry for entry in missing if entry in ready]
        if self._compiled is None and len(found) < WORTH_IMPORTING * len(missing):
            found = []
        for entry in found:
            check()
            self._load(entry)
        missing = [entry for entry in missing if entry not in self._ready]
        if missing:
            self._note_failures(missing)
            self._request([entry for entry in missing if entry not in self.failed])

    def _load(self, entry: str) -> None:
        if self._compiled is None:
            self._compiled = import_compiled()
            machine_code.note_use()
        from .compiled.cache import NotCompiled, only_loading
        from .compiled.recipes import make

        try:
            with only_loading():
                make(entry)
        except NotCompiled:  # its files are gone, or damaged
            machine_code.unmark(entry, machine_code.READY)
        else:
            self._ready.add(entry)

    def _note_failures(self, missing: Sequence[str]) -> None:
        failed = machine_code.marked(machine_code.FAILED)
        if machine_code.EVERYTHING in failed:
            self.reason = machine_code.reason_of(machine_code.EVERYTHING)
        for entry in missing:
            if entry in failed:
                self.failed[entry] = machine_code.reason_of(entry)

    def _request(self, missing: Sequence[str]) -> None:
        now = time.monotonic()
        new = set(missing) - self._requested
        if missing and not self.reason and self.compiler is not None and (new or now >= self._next_request):
            self._next_request = now + ASK_SECONDS
            self._requested |= new
            self.reason = self.compiler(missing, self._is_calm)
            self.is_alone = bool(self.reason)


class GrowingLabeller:
    """A `NearestCentre` of either set, each with what it has learned."""

    def __init__(self, centres: np.ndarray) -> None:
        self.centres = np.ascontiguousarray(centres)
        self._labellers: Dict[str, Any] = {}

    def __reduce__(self) -> Tuple[type, Tuple[np.ndarray]]:
        return GrowingLabeller, (self.centres,)

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        chosen = shared.set_for("nearest_centre", values, valid, self.centres)
        if chosen.NAME not in self._labellers:
            self._labellers[chosen.NAME] = chosen.NearestCentre(self.centres)
        labels: np.ndarray = self._labellers[chosen.NAME](values, valid)
        return labels


def import_compiled() -> Any:
    """The module `compiled`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from . import compiled
    return compiled


shared = Growing()  # by all of this process
