# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to a Dask scheduler: made, closed for good, and silent meanwhile."""

import logging
import threading

THREAD = "tiledseg-dask"
LOGGERS = (
    *("distributed." + part for part in ("client", "core", "comm", "comm.tcp", "batched", "utils")),
    "asyncio",
    "asyncio.events",
)


class _Ours(logging.Filter):
    """Drops what distributed logs in the threads of our connections; other plugins' are not concerned.

    What goes wrong there is told by our own sentences, before or behind which raw lines would stand.
    """

    def filter(self, record):
        return record.threadName != THREAD


_ours = _Ours()


def connect(address, seconds):
    """A client of a scheduler.

    Raises
    ------
    Exception : of many kinds, as an address can be wrong in many ways
    """
    import distributed

    for name in LOGGERS:
        logging.getLogger(name).addFilter(_ours)
    made = []

    class Client(distributed.Client):  # type: ignore[name-defined, misc]
        def __init__(self, *arguments, **options):
            made.append(self)
            super().__init__(*arguments, **options)

        async def _start(self, *arguments, **options):
            threading.current_thread().name = THREAD
            return await super()._start(*arguments, **options)

    try:
        return Client(address, timeout=seconds, set_as_default=False, name="tiledseg")
    except BaseException:
        for client in made:
            leave(client)
        raise


def leave(client):
    """Close a client for good.

    One that is left open closes itself when it is collected, in whatever thread that happens, which may then wait for
    itself for ever.
    """
    quietly(client.close, 1.0)
    client.status = "closed"


def quietly(function, *arguments):
    """Call a function whose failing is of no interest: nobody is there any more to be told."""
    try:
        function(*arguments)
    except Exception:
        return
