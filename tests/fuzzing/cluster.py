# SPDX-License-Identifier: GPL-2.0-or-later
"""The Dask cluster of a campaign: a scheduler and two workers, started for the first case that needs them and kept."""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any, Optional

WORKERS = 2


def is_available() -> bool:
    """Whether runs on Dask can be drawn here."""
    return importlib.util.find_spec("distributed") is not None


class Kept:
    """A cluster that is there from the first question for its address on.

    Attributes
    ----------
    runs : how often it was asked for
    """

    def __init__(self) -> None:
        self.runs = 0
        self._cluster: Any = None
        self._address = ""
        self._folder: Optional[Path] = None

    @property
    def address(self) -> str:
        """Of its scheduler."""
        self.runs += 1
        if not self._address:
            self._start()
        return self._address

    def use(self, address: str) -> None:
        """Take one that somebody else has started, and will close; none with an empty address."""
        self._address = address

    def _start(self) -> None:
        from dask_programs import Cluster

        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-dask-"))
        self._cluster = Cluster(self._folder)
        for _ in range(WORKERS):
            self._cluster.add_worker()
        self._cluster.wait_for(WORKERS)
        self._address = self._cluster.address

    def close(self) -> None:
        """End what was started; a later question starts another one."""
        self._address = ""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


kept = Kept()
