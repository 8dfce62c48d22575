# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sets of kernels behind one contract: `compiled` (numba) and `plain` (numpy).

They give identical arrays. `choose` picks one, once a run; nothing else knows which one runs.
"""

import importlib
import os
import warnings
from functools import cache

from ..errors import SegmentationError

CHOICES = ("auto", "compiled", "plain")
VARIABLE = "TILEDSEG_KERNELS"


@cache
def _load_compiled():
    """The compiled kernels, or the reason why there are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kernels = importlib.import_module(".compiled", __name__)
            kernels.warm_up()
    except Exception as error:  # numba breaks in many ways (ABI of numpy, LLVM, caches); all of them mean plain
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
    return kernels, ""


def choose(wanted="auto"):
    """The kernels to use and a sentence for the log.

    Parameters
    ----------
    wanted : `auto` (compiled where numba works; the environment variable TILEDSEG_KERNELS decides otherwise),
        `compiled` or `plain`

    Raises
    ------
    SegmentationError : the wanted kernels do not exist or do not work
    """
    if wanted == "auto":
        wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in CHOICES:
        raise SegmentationError(f"{VARIABLE}={wanted} is not known: set it to one of {', '.join(CHOICES)}.")
    if wanted != "plain":
        compiled, reason = _load_compiled()
        if compiled is not None:
            return compiled, "Kernels: compiled (numba)."
        if wanted == "compiled":
            raise SegmentationError(f"The compiled kernels do not work here ({reason}): install numba or use plain.")
    else:
        reason = "asked for"
    plain = importlib.import_module(".plain", __name__)
    return plain, f"Kernels: plain (numpy); compiled ones are not used ({reason})."
