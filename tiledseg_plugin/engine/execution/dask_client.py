# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to a Dask scheduler: made, closed for good, and silent meanwhile."""

import logging
import threading
import time
from collections import Counter
from concurrent.futures import Future, wait
from typing import Any, Callable, Dict, List

from ..progress import Check
from .runner import Result

POLL_SECONDS = 0.1
THREAD = "tiledseg-dask"
LOGGERS = (
    *("distributed." + part for part in ("client", "core", "comm", "comm.tcp", "batched", "utils")),
    "asyncio",
    "asyncio.events",
)


class _Ours(logging.Filter):
    """Drops what distributed logs in the threads of our connections; other plugins' are not concerned.

    Our own sentences say what goes wrong there, without raw lines before or behind them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return record.threadName != THREAD


_ours = _Ours()


def connect(address: str, seconds: float) -> Any:
    """A client of a scheduler.

    Raises
    ------
    Exception : of many kinds, as an address can be wrong in many ways
    """
    import distributed

    for name in LOGGERS:
        logging.getLogger(name).addFilter(_ours)
    made: List[Any] = []

    class Client(distributed.Client):  # type: ignore[name-defined, misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made.append(self)
            super().__init__(*arguments, **options)

        async def _start(self, *arguments: Any, **options: Any) -> Any:
            threading.current_thread().name = THREAD
            return await super()._start(*arguments, **options)

    try:
        return Client(address, timeout=seconds, set_as_default=False, name="tiledseg")
    except BaseException:
        for client in made:
            leave(client)
        raise


def leave(client: Any) -> None:
    """Close a client for good.

    One that is left open closes itself when it is collected, in whatever thread that happens, which may then wait for
    itself for ever.
    """
    quietly(client.close, 1.0)
    client.status = "closed"


def quietly(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function, and pass over its failing, as nobody is there any more to hear of it."""
    try:
        function(*arguments)
    except Exception:
        return


def within(seconds: float, function: Callable[[], Result], check_cancelled: Check) -> Result:
    """What a function returns, waited for no longer than so many seconds.

    Raises
    ------
    TimeoutError
    """
    answer: Future[Result] = Future()

    def call() -> None:
        try:
            answer.set_result(function())
        except Exception as error:
            answer.set_exception(error)

    # not a thread of a pool, as Python would wait for that when it ends
    threading.Thread(target=call, daemon=True).start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if wait([answer], timeout=POLL_SECONDS).done:
            return answer.result()
        check_cancelled()
    raise TimeoutError(f"no answer within {seconds:.0f} s")


def together(threads: Dict[str, int]) -> int:
    """The least that workers on one machine have of threads together, of {address of a worker: threads}."""
    machines: Counter[str] = Counter()
    for name, count in threads.items():
        machines[name.rpartition(":")[0]] += count
    return min(machines.values(), default=1)
