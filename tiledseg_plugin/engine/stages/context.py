# SPDX-License-Identifier: GPL-2.0-or-later
"""What the stages of a run share in this process; what travels to workers are their jobs, which are plain values."""

from dataclasses import dataclass
from typing import Any, Callable, Iterator, Sequence, Tuple

from ..execution.runner import Runner
from ..files.raster import Raster
from ..files.work_folder import WorkFolder
from ..kernels.contract import Kernels
from ..machine import available_cores
from ..parameters import SegmentParameters
from ..progress import Progress
from .plan import Plan


@dataclass(frozen=True)
class Context:
    """A raster that is segmented, and what does it.

    kernel : the set of kernels, see `kernels.choose`
    runner : an execution that has been started, see `execution`
    """

    parameters: SegmentParameters
    raster: Raster
    plan: Plan
    kernel: Kernels
    runner: Runner
    progress: Progress

    @property
    def threads(self) -> int:
        """How many threads of this process may be busy while the execution's own workers are not."""
        return available_cores() if self.runner.remote else self.runner.workers

    @property
    def check(self) -> Callable[[], None]:
        """Raises Cancelled if the user wants the run to end; passes on what the execution has to report."""
        return self.progress.listening_to(self.runner)

    def run(self, task: Callable[..., Any], common: Any, items: Sequence[Any]) -> Iterator[Tuple[Any, Any]]:
        """(item, result) in the order in which the tasks finish, see `execution`."""
        return self.runner.run(task, common, items, self.check)


@dataclass(frozen=True)
class RunContext(Context):
    """A whole run, whose stages leave files for each other.

    folder : where they leave them
    """

    folder: WorkFolder
