# SPDX-License-Identifier: GPL-2.0-or-later
"""What Windows does otherwise with files: names that it keeps for devices, and files that are held for a moment.

None of it has ever run there: tests imitate it, see docs/never-run-on.md.
"""

import os
import re
import sys
import time
from pathlib import Path
from typing import Union

DEVICE = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?$", re.I)
FORBIDDEN = '<>:"|?*'
LONGEST_PATH = 260  # characters with the end mark, unless the system and the program allow longer ones
HELD_SECONDS = 2.0
PAUSE_SECONDS = 0.05


def fault_of_name(name: str) -> str:
    """Why Windows would not keep a file under a name, as part of a sentence; empty if it would, or elsewhere.

    A device takes what is written to it, and the part behind a colon becomes a hidden stream of another file.
    """
    if sys.platform != "win32":
        return ""
    if DEVICE.match(name):
        return "is that of a device on Windows"
    wrong = next((letter for letter in name if letter in FORBIDDEN or ord(letter) < 32), "")
    if wrong:
        return f"has a character that Windows does not allow ({wrong if wrong.isprintable() else repr(wrong)})"
    return "ends in a dot or a space, which Windows drops" if name.endswith((".", " ")) else ""


def replace_file(source: Union[str, Path], target: Union[str, Path]) -> None:
    """As `os.replace`; waits a little on Windows, where a virus scanner or an indexer holds new files for a moment.

    Raises
    ------
    OSError : it cannot be done; of a file that stays held after HELD_SECONDS
    """
    end = time.monotonic() + HELD_SECONDS
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > end:
                raise
        time.sleep(PAUSE_SECONDS)


def without_long_prefix(path: str) -> str:
    r"""A path as it is without `\\?\`, by which programs ask Windows for a path of any length: one file, two names."""
    if sys.platform == "win32" and path.startswith("\\\\?\\"):
        rest = path[4:]
        return "\\\\" + rest[4:] if rest[:4].upper() == "UNC\\" else rest
    return path
