# SPDX-License-Identifier: GPL-2.0-or-later
"""What RSGISLib prints, kept from the user. Its C++ part writes to the file descriptors, not to sys.stdout."""

import contextlib
import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Iterator, Optional

_one_at_a_time = threading.Lock()  # file descriptors belong to the process


class Printed:
    """The text, once the block is left."""

    text = ""


@contextlib.contextmanager
def captured_output(path: Path) -> Iterator[Printed]:
    """Send both standard outputs of this process, of Python and of libraries, to a file within the block.

    Parameters
    ----------
    path : of the file, made anew and removed

    Yields
    ------
    Printed
    """
    printed = Printed()
    with _one_at_a_time, open(path, "w+", buffering=1, encoding="utf-8", errors="replace") as file:
        saved = [(number, _copy(number)) for number in (1, 2)]
        _flush()
        try:
            for number, _ in saved:
                os.dup2(file.fileno(), number)
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield printed
        finally:
            file.flush()
            _flush()
            for number, copy in saved:
                if copy is None:
                    os.close(number)
                else:
                    os.dup2(copy, number)
                    os.close(copy)
            with open(path, encoding="utf-8", errors="replace") as written:
                printed.text = written.read()
    os.unlink(path)


def _copy(number: int) -> Optional[int]:
    try:
        return os.dup(number)
    except OSError:  # a program with windows only has none
        return None


def _flush() -> None:
    """Write out what Python and the C library still hold back."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).fflush(None)
