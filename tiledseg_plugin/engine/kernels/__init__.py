# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sets of kernels behind one contract: `compiled` (numba) and `plain` (numpy).

They return identical arrays. `choose` picks one, or both: `auto` begins with the plain ones and takes each compiled one
as soon as it is there (see `growing`). Nothing else knows which one runs.
"""

import os
from typing import Dict, Iterable, List, Optional, Tuple, cast

from ..errors import Cancelled, SegmentationError
from . import growing
from .contract import Check, Kernels

CHOICES = ("auto", "compiled", "plain")
VARIABLE = "TILEDSEG_KERNELS"

Loaded = Tuple[Optional[Kernels], str]  # the compiled kernels, or None and the reason

_loaded: Dict[str, Loaded] = {}  # the outcome of loading the compiled ones, which is tried once in a process


def compile_with(compiler: growing.Compiler) -> None:
    """Have what is missing compiled by another process, which `compiler` asks for; without it all stays plain."""
    growing.shared.compiler = compiler


def _load_compiled(check: Check) -> Loaded:
    """The compiled kernels, all there, or the reason why there are none."""
    if "compiled" not in _loaded:
        _loaded["compiled"] = _try_compiled(check)
    return _loaded["compiled"]


def _try_compiled(check: Check) -> Loaded:
    """As `_load_compiled`, by doing it."""
    try:
        kernels: Kernels = growing.import_compiled()
        kernels.warm_up(check)
    except Cancelled:
        raise
    except Exception as error:  # numba breaks in many ways (ABI of numpy, LLVM, caches); all of them mean plain
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
    return kernels, ""


def choose(
    wanted: str = "auto", check: Check = lambda: None, entries: Iterable[str] = (), calm: Optional[bool] = None
) -> Tuple[Kernels, str]:
    """Returns the kernels to use and a sentence for the log.

    Parameters
    ----------
    wanted : `auto` (compiled where numba works and they are there, plain until then; the environment variable
        TILEDSEG_KERNELS decides otherwise), `compiled` (waits for them) or `plain`
    check : called between the steps of loading, which takes a second, and many where all has to be compiled; raises
        what ends the run
    entries : what will be needed, in this order, see `entries`
    calm : whether it is compiled only while nothing else on the machine wants to run; None leaves it as it was

    Raises
    ------
    SegmentationError : the wanted kernels do not exist or do not work
    """
    if wanted == "auto":
        wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in CHOICES:
        raise SegmentationError(f"{VARIABLE}={wanted} is not known: set it to one of {', '.join(CHOICES)}.")
    if wanted == "compiled":
        compiled, reason = _load_compiled(check)
        if compiled is None:
            raise SegmentationError(f"The compiled kernels do not work here ({reason}): install numba or use plain.")
        return compiled, "Kernels: compiled (numba)."
    if wanted == "auto":
        if calm is not None:
            growing.shared.compile_calmly(calm)
        growing.shared.want(entries, check)
        if not growing.shared.reason:
            return cast(Kernels, growing.shared), _sentence()
        if growing.shared.is_alone:
            compiled, _ = _load_compiled(check)
            if compiled is not None:
                return compiled, "Kernels: compiled (numba)."
    from . import plain

    reason = growing.shared.reason if wanted == "auto" else "asked for"
    return plain, f"Kernels: plain (numpy); compiled ones are not used ({reason})."


def _sentence() -> str:
    if growing.shared.is_complete:
        return "Kernels: compiled (numba)."
    return (
        "Kernels: plain (numpy) at first; the compiled ones (numba) are made in the background, once in the life of an "
        "installation, and each is used as soon as it is there, with the same result."
    )


def are_being_made() -> bool:
    """Whether compiled kernels are wanted in this process and not there yet."""
    return not growing.shared.reason and not growing.shared.is_complete


def are_compiled(kernel: Kernels) -> bool:
    """Whether a set is compiled, or has by now all compiled kernels that it was asked for."""
    return kernel.is_complete if isinstance(kernel, growing.Growing) else kernel.NAME == "compiled"


def seconds_lost() -> Optional[float]:
    """For how many seconds more a run is slower for kernels that are being compiled; None where it is not."""
    return growing.shared.seconds_lost()


def used(kernel: Kernels) -> str:
    """The sets that did the work of a set in this process, for reports."""
    return growing.shared.used if isinstance(kernel, growing.Growing) else kernel.NAME


def failures(kernel: Kernels) -> List[str]:
    """A sentence for each kernel of a set that cannot be compiled here, and is replaced by the plain one."""
    return kernel.failures if isinstance(kernel, growing.Growing) else []
