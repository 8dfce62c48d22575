# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that go wrong, for tests of executions; workers import this module."""

import os
import signal
import sys
import tempfile
import time
from collections import namedtuple

from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.machine import used_memory

_scattered = []

Item = namedtuple("Item", "tile_id")


class TwoArguments(Exception):
    """One that does not survive the journey between processes."""

    def __init__(self, one, other):
        super().__init__(one)


def number(common, item, check_cancelled):
    return common + item.tile_id


def meet(folder, item, check_cancelled):
    """Wait until another process is at work as well; returns the own process id."""
    open(os.path.join(folder, str(os.getpid())), "w").close()
    end = time.monotonic() + 30
    while len(os.listdir(folder)) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid()


def environment(common, item, check_cancelled):
    return {name: os.environ.get(name) for name in common}


def temporary_folder(common, item, check_cancelled):
    return tempfile.gettempdir()


def die_once(marker, item, check_cancelled):
    """Killed with the third item, if nobody was before."""
    if item.tile_id == 3 and os.path.exists(marker):
        os.unlink(marker)
        os.kill(os.getpid(), signal.SIGKILL)
    return item.tile_id


class DieOnceAStage:
    """A task of any stage, in the place of that stage's own: whoever begins the first one of a stage is killed."""

    def __init__(self, task, folder):
        self.task, self.folder = task, folder

    def __call__(self, common, item, check_cancelled):
        try:
            os.close(os.open(os.path.join(self.folder, self.task.__name__), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return self.task(common, item, check_cancelled)
        os.kill(os.getpid(), signal.SIGKILL)
        return None


def be_killed(common, item, check_cancelled):
    if item.tile_id == common:
        os.kill(os.getpid(), signal.SIGKILL)
    return item.tile_id


def exit_at_once(common, item, check_cancelled):
    if item.tile_id == common:
        print("library not found", file=sys.stderr, flush=True)
        os._exit(3)
    return item.tile_id


def find_no_memory(common, item, check_cancelled):
    if item.tile_id == common:
        raise MemoryError
    return item.tile_id


def refuse(common, item, check_cancelled):
    raise SegmentationError(f"Band {item.tile_id} cannot be read: check it.")


def fail_oddly(common, item, check_cancelled):
    raise TwoArguments(1, 2)


def stop_answering(common, item, check_cancelled):
    """As a process that the system has stopped."""
    if item.tile_id == common:
        os.kill(os.getpid(), signal.SIGSTOP)
    return item.tile_id


def take_long(common, item, check_cancelled):
    """One long step that does not hear of cancelling."""
    time.sleep(common)
    return item.tile_id


def leave_scattered(common, item, check_cancelled):
    """Free `common` bytes of which the C library returns nothing; returns what was resident before and is now."""
    before = used_memory()
    blocks = [bytearray(b"x" * 60_000) for _ in range(common // 60_000)]
    blocks[:-1] = []
    _scattered[:] = blocks
    return before, used_memory()


def free_between_others(common, item, check_cancelled):
    """Free three of eight lots of `common` bytes, none of them the last; returns how many are kept of the three."""
    lots = [bytearray(b"x") * common for _ in range(8)]
    held = used_memory()
    for index in (1, 3, 5):
        lots[index] = None
    return 3 * common - (held - used_memory())
