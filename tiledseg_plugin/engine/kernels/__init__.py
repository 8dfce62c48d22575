# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sets of kernels behind one contract: `compiled` (numba) and `plain` (numpy).

They return identical arrays. `choose` picks one, once a run; nothing else knows which one runs.
"""

import os
import warnings
from typing import Dict, Optional, Tuple

from ..errors import Cancelled, SegmentationError
from .contract import Check, Kernels

CHOICES = ("auto", "compiled", "plain")
VARIABLE = "TILEDSEG_KERNELS"

Loaded = Tuple[Optional[Kernels], str]  # the compiled kernels, or None and the reason

_loaded: Dict[str, Loaded] = {}  # the outcome of loading the compiled ones, which is tried once in a process


def _load_compiled(check: Check) -> Loaded:
    """The compiled kernels, or the reason why there are none."""
    if "compiled" not in _loaded:
        _loaded["compiled"] = _try_compiled(check)
    return _loaded["compiled"]


def _try_compiled(check: Check) -> Loaded:
    """As `_load_compiled`, by doing it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from . import compiled

            kernels: Kernels = compiled
            kernels.warm_up(check)
    except Cancelled:
        raise
    except Exception as error:  # numba breaks in many ways (ABI of numpy, LLVM, caches); all of them mean plain
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
    return kernels, ""


def choose(wanted: str = "auto", check: Check = lambda: None) -> Tuple[Kernels, str]:
    """Returns the kernels to use and a sentence for the log.

    Parameters
    ----------
    wanted : `auto` (compiled where numba works; the environment variable TILEDSEG_KERNELS decides otherwise),
        `compiled` or `plain`
    check : called between the steps of loading, which takes seconds, and many where all has to be compiled; raises
        what ends the run

    Raises
    ------
    SegmentationError : the wanted kernels do not exist or do not work
    """
    if wanted == "auto":
        wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in CHOICES:
        raise SegmentationError(f"{VARIABLE}={wanted} is not known: set it to one of {', '.join(CHOICES)}.")
    if wanted != "plain":
        compiled, reason = _load_compiled(check)
        if compiled is not None:
            return compiled, "Kernels: compiled (numba)."
        if wanted == "compiled":
            raise SegmentationError(f"The compiled kernels do not work here ({reason}): install numba or use plain.")
    else:
        reason = "asked for"
    from . import plain

    return plain, f"Kernels: plain (numpy); compiled ones are not used ({reason})."
