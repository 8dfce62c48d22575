# SPDX-License-Identifier: GPL-2.0-or-later
"""What is tested in turn, a part a day, where a case takes seconds and all walk the same path.

A day's part is the same for everyone; TILEDSEG_DAY is another day's number, as `make test` prints it at its beginning.
"""

import os
import time
from typing import List, Sequence, TypeVar

T = TypeVar("T")
TODAY = int(os.environ.get("TILEDSEG_DAY") or time.time() // 86400)


def in_turn(cases: Sequence[T], count: int) -> List[T]:
    """So many of the cases, others each day, until all have had their turn."""
    cases = list(cases)
    first = TODAY * count % len(cases)
    return (cases[first:] + cases[:first])[:count]
