# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps: a run for each place where something can go wrong, another one after it, and what both have left.

What may be: the right result; or one sentence that says what to do, with every earlier output as it was. After either,
the same run again has the right result, and nothing is left behind.
"""

import errno
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from strangers.isolation import Ended, Isolated, Limits
from tiledseg.tiledseg_plugin.engine.files.moves import REPLACED

from . import injection
from .injection import Operations
from .scenario import SCENARIOS, WORK, Scenario, contents, digest

LIMITS = Limits(seconds=60)
KEPT = re.compile(r"the finished result (is kept as|lies in) (.+?)[;,]")
KILLED = "crash: SIGKILL"


@dataclass
class Tally:
    """How the cases of a sweep have ended."""

    name: str
    kind: str = ""
    places: int = 0
    cases: int = 0
    right: int = 0
    refused: int = 0
    killed: int = 0
    faults: List[str] = field(default_factory=list)
    sentences: Dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        ended = f"{self.right} right, {self.refused} refused in one sentence, {self.killed} killed"
        return f"{self.name}: {self.cases} of {self.places} places; {ended}; {len(self.faults)} faults"


class Sweep:
    """A way in which things go wrong, at each of its places.

    Parameters
    ----------
    arm : called in the process of the run with its folder and Operations, before it begins
    happen : called at the place with what is being done there; may be None
    """

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        folder: Path,
        arm: Callable[[Operations], None],
        happen: Callable[[Path], Any] = lambda case: None,
        lasting: bool = False,
    ):
        self.tally = Tally(f"{scenario.name}, {name}")
        self._scenario, self._folder, self._arm, self._happen = scenario, folder, arm, happen
        self._lasting = lasting
        self._aside = folder  # where what a process says is written

    def places(self) -> List[str]:
        """What an undisturbed run does, one operation after the other."""

        def counted(case: Path) -> dict:
            operations = Operations()
            self._arm(operations)
            return {**self._scenario.attempt(case), "log": operations.log}

        with self._place() as place:
            ended = self._isolated(place, counted)
            if ended.fault or ended.result["said"]:
                raise RuntimeError(f"an undisturbed run ends with {ended.fault or ended.result['said']}")
            return ended.result["log"]

    def run(self, cases: int = 0, first: int = 1, between: Optional[Tuple[int, int]] = None) -> Tally:
        """Every place, or so many of them, evenly spread, one of which is the `first` or as far from another.

        Parameters
        ----------
        between : only places from one to another
        """
        log = self._log = self.places()
        self.tally.places = len(log)
        share = max(1, len(log) // cases) if cases else 1
        least, most = between or (1, len(log))
        for number in range(1 + (first - 1) % share, len(log) + 1, share)[: cases or None]:
            if not least <= number <= most:
                continue
            self.tally.cases += 1
            with self._place() as place:
                fault = self._case(place, number)
            if fault:
                self.tally.faults.append(f"place {number} ({log[number - 1]}): {fault}")
        return self.tally

    def _disturb(self, case: Path, number: int) -> None:
        """In the process of the run, before it begins."""
        self._arm(Operations(number, self._happen(case), self._lasting))

    def _settle(self, case: Path) -> None:
        """After the run, before its ending is looked at."""

    def _case(self, place: Path, number: int) -> str:
        """What is wrong with one; empty if nothing is. Both runs have one temporary folder."""
        with _Place(self._aside) as temporary:
            wrong = self._wrong_in(place, number, temporary)
            left = sorted(path.name for path in temporary.iterdir())
            return wrong or (f"left behind in the temporary folder: {left}" if left else "")

    def _wrong_in(self, place: Path, number: int, temporary: Path) -> str:

        def disturbed(case: Path) -> dict:
            self._disturb(case, number)
            try:
                return self._scenario.attempt(case)
            finally:
                injection.lift_limits()

        case = self._scenario.copy(place)
        ended = self._isolated(place, _with_temporary(temporary, disturbed), case)
        self._settle(case)
        if ended.fault == KILLED:
            self.tally.killed += 1
        elif ended.fault:
            return f"{ended.fault}\n{ended.said[-3000:]}"
        elif any(temporary.iterdir()) and not self._removal(number):
            return f"left behind in the temporary folder: {sorted(path.name for path in temporary.iterdir())}"
        else:
            wrong = self._wrong_after(case, ended.result["said"], self._removal(number))
            if wrong:
                return wrong
            self._count(ended.result["said"])
        kept = _kept_by(ended.result["said"]) if not ended.fault else ""
        for path in [*case.glob("*_kept*")] if kept else []:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in case.glob(".tiledseg-*") if "move it from there" in kept else []:
            shutil.rmtree(path)
        again = self._isolated(place, _with_temporary(temporary, self._scenario.attempt), case)
        if again.fault or again.result["said"]:
            return f"the next run: {again.fault or again.result['said']}\n{again.said[-3000:]}"
        wrong = self._wrong_after(case, "")
        return wrong and f"after the next run: {wrong}"

    def _removal(self, number: int) -> bool:
        """Whether something is removed at a place: what cannot be had then is for the next run to remove."""
        return self._log[number - 1].startswith(("unlink", "rmdir"))

    def _count(self, said: str) -> None:
        self.tally.refused += bool(said)
        self.tally.right += not said
        if said:
            general = re.sub(r"\S*[/\\]\S*|\d+", "*", said)
            self.tally.sentences[general] = self.tally.sentences.get(general, 0) + 1

    def _wrong_after(self, case: Path, said: str, may_leave: bool = False) -> str:
        """What is wrong with the files of a run that has ended with a sentence, or with none."""
        scenario, now = self._scenario, contents(case)
        if now["in.tif"] != scenario.before["in.tif"]:
            return "the input has been changed"
        kept = _kept_by(said)
        if said and ("\n" in said or not re.search(r": |; ", said) or not said.endswith(".")):
            return f"a sentence that does not say what to do: {said}"
        if said and "stands there" not in said:
            wrong = self._lost(now, said)
            if wrong or "lies in" in kept:
                return wrong
        else:
            for name, wanted in scenario.expected.items():
                if not (case / name).exists() or digest(case / name) != wanted:
                    return f"{name} is not what it should be"
        ours = {name for name in now if name.startswith((f"{WORK}/", ".tiledseg-"))}
        work = ours if said or may_leave else set()
        allowed = scenario.names | set(scenario.before) | work | {f"{name}.aux.xml" for name in scenario.outputs}
        left = sorted(set(now) - allowed)
        if kept:
            left = [name for name in left if "_kept" not in name]
        partial_files = [] if may_leave else [name for name in work if name.endswith((".partial", ".bin", ".zip"))]
        return f"left behind: {left + partial_files} ({said})" if left or partial_files else ""

    def _lost(self, now: Dict[str, str], said: str) -> str:
        """What is wrong with the earlier files after a sentence; they may wait in a folder that it names.

        Parameters
        ----------
        now : see `contents`
        """
        kept = _kept_by(said)
        waiting = {content for name, content in now.items() if f"/{REPLACED}/" in name} if "lies in" in kept else set()
        before = self._scenario.before.items()
        lost = [name for name, content in before if now.get(name) != content and content not in waiting]
        if lost:
            return f"earlier files are not as they were: {sorted(lost)} ({said})"
        if "lies in" in kept and not any(Path(name).name in self._scenario.outputs for name in _in_staging(now)):
            return f"no finished result lies there ({said})"
        return ""

    def _isolated(self, place: Path, function: Callable[[Path], Any], case: Any = None) -> Ended:
        case = case or self._scenario.copy(place)
        folder = Path(tempfile.mkdtemp(dir=self._aside))
        try:
            return Isolated(partial(function, case), folder, LIMITS).wait()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _place(self) -> "tempfile.TemporaryDirectory":
        return _Place(self._folder)


class _Place:
    def __init__(self, folder: Path):
        self._path = Path(tempfile.mkdtemp(dir=folder))

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *raised: Any) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def _with_temporary(folder: Path, function: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The function, for a process of its own, with another temporary folder."""

    def call(case: Path) -> Any:
        tempfile.tempdir = str(folder)
        return function(case)

    return call


class Levels(Sweep):
    """Something that there is ever more of, from too little to enough.

    Parameters
    ----------
    levels : in bytes
    limit : called in the process of the run with one of them
    """

    def __init__(
        self, name: str, scenario: Scenario, folder: Path, levels: Sequence[int], limit: Callable[[int], None]
    ):
        super().__init__(name, scenario, folder, arm=lambda operations: None)
        self._levels, self._limit = levels, limit

    def places(self) -> List[str]:
        return [f"{level} bytes" for level in self._levels]

    def _disturb(self, case: Path, number: int) -> None:
        self._limit(self._levels[number - 1])


class SmallDisk(Levels):
    """A disk of its own on which so much is free; `folder` lies on it."""

    def __init__(self, name: str, scenario: Scenario, folder: Path, levels: Sequence[int]):
        super().__init__(name, scenario, folder, levels, self._fill)
        self._ballast, self._aside = folder / "ballast", Path(tempfile.gettempdir())

    def _fill(self, free: int) -> None:
        status = os.statvfs(self._folder)
        with open(self._ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, status.f_bavail * status.f_frsize - free))

    def _settle(self, case: Path) -> None:
        self._ballast.unlink(missing_ok=True)


def _in_staging(now: Dict[str, str]) -> List[str]:
    return [name for name in now if name.startswith(".tiledseg-") and f"/{REPLACED}/" not in name]


def _kept_by(said: str) -> str:
    return said if KEPT.search(said) else ""


def _writes(failing: Callable[..., Any]) -> Callable[[Operations], None]:
    return lambda operations: injection.watch_writing(operations, failing)


def _everything(operations: Operations) -> None:
    injection.watch_writing(operations, injection.as_it_is)
    injection.watch_gdal_writing(operations, injection.as_it_is)
    injection.watch_reading(operations, injection.as_it_is, injection.as_it_is)


def _writes_and_gdals(operations: Operations) -> None:
    injection.watch_writing(operations, injection.as_it_is)
    injection.watch_gdal_writing(operations, injection.as_it_is)


def _reads(operations: Operations) -> None:
    injection.watch_reading(operations, injection.system_error(errno.EIO), injection.gdal_failure)


KINDS = ("full", "size", "held", "read", "gone", "memory", "kill", "disk")


def sweeps(folder: Path) -> Iterator[Tuple[str, Sweep]]:
    """All of them, by their names."""
    for name, kind in SCENARIOS.items():
        place = folder / name.replace(" ", "-")
        scenario = kind(place)
        make = partial(Sweep, scenario=scenario, folder=place)
        yield "full", make("the disk is full at a write", arm=_writes(injection.FULL))
        yield "full", make("the disk is full from a write on", arm=_writes(injection.FULL), lasting=True)
        yield (
            "held",
            make("a file is held open", arm=lambda operations: injection.watch_moves(operations, injection.DENIED)),
        )
        yield "read", make("a read error", arm=_reads)
        yield (
            "size",
            Levels("files cannot grow beyond a size", scenario, place, range(0, 260_000, 1500), injection.limit_files),
        )
        yield (
            "memory",
            Levels("memory is limited", scenario, place, range(0, 60 << 20, 1 << 20), injection.limit_memory),
        )
        yield "kill", make("killed", arm=_writes_and_gdals, happen=lambda case: injection.kill)
        yield (
            "gone",
            make("the work folder is removed", arm=_everything, happen=lambda case: injection.removing(case / WORK)),
        )
        yield (
            "gone",
            make(
                "staging folders are removed",
                arm=_everything,
                happen=lambda case: lambda what: injection.removing(*case.glob(".tiledseg-*"))(what),
            ),
        )
