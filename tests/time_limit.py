# SPDX-License-Identifier: GPL-2.0-or-later
"""A test that hangs fails: import `no_test_hangs` into a test module."""

import faulthandler
import signal

import pytest

LIMIT_SECONDS = 150


@pytest.fixture(autouse=True)
def no_test_hangs(request):
    """End a test after a time, slow ones later; where not even Python code runs any more, end pytest later still."""
    limit = LIMIT_SECONDS * (4 if request.node.get_closest_marker("slow") else 1)

    def stop(number, frame):
        pytest.fail(f"not ended after {limit} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    faulthandler.dump_traceback_later(2 * limit, exit=True)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
