# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of all executions: how a stage has its tasks run, whichever execution it is."""

from typing import Callable, Iterable, Iterator, List, Protocol, Tuple, TypeVar

from ..progress import Check

Common = TypeVar("Common")
Item = TypeVar("Item")
Result = TypeVar("Result")

# A module-level function of what all tasks of a stage share, of the item that this one is about, and of
# `check_cancelled()`. Arguments and result are plain values, as they may travel; pixels go through files.
Task = Callable[[Common, Item, Check], Result]


class Runner(Protocol):
    """An execution: it runs the tasks of one stage after the other, until it is closed."""

    notes: List[str]  # sentences that came up meanwhile, such as that a worker died and was replaced

    @property
    def name(self) -> str:
        """As EXECUTION names it, except `auto`."""

    @property
    def workers(self) -> int:
        """How many tasks are processed at the same time."""

    @property
    def together(self) -> int:
        """How many workers there are at least where one is, whose cores a task has when no other one runs."""

    @property
    def remote(self) -> bool:
        """Whether tasks run on other machines, which should then do what can be done there."""

    @property
    def shares_memory(self) -> bool:
        """Whether tasks run in this process, and so find what others have left in its memory."""

    @property
    def peak_memory(self) -> int:
        """Bytes that other processes on this machine have had."""

    def wait_until_ready(self, check_cancelled: Check) -> None:
        """Return when tasks can be run.

        Raises
        ------
        SegmentationError : they never can
        """

    def prepare(self, kernels: str, entries: Tuple[str, ...]) -> None:
        """A hint that tiles come next, with this set of kernels, of which they need these (see `kernels.choose`)."""

    def run(
        self, task: Task[Common, Item, Result], common: Common, items: Iterable[Item], check_cancelled: Check
    ) -> Iterator[Tuple[Item, Result]]:
        """Each item with the result of its task, in the order in which tasks finish.

        Items in a deque are taken from its left end. Whoever takes the results may put more into it meanwhile, such as
        what can only be done when an item is finished: the tasks of these run, too.

        `check_cancelled` is called at least every 0.2 s. When that or a task raises, or the iterator is given up,
        nothing runs on: processes are killed, threads end at their next check. The execution is closed then.

        Raises
        ------
        SegmentationError : a task cannot be finished; the sentence names its item
        Cancelled
        """

    def close(self) -> None:
        """End what still runs, and release everything."""
