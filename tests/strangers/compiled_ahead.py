# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiled kernels that one examination has loaded, for the processes that are forked after it.

A kernel is compiled, or read from numba's files, for each combination of types that it is called with. A process that
has ended takes them along; so it says which they were, and the parent reads them from the files once for all others.
"""

import importlib
import pickle
import sys
from typing import Any, Dict, Set, Tuple

PACKAGE = "tiledseg.tiledseg_plugin.engine.kernels.compiled"

Kernel = Tuple[str, str]  # module, name
Signature = Tuple[Any, ...]  # numba's types of the arguments


def loaded() -> Dict[Kernel, Set[Signature]]:
    """What each compiled kernel has been loaded for in this process; nothing without numba."""
    if "numba" not in sys.modules:
        return {}
    from numba.core.dispatcher import Dispatcher

    modules = [name for name in sys.modules if name.startswith(PACKAGE)]
    return {
        (module, name): set(kernel.signatures)
        for module in modules
        for name, kernel in vars(sys.modules[module]).items()
        if isinstance(kernel, Dispatcher) and kernel.__module__ == module
    }


def as_text(before: Dict[Kernel, Set[Signature]]) -> str:
    """What has been loaded since, as text for `load` in the parent; empty if nothing was."""
    new = {kernel: signatures - before.get(kernel, set()) for kernel, signatures in loaded().items()}
    new = {kernel: signatures for kernel, signatures in new.items() if signatures}
    return pickle.dumps(new).hex() if new else ""


def load(text: str) -> None:
    """Load what another process has said."""
    if not text:
        return
    for (module, name), signatures in pickle.loads(bytes.fromhex(text)).items():
        kernel = getattr(importlib.import_module(module), name)
        for signature in signatures - set(kernel.signatures):
            kernel.compile(signature)
