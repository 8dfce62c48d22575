# SPDX-License-Identifier: GPL-2.0-or-later
"""One task after the other. It runs in a thread all the same, so that the calling one can hear of cancelling."""

from .threads import Threads


class Serial(Threads):
    """See `runner.Runner`."""

    name = "serial"

    def __init__(self) -> None:
        super().__init__(1)
