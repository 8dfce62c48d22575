# SPDX-License-Identifier: GPL-2.0-or-later
"""A test that hangs fails: import `no_test_hangs` into a test module."""

import faulthandler
import signal

import pytest

LIMIT_SECONDS = 150


@pytest.fixture(autouse=True)
def no_test_hangs():
    """End a test after LIMIT_SECONDS; where not even Python code runs any more, end pytest a little later."""

    def stop(number, frame):
        pytest.fail(f"not ended after {LIMIT_SECONDS} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS)
    faulthandler.dump_traceback_later(2 * LIMIT_SECONDS, exit=True)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
